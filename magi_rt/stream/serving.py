"""What a server does with requests and frames; called by its loop, on one thread."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import magi_rt
from magi_rt.errors import MagiError
from magi_rt.stream.addresses import reachable
from magi_rt.stream.control import Asked, ControlSocket
from magi_rt.stream.maker import SUPERSEDED, Done, Job, Maker, NotDone, Report
from magi_rt.stream.publisher import HEARTBEAT_MS, FramePublisher
from magi_rt.stream.receipts import Receipts, Ticket
from magi_rt.stream.requests import FORMATS, VERSION, Body, Hello, Prompt, Set
from magi_rt.stream.showing import DueFrame, Showing
from magi_rt.world import World
from magi_rt.world.prompt_text import CHARACTER_LIMIT


class Serving:
    """The answers of one server and the way of its frames.

    Args:
        ids: numbers for prompts; the maker draws from the same.
        buffer: whole chunks made ahead of the one being shown.
    """

    def __init__(
        self,
        world: World,
        maker: Maker,
        publisher: FramePublisher,
        control: ControlSocket,
        *,
        showing: Showing,
        ids: itertools.count[int],
        buffer: int,
    ) -> None:
        self.maker, self.publisher, self.control = maker, publisher, control
        self.showing, self.receipts = showing, Receipts()
        self._ids, self._buffer = ids, buffer
        self._facts = facts_of(world)
        self._begun_s = time.monotonic()
        self._shown: tuple[int, str] = (0, "")
        self._answers: dict[str, Callable[[Any], Mapping[str, Any]]] = {
            "hello": self._hello,
            "pause": lambda _: self._pause(True),
            "resume": lambda _: self._pause(False),
            "set": self._set,
            "stats": lambda _: {"stats": self.stats()},
            "bye": lambda _: {},
        }

    def handle(self, asked: Asked) -> None:
        """Answers a request, or gives it to the maker, who answers later."""
        ticket, body = asked.ticket, asked.body
        answer = self._answers.get(body.kind)
        if answer is None:
            self._for_the_maker(ticket, body)
            return
        try:
            self.control.accept(ticket, answer(body))
        except MagiError as error:
            self.control.refuse(ticket, "refused", error.message)

    def report(self, report: Report) -> None:
        """Passes on what has become of a request."""
        match report:
            case NotDone(code, message, ticket, 0):
                self.control.refuse(ticket, code, message)
            case NotDone(code, message, _, prompt):
                # a beginning shows also when a newer prompt took the place of its first one
                whole = code != "superseded"
                self._will_not_show(self.receipts.drop_prompt(prompt, whole), code, message)
            case Done(ticket, values, epoch, anew, prompt):
                self.control.accept(ticket, values)
                if anew:
                    for earlier in self.receipts.drop_jumps():
                        self._will_not_show(earlier, "superseded", SUPERSEDED)
                if epoch:
                    self.receipts.expect_epoch(epoch, ticket, prompt)

    def show(self, due: DueFrame) -> None:
        """Sends a frame, what is told before it, and the receipts that wait for it."""
        chunk, frame = due.chunk, due.frame
        self.control.epoch = chunk.epoch
        if due.first and chunk.epoch:
            self.publisher.event("epoch", epoch=chunk.epoch, reason=chunk.reason)
        if due.turn:
            self.publisher.event("prompt", epoch=chunk.epoch, prompt=chunk.prompt, text=chunk.text)
        self._shown = (chunk.prompt, chunk.text)
        seq = self.publisher.publish(
            frame.pixels, epoch=chunk.epoch, frame=frame.index, chunk=chunk.chunk,
            prompt=chunk.prompt, due_ns=due.due_ns, first=due.first, borrowed=True,
            steps=frame.steps,
        )  # fmt: skip
        for shown in self.receipts.shown(chunk.prompt, chunk.epoch):
            self.control.applied(
                shown.ticket, seq=seq, frame=frame.index, chunk=chunk.chunk, prompt=shown.prompt
            )

    def end(self, reason: str) -> None:
        """Tells everybody that the server ends; nobody is left waiting for a receipt."""
        for ticket in self.receipts.drop_all():
            self._will_not_show(ticket, "failed", f"the server ends: {reason}")
        self.publisher.close(reason)
        self.control.close()

    def stats(self) -> dict[str, Any]:
        """The counters of ``magi-rt stats``, names and numbers."""
        made, shown, asked = self.maker.counts, self.showing.counts, self.control.counts
        chunk_ms = 1e3 * made.making_s / made.chunks if made.chunks else 0.0
        return {
            "model": self._facts["model"],
            "uptime_s": time.monotonic() - self._begun_s,
            "fps": self.showing.fps,
            "paused": self.showing.paused,
            "epoch": self.showing.epoch,
            "buffer_ms": self._buffer_ms,
            "chunks_made": made.chunks,
            "chunks_ready": self.maker.ready,
            "chunks_taken_back": made.taken_back,
            "chunk_ms": chunk_ms,
            "failures": made.failures,
            "frames_shown": shown.frames,
            "frames_late": shown.late,
            "frames_dropped_by_jumps": shown.dropped,
            "steps": self.showing.steps,
            "steps_changed": shown.steps_changed,
            "clients": self.control.clients,
            "requests": asked.requests,
            "requests_repeated": asked.repeated,
            "requests_refused": asked.refused,
            "requests_malformed": asked.malformed,
            "requests_waiting": self.maker.waiting,
            "receipts_waiting": len(self.receipts),
            **publisher_counts(self.publisher),
        }

    # Single requests

    def _for_the_maker(self, ticket: Ticket, body: Body) -> None:
        prompt = next(self._ids) if isinstance(body, Prompt) else 0
        if prompt:
            # before the maker can know of it, so that nothing it says comes too early
            self.receipts.expect_prompt(prompt, ticket)
        if not self.maker.submit(Job(ticket, body, prompt)):
            self.receipts.drop_prompt(prompt)
            self.control.refuse(ticket, "busy", f"{self.maker.waiting} requests wait; try again")
        elif prompt:
            self.control.accept(ticket, {"prompt": prompt})

    def _will_not_show(self, ticket: Ticket | None, code: str, message: str) -> None:
        if ticket is not None:
            self.control.refuse(ticket, code, message)

    def facts(self) -> dict[str, Any]:
        """What the server says of itself, now."""
        return {
            "server": f"magi_rt {magi_rt.__version__}",
            **self._facts,
            "fps": self.showing.fps,
            "formats": list(FORMATS),
            "format": self.publisher.any_format,
            "paused": self.showing.paused,
            "prompt": self._shown[0],
            "text": self._shown[1],
            "heartbeat_ms": HEARTBEAT_MS,
            "buffer_ms": self._buffer_ms,
            "frames": reachable(self.publisher.address),
        }

    def _hello(self, body: Hello) -> dict[str, Any]:
        shared = self.publisher.offer_shared(body.shared) if body.shared else ""
        return {"chosen": VERSION, **self.facts(), "shared": shared}

    def _pause(self, paused: bool) -> dict[str, Any]:
        self.showing.paused = self.publisher.paused = paused
        self.publisher.heartbeat()
        return {"paused": paused}

    def _set(self, body: Set) -> dict[str, Any]:
        if body.fps is not None:
            self.showing.fps = self.publisher.fps = body.fps
        if body.format is not None:
            self.publisher.any_format = body.format
        if body.quality is not None:
            self.publisher.quality = body.quality
        self.publisher.heartbeat()
        return {
            "fps": self.showing.fps,
            "format": self.publisher.any_format,
            "quality": self.publisher.quality,
        }

    @property
    def _buffer_ms(self) -> float:
        frames = self._buffer * int(self._facts["frames_per_chunk"])
        return round(1000 * frames / self.showing.fps, 1)


def publisher_counts(publisher: FramePublisher) -> dict[str, Any]:
    """What went out, and which topics somebody wants."""
    counts = publisher.stats
    return {
        "frames_sent": counts.sent,
        "frames_repeated": counts.repeated,
        "frames_skipped": counts.skipped,
        "topics": list(counts.wanted)[:64],
    }


def facts_of(world: World) -> dict[str, Any]:
    """What a hello says of a world that stays the same for the server's life."""
    height, width = world.size
    return {
        # a folder's place on the server is nobody's business
        "model": Path(world.log.model).name,
        "width": width,
        "height": height,
        "frames_per_chunk": world.frames_per_chunk,
        "delay_chunks": world.delay_chunks,
        "prompt_characters": CHARACTER_LIMIT,
    }
