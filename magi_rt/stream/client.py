"""WorldClient: the verbs of a world, over the wire."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from magi_rt.errors import RemoteError, ServerLostError
from magi_rt.stream.addresses import DEFAULT_ADDRESS, checked_destination, control_address
from magi_rt.stream.answers import Accepted
from magi_rt.stream.keys import ClientKeys
from magi_rt.stream.link import Asked, Link
from magi_rt.stream.receipt import Receipt
from magi_rt.stream.requests import (
    APPLIED_LATER,
    VERSION,
    Body,
    Bye,
    Fork,
    Hello,
    Image,
    Pause,
    Prompt,
    Request,
    Reset,
    Restore,
    Resume,
    Rewind,
    Set,
    Snapshot,
    Stats,
)
from magi_rt.stream.seed_pictures import picture_file
from magi_rt.stream.server_facts import ServerFacts, facts_from
from magi_rt.world.prompt_text import sendable_prompt

if TYPE_CHECKING:
    from magi_rt.stream.received import Received
    from magi_rt.stream.subscriber import FrameSubscriber

__all__ = ["Receipt", "RemoteError", "ServerFacts", "ServerLostError", "WorldClient"]


class WorldClient:
    """Steers a world that runs in a :class:`magi_rt.WorldServer`, and receives its frames.

    Methods may be called from any thread. They wait for the server's answer, at most
    ``timeout_s``; changes of the picture return a :class:`Receipt`, whose ``wait`` tells which
    frame shows them. When the connection breaks, requests are sent again and done once.

    Args:
        address: where frames go out: ``tcp://HOST:PORT`` or ``ipc://PATH``; None: the default one,
            or, beside a control address, what the server there says.
        control: where requests go; None: the next port, or ``PATH.control``.
        keys: for servers beyond this machine.
        timeout_s: longest wait for an answer, in seconds.
        name: what the server may call this client, at most 64 characters.

    Attributes:
        facts: what the server said of itself at the beginning, or at the last :meth:`hello`.

    Raises:
        OptionError: an address cannot be used.
        ServerLostError: no server answers in time.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        control: str | None = None,
        keys: ClientKeys | None = None,
        timeout_s: float = 10.0,
        name: str = "",
    ) -> None:
        # behind a tunnel the server's own name for itself leads nowhere: what is given counts
        self._ask_where = address is None and control is not None
        address = DEFAULT_ADDRESS if address is None else address
        self.address, self.timeout_s = checked_destination(address), timeout_s
        self._client, self._name, self._keys = secrets.token_hex(8), name, keys
        self._ids = itertools.count(1)
        self._watching: list[FrameSubscriber] = []
        hello = Hello((VERSION,), name)
        ping = Request(self._client, next(self._ids), hello)
        self.control_address = checked_destination(control or control_address(address))
        self._link = Link(self.control_address, ping, keys, on_applied=self._applied)
        try:
            self.facts = self.hello()
        except BaseException:
            self._link.close()
            raise

    # Steering

    def prompt(self, text: str, at: str = "next", *, flush: bool = False) -> Receipt:
        """What the world shall show from now on.

        Args:
            text, at: as in :meth:`magi_rt.World.advance`.
            flush: take back what is made but not shown yet, so that it shows sooner.

        Raises:
            PromptError: the text is no prompt.
            RemoteError, ServerLostError: refused, or not answered in time.
        """
        return self._change(Prompt(sendable_prompt(text), at, flush))

    def reset(self, seed: int | None = None, *, text: str | None = None) -> Receipt:
        """Begins anew, with another seed if one is given.

        Args:
            text: the prompt of the first chunk, "" for none; ``None`` for the server's own.
        """
        return self._change(Reset(seed, None if text is None else sendable_prompt(text)))

    def seed_image(
        self, image: Any, seed: int | None = None, *, text: str | None = None
    ) -> Receipt:
        """Begins anew from a picture: a file name, a PIL picture, [H, W, 3] sRGB, or file bytes.

        Args:
            text: as in :meth:`reset`.

        Raises:
            MediaError: it cannot be read, or takes more than 8 MiB as PNG.
        """
        return self._change(
            Image(picture_file(image), seed, None if text is None else sendable_prompt(text))
        )

    def rewind(self, chunks: int = 1, *, to: int | None = None) -> Receipt:
        """Takes the last chunks back that were shown.

        Args:
            to: takes back from the chunk of this number on instead, whatever is shown by then.
        """
        return self._change(Rewind(chunks) if to is None else Rewind(to=to))

    def restore(self, name: str) -> Receipt:
        """Goes to a snapshot or fork of that name."""
        return self._change(Restore(name))

    def snapshot(self, name: str) -> int:
        """Writes the world to the server's snapshot folder; returns the bytes."""
        return int(self._ask(Snapshot(name))["bytes"])

    def fork(self, name: str) -> list[str]:
        """Keeps the world's present state on the server; returns the names of all that are kept."""
        return list(self._ask(Fork(name))["forks"])

    def pause(self) -> None:
        """Stops the clock; the picture stays until :meth:`resume`, or a jump to another moment."""
        self._ask(Pause())

    def resume(self) -> None:
        """Lets the clock go on."""
        self._ask(Resume())

    def set(
        self,
        *,
        fps: float | None = None,
        format: str | None = None,
        quality: int | None = None,
    ) -> dict[str, Any]:
        """Changes frames per second (1 to 240), what ``any`` is, or the quality of JPEG (1 to 100).

        Returns:
            All three, as they are now.
        """
        return self._ask(Set(fps, format, quality))

    # Asking

    def hello(self) -> ServerFacts:
        """What the server says of itself now."""
        values = self._ask(Hello((VERSION,), self._name))
        self.facts = facts_from(values)
        return self.facts

    def stats(self) -> dict[str, Any]:
        """The server's counters."""
        return dict(self._ask(Stats())["stats"])

    @property
    def connected(self) -> bool:
        """True when the server was heard within the last 1.5 s."""
        return self._link.connected

    @property
    def stream(self) -> str:
        """Which run of the server was heard last; another one after a restart."""
        return self._link.stream

    @property
    def epoch(self) -> int:
        """The newest epoch that an answer told."""
        return self._link.epoch

    # Watching

    def frames(
        self,
        *,
        format: str = "rgb8",
        rows: str = "top",
        layout: str = "auto",
        every: bool = False,
    ) -> Iterator[Received]:
        """Frames as they come, without end; the newest only, unless ``every`` is asked for.

        Options as in :class:`magi_rt.FrameSubscriber`. Ends when the client is closed.
        """
        with self.watching(format=format, rows=rows, layout=layout, every=every) as frames:
            yield from frames

    def watching(self, **options: Any) -> FrameSubscriber:
        """A subscriber to this server's frames, which drops what receipts say is over.

        Options as in :class:`magi_rt.FrameSubscriber`; close it, or close the client.
        """
        from magi_rt.stream.subscriber import FrameSubscriber

        address = (self._ask_where and self.facts.frames) or self.address
        frames = FrameSubscriber(address, keys=self._keys, control=self.control_address, **options)
        self._watching = [each for each in self._watching if not each.closed] + [frames]
        return frames

    def _applied(self, stream: str, epoch: int) -> None:
        """Called by the link with every receipt."""
        for frames in list(self._watching):
            frames.drop_before(epoch, stream)

    # Life

    def close(self) -> None:
        """Says good-bye and lets go of the connection; closing twice is fine."""
        for frames in self._watching:
            frames.close()
        with suppress(ServerLostError):  # closed already
            self._link.ask(Asked(Request(self._client, next(self._ids), Bye())))
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _change(self, body: Body) -> Receipt:
        asked, accepted = self._send(body)
        return Receipt(asked, int(accepted.values.get("prompt", 0)))

    def _ask(self, body: Body) -> dict[str, Any]:
        return dict(self._send(body)[1].values)

    def _send(self, body: Body) -> tuple[Asked, Accepted]:
        request = Request(self._client, next(self._ids), body)
        asked = Asked(request, applied=Future() if body.kind in APPLIED_LATER else None)
        self._link.ask(asked)
        try:
            return asked, asked.accepted.result(self.timeout_s)
        except FutureTimeout:
            error = ServerLostError(
                f"no answer from {self.control_address} within {self.timeout_s:g} s: "
                f"{self._link.connection.why}"
            )
            self._link.give_up(asked, error)
            raise error from None
