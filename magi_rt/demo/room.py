"""The room where pages watch one world and take turns to steer it."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from dataclasses import replace
from typing import Any

from magi_rt.demo.hall import Hall
from magi_rt.demo.messages import PageError, PageRequest
from magi_rt.demo.picture import Picture
from magi_rt.demo.recorder import Recorder, free_name
from magi_rt.demo.viewer import Viewer
from magi_rt.errors import MagiError
from magi_rt.stream.client import Receipt

_FREE = ("wheel",)
"""Verbs that need no wheel."""

_log = logging.getLogger("magi_rt.demo")


class Room(Hall):
    """The hall, and what its pages may ask for."""

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
            if viewer.turn != self.wheel.turns:  # who had no wheel could not let a stick go
                viewer.turn = self.wheel.turns
                viewer.sticks.clear()
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
        self._follow(viewer, request, await self._call(picture.client.rewind, to=chunk))

    async def _fork(self, viewer: Viewer, request: PageRequest, chunk: int) -> None:
        async with self._changing:
            if len(self.pictures) > 1:
                raise PageError("two pictures are shown already; close the second one first")
            first = self.pictures[0]
            if chunk > first.chunk:
                raise PageError(f"chunk {chunk} was not shown yet; the newest is {first.chunk}")
            start = "" if chunk else first.text_at(0)
            client = await self._call(self.worlds.fork, first.client, chunk, start)
            self._add(client, first.text_at(chunk - 1))
            second = self.pictures[1]
            try:
                await self._set_fps(second, first.facts.fps)
                if first.paused:
                    await self._call(client.pause)
                    second.paused = True
            except BaseException:
                await self._close_second()
                self.tell(self.card())  # a page that came meanwhile has seen two
                raise
            self.tell(self.card())
            self.tell(second.card())
            if second.newest is not None:  # no page knew whose it was, and a paused one stays
                for each in self.viewers.values():
                    each.refresh(second.number, second.newest)

    async def _unfork(self, viewer: Viewer, request: PageRequest) -> None:
        async with self._changing:
            if len(self.pictures) < 2:
                raise PageError("there is no second picture to close")
            await self._close_second()
            self.tell(self.card())

    async def _close_second(self) -> None:
        await self._call(self.pictures.pop().close)
        await self._call(self.worlds.unfork)

    async def _reset(self, viewer: Viewer, request: PageRequest, seed: int | None) -> None:
        self._follow(viewer, request, await self._call(self.pictures[0].client.reset, seed))

    async def _image(
        self, viewer: Viewer, request: PageRequest, data: str, text: str | None
    ) -> None:
        try:
            content = base64.b64decode(data.rpartition(",")[2], validate=True)
        except ValueError:  # binascii.Error is one; other letters than ASCII raise it itself
            raise PageError("data must be a picture file as base64 or as a data: address") from None
        seed_image = self.pictures[0].client.seed_image
        self._follow(viewer, request, await self._call(seed_image, content, text=text))

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
        for picture in self.pictures:
            await self._set_fps(picture, fps)
        return {"fps": self.pictures[0].facts.fps}

    async def _set_fps(self, picture: Picture, fps: float) -> None:
        done = await self._call(picture.client.set, fps=fps)
        picture.facts = replace(picture.facts, fps=done["fps"])

    async def _save(self, viewer: Viewer, request: PageRequest, name: str) -> dict[str, Any]:
        return {"name": name, "bytes": await self._call(self.pictures[0].client.snapshot, name)}

    async def _load(self, viewer: Viewer, request: PageRequest, name: str) -> None:
        self._follow(viewer, request, await self._call(self.pictures[0].client.restore, name))

    async def _record(self, viewer: Viewer, request: PageRequest, on: bool) -> dict[str, Any]:
        if on == (self.recorder is not None):
            raise PageError("it is recording already" if on else "nothing is being recorded")
        if not on:
            told = await self.finish_recording()
            news = {"event": "recorded", "why": f"viewer {viewer.number} ended the recording"}
            self.tell({**news, **told}, but=viewer)
            return told
        picture = self.pictures[0]
        shown = picture.facts if picture.newest is None else picture.newest.header
        path, fps = free_name(self.recordings), picture.facts.fps
        recorder = Recorder(path, fps=fps, height=shown.height, width=shown.width)
        self.recorder = recorder
        picture.on_frame = lambda received: recorder.take(received, picture.facts.fps)
        self.tell(self.card())
        return {}

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
