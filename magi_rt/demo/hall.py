"""Who is in the room: pictures, viewers, the wheel, and what all of them are told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import magi_rt
from magi_rt.demo.messages import PageError
from magi_rt.demo.picture import Picture
from magi_rt.demo.recorder import Recorder
from magi_rt.demo.viewer import Viewer
from magi_rt.demo.wheel import Wheel
from magi_rt.demo.worlds import Worlds
from magi_rt.errors import MagiError
from magi_rt.stream.client import WorldClient
from magi_rt.world.actions import ActionMap

VIEWERS = 16
"""Pages at once."""

_STATS_S = 1.0
_LOOK_S = 0.25

_log = logging.getLogger("magi_rt.demo")
T = TypeVar("T")


class Hall:
    """One or two pictures, who watches them and who steers.

    Everything runs on one event loop; calls that wait for a world run on threads.

    Args:
        worlds: where the worlds come from.
        actions: what keys and gestures say, and what is suggested.
        recordings: folder for videos.
        shared: everybody may steer.

    Attributes:
        last_video: the recording that ran when the room was closed.
    """

    def __init__(
        self, worlds: Worlds, actions: ActionMap, recordings: Path, *, shared: bool = False
    ) -> None:
        self.worlds, self.actions, self.recordings = worlds, actions, recordings
        self.state, self.failure = "warming up", ""
        self.pictures: list[Picture] = []
        self.viewers: dict[int, Viewer] = {}
        self.wheel = Wheel(time.monotonic, shared=shared)
        self.recorder: Recorder | None = None
        self.last_video: Path | None = None
        self._numbers = itertools.count(1)
        self._calls = ThreadPoolExecutor(8, thread_name_prefix="magi_rt demo")
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    async def open(self) -> None:
        """Loads the world and shows it; a failure is told to every page."""
        # takes half a second, in which the first video would hold up every picture
        self._spawn(self._call(import_module, "av"))
        try:
            self._add(await self._call(self.worlds.open))
        except MagiError as error:
            return self._fail(error.message)
        except Exception as error:  # such as memory that does not suffice, or a broken library
            _log.exception("the world could not be opened")
            return self._fail(f"{type(error).__name__}: {error}")
        self.state = "live"
        self._spawn(self._tell_stats())
        self.tell(self.card())
        self.tell(self.pictures[0].card())

    def _fail(self, why: str) -> None:
        self.state, self.failure = "failed", why
        print(f"magi-rt: {why}", file=sys.stderr)
        self.tell(self.card())

    async def close(self) -> None:
        """Ends pictures and worlds; waits for them. Each is ended, whatever another one raises."""
        async with contextlib.AsyncExitStack() as ends:
            ends.callback(self._calls.shutdown, wait=False)
            ends.push_async_callback(self._call, self.worlds.close)
            for picture in reversed(self.pictures):
                ends.push_async_callback(self._call, picture.close)
            for task in self._tasks:
                task.cancel()
            if self.recorder is not None:
                self.last_video = self.recorder.path
                await self._end_recording()

    async def finish_recording(self) -> dict[str, Any]:
        """Ends the video that is being made; returns what pages are told of it.

        Raises:
            MediaError: it could not be written; there is no file then.
        """
        assert self.recorder is not None
        recorder, self.recorder, self.pictures[0].on_frame = self.recorder, None, None
        try:
            path = await self._call(recorder.finish)
        finally:
            self.tell(self.card())
        return {"file": f"recordings/{path.name}", "frames": recorder.frames,
                "left_out": recorder.left_out}  # fmt: skip

    async def _end_recording(self) -> None:
        """Ends it unasked, which every page is told."""
        told = {"event": "recorded", "why": "" if self.recorder is None else self.recorder.full}
        try:
            self.tell({**told, **await self.finish_recording()})
        except MagiError as error:
            print(f"magi-rt: {error.message}", file=sys.stderr)
            self.tell({**told, "file": "", "error": error.message})

    def _add(self, client: WorldClient, before: str = "") -> None:
        number = len(self.pictures)

        def refresh() -> None:
            for viewer in self.viewers.values():
                viewer.refresh(number, picture.newest)

        picture = Picture(number, client, self.tell, refresh, before=before)
        self.pictures.append(picture)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._calls, lambda: function(*args, **more))

    # Viewers

    def join(self) -> Viewer:
        """A page comes in and is told everything.

        Raises:
            PageError: the room is full.
        """
        if len(self.viewers) >= VIEWERS:
            raise PageError(f"{VIEWERS} pages watch already; close one of them first")
        viewer = Viewer(next(self._numbers), time.monotonic)
        self.viewers[viewer.number] = viewer
        self.wheel.join(viewer.number)
        viewer.tell({"event": "welcome", "you": viewer.number, "version": magi_rt.__version__,
                     "actions": self.actions.to_table(), "start": self.worlds.start})  # fmt: skip
        for picture in self.pictures:
            viewer.tell(picture.card())
            if picture.newest is not None:
                viewer.refresh(picture.number, picture.newest)
        self.tell(self.card())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A page goes."""
        self.viewers.pop(viewer.number, None)
        self.wheel.leave(viewer.number, sorted(self.viewers))
        self.tell(self.card())

    def card(self) -> dict[str, Any]:
        """The room as pages see it."""
        return {
            "event": "room",
            "state": self.state,
            "failure": self.failure,
            "pictures": len(self.pictures),
            "viewers": sorted(self.viewers),
            "wheel": None if self.wheel.shared else self.wheel.holder,
            "asking": self.wheel.asking,
            "recording": self.recorder is not None,
            "backend": self.worlds.backend,
        }

    def tell(self, event: Mapping[str, Any], *, but: Viewer | None = None) -> None:
        """Tells every page, but for the one that knows."""
        for viewer in self.viewers.values():
            if viewer is not but:
                viewer.tell(event)

    async def _tell_stats(self) -> None:
        while True:
            await asyncio.sleep(_STATS_S)
            if self.wheel.pass_on():
                self.tell(self.card())
            if self.recorder is not None and self.recorder.full:
                await self._end_recording()
            for picture in list(self.pictures):
                try:
                    await self._tell_stats_of(picture)
                except Exception:  # pages live on these numbers, so nothing may end them
                    _log.exception("the numbers of picture %d could not be told", picture.number)

    async def _numbers_of(self, picture: Picture) -> dict[str, Any]:
        """The counters of a picture's server; none as soon as that counts as lost."""
        if not picture.frames.connected:
            return {}
        asked = asyncio.ensure_future(self._call(picture.client.stats))
        try:
            while picture.frames.connected and not asked.done():
                await asyncio.wait({asked}, timeout=_LOOK_S)
            if asked.done():
                with contextlib.suppress(MagiError):
                    return asked.result()
            return {}
        finally:
            asked.cancel()  # a client waits for many seconds, and pages shall know before

    async def _tell_stats_of(self, picture: Picture) -> None:
        numbers = await self._numbers_of(picture)
        if picture not in self.pictures:
            return  # it was closed meanwhile
        self.tell({
            "event": "stats", "picture": picture.number,
            "connected": bool(numbers) and picture.frames.connected,
            "rewindable": self.worlds.rewindable(picture.number),
            "steps": self.worlds.steps(picture.number), **numbers,
        })  # fmt: skip
