"""The room where pages watch one world and take turns to steer it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import magi_rt
from magi_rt.demo.messages import PageError, PageRequest
from magi_rt.demo.picture import Picture
from magi_rt.demo.recorder import Recorder
from magi_rt.demo.viewer import Viewer
from magi_rt.demo.wheel import Wheel
from magi_rt.demo.worlds import Worlds
from magi_rt.errors import MagiError
from magi_rt.stream.client import Receipt, WorldClient
from magi_rt.world.actions import ActionMap

VIEWERS = 16
"""Pages at once."""

_FREE = ("wheel",)
"""Verbs that need no wheel."""

_STATS_S = 1.0
_log = logging.getLogger("magi_rt.demo")
T = TypeVar("T")


class Room:
    """One or two pictures, who watches them, who steers, and what the pages ask for.

    Everything runs on one event loop; calls that wait for a world run on threads.

    Args:
        worlds: where the worlds come from.
        actions: what keys and gestures say, and what is suggested.
        recordings: folder for videos.
        shared: everybody may steer.
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
        self._numbers = itertools.count(1)
        self._calls = ThreadPoolExecutor(8, thread_name_prefix="magi_rt demo")
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    async def open(self) -> None:
        """Loads the world and shows it; a failure is told to every page."""
        try:
            self._add(await self._call(self.worlds.open))
        except MagiError as error:
            self.state, self.failure = "failed", error.message
            self.tell(self.card())
            return
        self.state = "live"
        self._spawn(self._tell_stats())
        self.tell(self.card())
        self.tell(self.pictures[0].card())

    async def close(self) -> None:
        """Ends pictures and worlds; waits for them."""
        for task in self._tasks:
            task.cancel()
        if self.recorder is not None:
            await self._call(self.recorder.drop)
        for picture in self.pictures:
            await self._call(picture.close)
        await self._call(self.worlds.close)
        self._calls.shutdown(wait=False)

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

    def tell(self, event: Mapping[str, Any]) -> None:
        """Tells every page."""
        for viewer in self.viewers.values():
            viewer.tell(event)

    async def _tell_stats(self) -> None:
        while True:
            await asyncio.sleep(_STATS_S)
            for picture in list(self.pictures):
                numbers: dict[str, Any] = {}
                with contextlib.suppress(MagiError):
                    numbers = await self._call(picture.client.stats)
                self.tell({
                    "event": "stats", "picture": picture.number,
                    "connected": bool(numbers) and picture.frames.connected,
                    "rewindable": self.worlds.rewindable(picture.number),
                    "steps": self.worlds.steps(picture.number), **numbers,
                })  # fmt: skip

    # Requests

    async def answer(self, viewer: Viewer, request: PageRequest) -> None:
        """Does what a page asks and tells it so; never raises for what the page did wrong."""
        told: dict[str, Any] = {"event": "answer", "id": request.id, "ok": True}
        try:
            if not viewer.bucket.take():
                raise PageError("too many requests at once; wait a moment")
            if request.verb not in _FREE and not self.wheel.may_steer(viewer.number):
                raise PageError(f"viewer {self.wheel.holder} steers; ask for the wheel first")
            told |= await self._do(viewer, request) or {}
        except MagiError as error:
            told |= {"ok": False, "error": error.message}
        except Exception:
            _log.exception("a request of a page failed")
            told |= {"ok": False, "error": "it failed; the terminal of magi-rt demo says why"}
        viewer.tell(told)

    async def _do(self, viewer: Viewer, request: PageRequest) -> dict[str, Any] | None:
        if request.verb == "wheel":
            return self._wheel(viewer, **request.values)
        if self.state != "live":
            raise PageError(self.failure or "the world is still warming up; it takes seconds")
        values = dict(request.values)
        if "picture" in values:
            values["picture"] = self._picture(values["picture"])
        if request.verb in ("key", "pull"):
            return await self._gesture(viewer, request, values)
        done: dict[str, Any] | None = await getattr(self, f"_{request.verb}")(
            viewer, request, **values
        )
        return done

    def _picture(self, number: int) -> Picture:
        if number >= len(self.pictures):
            raise PageError(f"there is no picture {number}; fork one first")
        return self.pictures[number]

    async def _gesture(
        self, viewer: Viewer, request: PageRequest, values: dict[str, Any]
    ) -> dict[str, Any]:
        if request.verb == "key":
            text = self.actions.key(values["key"])
        else:
            stick = viewer.sticks.setdefault(values["device"], self.actions.stick())
            if len(viewer.sticks) > 8:
                viewer.sticks.clear()
            text = stick.move(values["x"], values["y"])
        if text is None:
            return {"text": None}
        return await self._prompt(viewer, request, text, values["picture"])

    async def _prompt(
        self, viewer: Viewer, request: PageRequest, text: str, picture: Picture
    ) -> dict[str, Any]:
        receipt = await self._call(picture.client.prompt, text, flush=True)
        self._follow(viewer, request, receipt)
        self.tell({"event": "said", "picture": picture.number, "text": text, "by": viewer.number})
        return {"text": text, "prompt": receipt.prompt}

    def _follow(self, viewer: Viewer, request: PageRequest, receipt: Receipt) -> None:
        """Tells the page when it shows."""
        asked_s = time.monotonic()

        async def wait() -> None:
            told: dict[str, Any] = {"event": "applied", "id": request.id}
            try:
                applied = await asyncio.wrap_future(receipt.future)
                told |= {"ok": True, "frame": applied.frame, "chunk": applied.chunk,
                         "epoch": applied.epoch, "prompt": receipt.prompt}  # fmt: skip
            except MagiError as error:
                told |= {"ok": False, "error": error.message}
            viewer.tell({**told, "ms": round(1e3 * (time.monotonic() - asked_s), 1)})

        self._spawn(wait())

    async def _rewind(
        self, viewer: Viewer, request: PageRequest, chunk: int, picture: Picture
    ) -> None:
        receipt = await self._call(picture.client.rewind, self._back(picture, chunk))
        self._follow(viewer, request, receipt)

    @staticmethod
    def _back(picture: Picture, chunk: int) -> int:
        """How many chunks lie between the start of one and what is shown."""
        if chunk > picture.chunk:
            raise PageError(f"chunk {chunk} was not shown yet; the newest is {picture.chunk}")
        return picture.chunk - chunk + 1

    async def _fork(self, viewer: Viewer, request: PageRequest, chunk: int) -> None:
        async with self._changing:
            if len(self.pictures) > 1:
                raise PageError("two pictures are shown already; close the second one first")
            first = self.pictures[0]
            back, before = self._back(first, chunk), first.text_at(chunk - 1)
            self._add(await self._call(self.worlds.fork, first.client, back), before)
            self.tell(self.card())
            self.tell(self.pictures[1].card())

    async def _unfork(self, viewer: Viewer, request: PageRequest) -> None:
        async with self._changing:
            if len(self.pictures) < 2:
                raise PageError("there is no second picture to close")
            await self._call(self.pictures.pop().close)
            await self._call(self.worlds.unfork)
            self.tell(self.card())

    async def _reset(self, viewer: Viewer, request: PageRequest, seed: int | None) -> None:
        self._follow(viewer, request, await self._call(self.pictures[0].client.reset, seed))

    async def _image(self, viewer: Viewer, request: PageRequest, data: str, text: str) -> None:
        try:
            content = base64.b64decode(data.rpartition(",")[2], validate=True)
        except binascii.Error:
            raise PageError("data must be a picture file as base64 or as a data: address") from None
        picture = self.pictures[0]
        paused = picture.paused
        # nothing is shown until the first chunk knows its words
        await self._call(picture.client.pause)
        try:
            receipt = await self._call(picture.client.seed_image, content)
            if text:
                await self._call(picture.client.prompt, text, flush=True)
        finally:
            if not paused:
                await self._call(picture.client.resume)
        self._follow(viewer, request, receipt)

    async def _pause(self, viewer: Viewer, request: PageRequest) -> None:
        await self._pausing(True)

    async def _resume(self, viewer: Viewer, request: PageRequest) -> None:
        await self._pausing(False)

    async def _pausing(self, paused: bool) -> None:
        for picture in self.pictures:
            await self._call(picture.client.pause if paused else picture.client.resume)
            picture.paused = paused
        self.tell({"event": "paused", "paused": paused})

    async def _fps(self, viewer: Viewer, request: PageRequest, fps: float) -> dict[str, Any]:
        done = [await self._call(picture.client.set, fps=fps) for picture in self.pictures]
        return {"fps": done[0]["fps"]}

    async def _save(self, viewer: Viewer, request: PageRequest, name: str) -> dict[str, Any]:
        return {"name": name, "bytes": await self._call(self.pictures[0].client.snapshot, name)}

    async def _load(self, viewer: Viewer, request: PageRequest, name: str) -> None:
        self._follow(viewer, request, await self._call(self.pictures[0].client.restore, name))

    async def _record(self, viewer: Viewer, request: PageRequest, on: bool) -> dict[str, Any]:
        if on == (self.recorder is not None):
            raise PageError("it is recording already" if on else "nothing is being recorded")
        picture = self.pictures[0]
        if on:
            facts = picture.facts
            path = self.recordings / time.strftime("world-%Y%m%d-%H%M%S.mp4")
            self.recorder = Recorder(path, fps=facts.fps, height=facts.height, width=facts.width)
            picture.on_frame = self.recorder.take
            told: dict[str, Any] = {}
        else:
            picture.on_frame, recorder, self.recorder = None, self.recorder, None
            assert recorder is not None
            path = await self._call(recorder.finish)
            told = {"file": f"recordings/{path.name}", "frames": recorder.frames}
        self.tell(self.card())
        return told

    def _wheel(self, viewer: Viewer, give: int | None) -> dict[str, Any]:
        if give is None:
            mine = self.wheel.ask(viewer.number)
        else:
            if give not in self.viewers:
                raise PageError(f"there is no viewer {give}")
            if not self.wheel.give(viewer.number, give):
                raise PageError("the wheel is not yours to give")
            mine = give == viewer.number
        self.tell(self.card())
        return {"yours": mine}
