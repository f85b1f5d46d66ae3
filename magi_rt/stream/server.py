"""WorldServer: one world, its frames out, requests in, and the only clock."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from magi_rt.errors import MagiError, OptionError
from magi_rt.stream.addresses import DEFAULT_ADDRESS, control_address, wants_any_port
from magi_rt.stream.bell import Bell
from magi_rt.stream.contexts import end_context
from magi_rt.stream.control import ControlSocket
from magi_rt.stream.keys import ServerKeys, refuse_open_door
from magi_rt.stream.maker import Maker
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.requests import FPS_RANGE
from magi_rt.stream.serving import Serving
from magi_rt.stream.showing import Showing
from magi_rt.stream.snapshot_folder import SnapshotFolder
from magi_rt.stream.steered import SteeredWorld
from magi_rt.world import World
from magi_rt.world.prompt_text import checked_prompt
from magi_rt.world.run_log import RunLog

BUFFER_LIMIT = 8
"""Most chunks that can be made ahead; a world remembers eight for taking back."""

_IDLE_NS = 50_000_000
_REQUESTS_AT_ONCE = 64
_LINGER_MS = 300
_PORT_TRIES = 32
_NS_PER_MS = 1_000_000
_log = logging.getLogger("magi_rt.stream")


class WorldServer:
    """Shows one world to whoever subscribes, and obeys whoever may ask.

    The server owns the world from now on and closes it at its end. ``with WorldServer(world):``
    serves on a thread of its own; :meth:`run` serves on the caller's.

    Args:
        address: frames go out here: ``tcp://HOST:PORT`` (``*`` for a free port) or ``ipc://PATH``.
        control: requests come in here; None: the next port, or ``PATH.control``.
        fps: frames shown per second, 1 to 240; None: the world's own.
        buffer: whole chunks made ahead of the one being shown, 1 to 8.
        prompt: what the world shows from every beginning on.
        snapshots: the one folder that ``snapshot`` requests write to; None: they are refused.
        keys: needed as soon as other machines can reach an address.

    Attributes:
        address, control_address: as bound.
        stream: 16 hexadecimal digits, this run of the server.

    Raises:
        OptionError: an option is outside its range, an address cannot be used or is taken, or
            could be reached from elsewhere without keys.
        PromptError: the prompt is too long.
        ClosedWorldError: the world is closed.
    """

    def __init__(
        self,
        world: World,
        address: str = DEFAULT_ADDRESS,
        *,
        control: str | None = None,
        fps: float | None = None,
        buffer: int = 1,
        prompt: str = "",
        snapshots: str | Path | None = None,
        keys: ServerKeys | None = None,
    ) -> None:
        shown_fps = float(world.fps if fps is None else fps)
        check_serving(shown_fps, buffer)
        checked_prompt(prompt)
        world.prompt(None)  # a closed one is refused before an address is taken
        folder = SnapshotFolder(snapshots)
        self.stream = secrets.token_hex(8)
        self._ended, self._over = threading.Event(), threading.Event()
        self._claim = threading.Lock()  # taken once, by whoever serves or closes first
        self._runner: threading.Thread | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._bell = Bell()
        try:
            publisher, requests = self._bind(address, control, keys, world.size)
        except BaseException:
            self._let_go()
            raise
        ids = itertools.count(1)
        self._steered = steered = SteeredWorld(world, folder, first_prompt=prompt, ids=ids)
        maker = Maker(steered, ready=buffer, wake=self._bell.ring)
        publisher.fps = shown_fps
        self._serving = Serving(
            world, maker, publisher, requests,
            showing=Showing(maker, shown_fps), ids=ids, buffer=buffer,
        )  # fmt: skip
        self.address, self.control_address = publisher.address, requests.address

    # Life

    def start(self) -> Self:
        """Serves on a thread of its own; returns at once."""
        if self._claim.acquire(blocking=False):
            threading.Thread(target=self._serve, name="magi_rt server", daemon=True).start()
        return self

    def run(self, seconds: float | None = None) -> None:
        """Serves on this thread until :meth:`close`, an interrupt, or the end of the time.

        Raises:
            MagiError: it serves already, or has ended.
            OptionError: the seconds are no finite number.
        """
        if seconds is not None and not math.isfinite(seconds):
            raise OptionError(
                f"seconds is {seconds}; give a finite number, or None for without end",
                field="seconds",
            )
        if not self._claim.acquire(blocking=False):
            raise MagiError("this server serves already, or has ended; make another one")
        self._serve(seconds)

    def _serve(self, seconds: float | None = None) -> None:
        end_ns = None if seconds is None else time.monotonic_ns() + round(seconds * 1e9)
        self._runner = threading.current_thread()
        reason = "it was closed"
        try:
            self._serving.maker.start()
            poller = self._poller()
            while not self._ended.is_set() and (end_ns is None or time.monotonic_ns() < end_ns):
                self._turn(poller)
        except KeyboardInterrupt:
            reason = "it was interrupted"
            raise
        except BaseException:
            reason = "it failed"
            _log.exception("the server fails")
            raise
        finally:
            self._end(reason)

    def close(self) -> None:
        """Ends the server: waits for the chunk being made; closing twice is fine."""
        self._ended.set()
        self._bell.ring()
        if self._claim.acquire(blocking=False):
            self._end("it was closed")
        elif self._runner is not threading.current_thread():
            self._over.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stats(self) -> dict[str, Any]:
        """The counters that a ``stats`` request is told."""
        return self._serving.stats()

    @property
    def facts(self) -> dict[str, Any]:
        """What a ``hello`` is told."""
        return self._serving.facts()

    # The world behind it, from any thread

    def take_fork(self, name: str) -> World:
        """A fork that a client had made, for a second server; it is the caller's to close.

        It is no fork of this server any more: clients cannot restore it, and it counts as none.

        Raises:
            OptionError: no fork has that name.
        """
        return self._steered.take_fork(name)

    @property
    def log(self) -> RunLog:
        """The run up to the last chunk made, for ``server.log.save("run.json")``."""
        return self._steered.world.log

    @property
    def rewindable(self) -> int:
        """Chunks that a ``rewind`` request can take back now, those not shown yet included."""
        return self._steered.world.rewindable

    @property
    def steps(self) -> int:
        """Denoising steps that the next chunk takes, as far as is known."""
        return self._steered.world.steps

    # The loop

    def _turn(self, poller: zmq.Poller) -> None:
        """Waits for something to do, at most until the next frame is due, and does it."""
        serving = self._serving
        wait_ns = serving.showing.wait_ns(time.monotonic_ns())
        wait_ns = _IDLE_NS if wait_ns is None else min(wait_ns, _IDLE_NS)
        poller.poll(wait_ns // _NS_PER_MS)
        if 0 < wait_ns < _NS_PER_MS:
            time.sleep(wait_ns / 1e9)  # a poller counts whole milliseconds only
        self._bell.silence()
        serving.publisher.poll()
        self._take_requests()
        due = serving.showing.due(time.monotonic_ns())
        # what made this chunk was reported before the chunk was: it is answered first
        for report in serving.maker.reports():
            serving.report(report)
        if due is not None:
            serving.show(due)

    def _take_requests(self) -> None:
        for _ in range(_REQUESTS_AT_ONCE):
            try:
                asked = self._serving.control.receive()
            except zmq.Again:
                return
            if asked is not None:
                self._serving.handle(asked)

    def _poller(self) -> zmq.Poller:
        poller = zmq.Poller()
        poller.register(self._bell, zmq.POLLIN)
        poller.register(self._serving.control.socket, zmq.POLLIN)
        poller.register(self._serving.publisher.socket, zmq.POLLIN)
        return poller

    # Beginning and end

    def _bind(
        self,
        address: str,
        control: str | None,
        keys: ServerKeys | None,
        size: tuple[int, int],
    ) -> tuple[FramePublisher, ControlSocket]:
        """Both sockets; where the system chooses the port, until the next one is free too."""
        for each in (address, control or control_address(address)):
            refuse_open_door(each, keys)
        tries = _PORT_TRIES if control is None and wants_any_port(address) else 1
        for left in reversed(range(tries)):
            publisher = FramePublisher(
                address, stream=self.stream, keys=keys, context=self._context, size=size
            )
            wanted = control or control_address(publisher.address)
            try:
                return publisher, ControlSocket(
                    self._context, wanted, stream=self.stream, keys=keys
                )
            except MagiError:
                publisher.close()
                if not left:
                    raise
        raise AssertionError("a port was tried at least once")

    def _end(self, reason: str) -> None:
        serving = self._serving
        try:
            serving.maker.stop()
            for report in serving.maker.reports():
                serving.report(report)
            serving.end(reason)
            self._let_go()
        finally:
            self._over.set()

    def _let_go(self) -> None:
        end_context(self._context, _LINGER_MS)
        self._bell.close()


def check_serving(fps: object, buffer: object) -> None:
    """Raise OptionError unless frames can be shown at that rate from such a buffer."""
    least, most = FPS_RANGE
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not least <= fps <= most:
        raise OptionError(
            f"fps is {fps!r}; a server shows from {least:g} to {most:g} frames per second",
            field="fps",
        )
    if isinstance(buffer, bool) or not isinstance(buffer, int) or not 1 <= buffer <= BUFFER_LIMIT:
        raise OptionError(
            f"buffer is {buffer!r}; it must be a whole number of chunks from 1 to {BUFFER_LIMIT}",
            field="buffer",
        )
