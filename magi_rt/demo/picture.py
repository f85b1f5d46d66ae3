"""One picture of the page: a client of one world, its newest frame, and the strip of its chunks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from magi_rt.errors import MagiError
from magi_rt.stream.client import WorldClient
from magi_rt.stream.events import Event, Heartbeat, NewEpoch, PromptShows, ServerEnds
from magi_rt.stream.received import Received
from magi_rt.stream.server_facts import ServerFacts

STRIP_CHUNKS = 240
"""Thumbnails kept."""

RAW_PIXELS = 320 * 320
"""Pictures up to so many pixels go to the page as they are; larger ones as JPEG."""

_THUMB_SIDE = 96
_TEXTS_KEPT = 512

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ChunkNote:
    """A chunk that was shown.

    chunk: its number in the world.
    prompt, text: what shaped it; 0 and "" before the first prompt.
    thumb: a JPEG of its first frame as a ``data:`` address.
    """

    chunk: int
    prompt: int
    text: str
    thumb: str


class Picture:
    """What one world shows and has shown. Lives on the event loop; frames come from a thread.

    Args:
        number: 0 or 1.
        client: of its world; closed with the picture.
        tell: called on the loop with every event for the pages.
        refresh: called on the loop when a newer frame is there.
        before: the prompt that had shaped the world before this server showed it.
    """

    def __init__(
        self,
        number: int,
        client: WorldClient,
        tell: Tell,
        refresh: Callable[[], None],
        *,
        before: str = "",
    ) -> None:
        self.number, self.client, self.facts = number, client, client.facts
        self.newest: Received | None = None
        self.strip: deque[ChunkNote] = deque(maxlen=STRIP_CHUNKS)
        self.paused = self.facts.paused
        self.on_frame: Callable[[Received], None] | None = None
        self._tell, self._refresh = tell, refresh
        self._texts = {0: before}
        self._place, self._stream = (-1, -1), ""
        self._loop = asyncio.get_running_loop()
        self._pen = ThreadPoolExecutor(1, thread_name_prefix="magi_rt thumbnails")
        raw = self.facts.width * self.facts.height <= RAW_PIXELS
        self.frames = client.watching(
            format="rgba8" if raw else "jpeg", every=False,
            on_frame=self._from_thread(self._show), on_event=self._from_thread(self._hear),
        )  # fmt: skip

    def _from_thread(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        def call(value: Any) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(function, value)

        return call

    @property
    def chunk(self) -> int:
        """Number of the chunk on show, -1 before the first."""
        return -1 if self.newest is None else self.newest.chunk

    def text_at(self, chunk: int) -> str:
        """The prompt that shaped a chunk, "" where it is not known any more."""
        return next((note.text for note in self.strip if note.chunk == chunk), "")

    def card(self) -> dict[str, Any]:
        """What a page needs to know to show it."""
        known = {**asdict(self.facts), "paused": self.paused, "connected": self.client.connected}
        strip = [self._note(note) for note in self.strip]
        return {"event": "picture", "picture": self.number, **known, "strip": strip}

    def _note(self, note: ChunkNote) -> dict[str, Any]:
        return {"picture": self.number, **asdict(note)}

    def _show(self, received: Received) -> None:
        header = received.header
        if self._stream not in ("", header.stream):
            self._forget()
        self._stream = header.stream
        place = (header.epoch, header.chunk)
        if place != self._place:
            self._place = place
            self._begin_chunk(received)
        self.newest = received
        if self.on_frame is not None:
            self.on_frame(received)
        self._refresh()

    def _forget(self) -> None:
        """A server that was started anew counts chunks and prompts from 0 again."""
        self.strip.clear()
        self._texts = {0: ""}
        self._loop.create_task(self._greet_again())

    async def _greet_again(self) -> None:
        """It may show another world, at another size and pace."""
        with contextlib.suppress(MagiError):
            self.facts = await self._loop.run_in_executor(self._pen, self.client.hello)
            self.paused = self.facts.paused
            self._texts.setdefault(self.facts.prompt, self.facts.text)
        self._tell(self.card())

    def _begin_chunk(self, received: Received) -> None:
        self._loop.create_task(self._thumbnail(received, self._place))

    async def _thumbnail(self, received: Received, place: tuple[int, int]) -> None:
        header = received.header
        asks = header.prompt not in self._texts
        # on one thread one after the other, so that the chunks come in their order
        thumb, facts = await self._loop.run_in_executor(self._pen, self._look_at, received, asks)
        if facts is not None:
            self._texts.setdefault(facts.prompt, facts.text)
        if place[0] != self._place[0]:
            return  # another epoch has begun meanwhile
        while self.strip and self.strip[-1].chunk >= header.chunk:
            self.strip.pop()
        text = self._texts.get(header.prompt, "")
        note = ChunkNote(header.chunk, header.prompt, text, thumb)
        self.strip.append(note)
        self._tell({"event": "chunk", **self._note(note)})

    def _look_at(self, received: Received, asks: bool) -> tuple[str, ServerFacts | None]:
        """Who joined late has not heard the prompt that shapes what is shown, and asks for it."""
        facts = None
        with contextlib.suppress(MagiError):
            facts = self.client.hello() if asks else None
        return thumbnail(received), facts

    def _hear(self, event: Event) -> None:
        if isinstance(event, PromptShows):
            self._texts[event.prompt] = event.text
            while len(self._texts) > _TEXTS_KEPT:
                self._texts.pop(min(number for number in self._texts if number))
        elif isinstance(event, Heartbeat):
            self._beat(event)
        elif isinstance(event, NewEpoch):
            self._tell({"event": "epoch", "picture": self.number, "reason": event.reason})
        elif isinstance(event, ServerEnds):
            self._tell({"event": "ended", "picture": self.number, "reason": event.reason})

    def _beat(self, heartbeat: Heartbeat) -> None:
        """Pace and pause, which other clients of the server change too."""
        self.facts = replace(self.facts, fps=heartbeat.fps)
        if heartbeat.paused == self.paused:
            return
        self.paused = heartbeat.paused
        if self.number == 0:  # the second picture stands while the first does
            self._tell({"event": "paused", "paused": self.paused})

    def close(self) -> None:
        """Lets go of the connection; waits for its threads."""
        self.frames.close()
        self.client.close()
        self._pen.shutdown(wait=False, cancel_futures=True)


def thumbnail(received: Received) -> str:
    """A small JPEG of a frame as a ``data:`` address."""
    pixels = np.ascontiguousarray(received.pixels[..., :3])
    picture = Image.fromarray(pixels)
    picture.thumbnail((_THUMB_SIDE, _THUMB_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
