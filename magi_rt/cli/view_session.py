"""What `magi-rt view` knows of its world: the newest frame, what was asked, a video being made."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from magi_rt.cli.view_controls import Order
from magi_rt.demo.recorder import Recorder, free_name
from magi_rt.errors import MagiError
from magi_rt.stream.answers import Applied
from magi_rt.stream.client import WorldClient
from magi_rt.stream.events import Event, Heartbeat, PromptShows
from magi_rt.stream.received import Received

BACK_S = 1.0
"""About so many seconds of the world are taken back by one press."""

_SECOND_NS = 1_000_000_000
_NOTE_S = 4.0
_LOOK_S = 0.1
_TEXTS_KEPT = 512


class Session:
    """A world being watched and steered. No method waits for the world, except :meth:`close`.

    Args:
        client: of the world; closed by whoever made it.
        videos: folder that recordings go to.
        every: keep every frame for ``frames.next``.
    """

    def __init__(self, client: WorldClient, videos: Path, *, every: bool = False) -> None:
        self.facts, self.paused = client.facts, client.facts.paused
        self._client, self._videos = client, videos
        self._texts = {client.facts.prompt: client.facts.text}
        self._arrived: deque[int] = deque(maxlen=256)
        self._delay_ms: float | None = None
        self._note, self._note_until_s = "", 0.0
        self._recorder: Recorder | None = None
        self._gives_up = False
        self._talk = ThreadPoolExecutor(1, thread_name_prefix="magi_rt view")
        self.frames = client.watching(every=every, on_frame=self._take, on_event=self._hear)

    # Steering

    def obey(self, order: Order) -> Future[None]:
        """Does it on another thread, one order after the other; what fails becomes a note."""
        return self._talk.submit(self._do, order)

    def _do(self, order: Order) -> None:
        if self._gives_up:
            return
        try:
            if order.verb == "prompt":
                self._prompt(order.text)
            elif order.verb == "pause":
                stand = not self.paused  # a heartbeat may tell before the answer does
                (self._client.pause if stand else self._client.resume)()
                self.paused = stand
            elif order.verb == "rewind":
                self._rewind()
            elif order.verb == "record":
                self._record()
        except MagiError as error:
            self.note(error.message)

    def _prompt(self, text: str) -> None:
        asked_s = time.monotonic()
        receipt = self._client.prompt(text, flush=True)

        def shown(applied: Future[Applied]) -> None:
            if not applied.cancelled() and applied.exception() is None:
                self._delay_ms = 1000 * (time.monotonic() - asked_s)

        receipt.future.add_done_callback(shown)

    def _rewind(self) -> None:
        facts = self.facts
        newest = self.frames.latest()
        shown = 1 if newest is None else newest.chunk + 1
        self._client.rewind(max(1, min(shown, round(BACK_S * facts.fps / facts.frames_per_chunk))))

    def _record(self) -> None:
        if self._recorder is None:
            newest = self.frames.latest()
            shown = self.facts if newest is None else newest.header
            path, fps = free_name(self._videos), self.facts.fps
            self._recorder = Recorder(path, fps=fps, height=shown.height, width=shown.width)
            return
        self._finish()

    def _end_if_full(self) -> None:
        if self._recorder is not None and self._recorder.full:
            self._finish(f"{self._recorder.full}; ")

    def _finish(self, before: str = "") -> str:
        """Ends the video that is being made, if there is one; what became of it."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return ""
        try:
            told = f"{before}written to {recorder.finish()}"
        except MagiError as error:
            told = error.message
        if recorder.left_out:
            told += f"; {recorder.left_out} frames came too fast and are not in it"
        self.note(told)
        return told

    # Watching

    def _take(self, received: Received) -> None:
        self._arrived.append(received.received_ns)
        prompt = received.header.prompt
        if prompt not in self._texts:
            self._texts[prompt] = ""
            self._talk.submit(self._learn)
        recorder = self._recorder
        if recorder is not None:
            recorder.take(received, self.facts.fps)
            if recorder.full:
                self._talk.submit(self._end_if_full)

    def _learn(self) -> None:
        """Who joins late has not heard the prompt that shapes what is shown."""
        with suppress(MagiError):
            facts = self._client.hello()
            self._texts[facts.prompt] = facts.text

    def _hear(self, event: Event) -> None:
        if isinstance(event, PromptShows):
            self._texts[event.prompt] = event.text
            if len(self._texts) > _TEXTS_KEPT:
                del self._texts[min(self._texts)]
        elif isinstance(event, Heartbeat):
            self.paused, self.facts = event.paused, replace(self.facts, fps=event.fps)

    def note(self, text: str) -> None:
        """Tells the user something for some seconds."""
        self._note, self._note_until_s = text, time.monotonic() + _NOTE_S

    def status(self, typed: str | None = None) -> str:
        """The line below the picture; what is being typed comes before everything else."""
        if typed is not None:
            return f"> {typed}_"
        if not self.frames.connected:
            return "the server is lost, waiting"
        if time.monotonic() < self._note_until_s:
            return self._note
        newest = self.frames.latest()
        if newest is None:
            return "the world is warming up"
        parts = [
            "paused" if self.paused else f"{self.fps:.0f} fps",
            f"chunk {newest.chunk}",
            *([f"delay {self._delay_ms:.0f} ms"] if self._delay_ms is not None else []),
            *(["recording"] if self._recorder is not None else []),
            self._texts.get(newest.header.prompt, ""),
        ]
        return "  ".join(filter(None, parts))

    @property
    def fps(self) -> float:
        """Frames that came within the last second."""
        since = time.monotonic_ns() - _SECOND_NS
        return float(sum(1 for when in list(self._arrived) if when >= since))

    def close(self) -> str:
        """Waits for orders, finishes a video, lets go of the frames; what became of the video.

        Where the server is lost, orders are given up, and the client is closed with them.
        """
        ended = self._talk.submit(self._finish)
        while not wait([ended], _LOOK_S).done:
            if not self.frames.connected and not self._gives_up:
                self._gives_up = True
                self._client.close()
        self.frames.close()
        self._talk.shutdown()
        return ended.result()
