"""The maker: the one thread that moves the world, ahead of the loop that shows its frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from magi_rt.errors import MagiError, MediaError, OptionError, PromptError, ShapeError
from magi_rt.stream.requests import Body, Fork, Image, Prompt, Reset, Restore, Rewind, Snapshot
from magi_rt.stream.steered import MadeChunk, SteeredWorld

WAITING_LIMIT = 64
"""Requests that may wait for the maker; further ones are turned away."""

REST_S = 1.0
"""Pause after a chunk could not be made, so that a broken world does not spin."""

SUPERSEDED = "a later request replaced it before it showed"

_log = logging.getLogger("magi_rt.stream")


@dataclass(frozen=True)
class Job:
    """A request for the world.

    Attributes:
        ticket: whose request, in the words of whoever gave the job.
        prompt: the id that a prompt has got, 0 for other requests.
    """

    ticket: Any
    body: Body
    prompt: int = 0

    @property
    def flushes(self) -> bool:
        """True for a prompt that takes back what nobody has seen."""
        return isinstance(self.body, Prompt) and self.body.flush


@dataclass(frozen=True)
class Done:
    """A job is done.

    Attributes:
        epoch: the one that shows it, 0 when it changes no picture.
        anew: nothing of what earlier jobs did will show.
        prompt: the id of a first prompt that the job brought along, 0 for none.
    """

    ticket: Any
    values: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    anew: bool = False
    prompt: int = 0


@dataclass(frozen=True)
class NotDone:
    """A job is refused, or a prompt accepted before will not show."""

    code: str
    message: str
    ticket: Any = None
    prompt: int = 0


Report = Done | NotDone


@dataclass
class MakerCounts:
    """What the maker has done so far; times in seconds."""

    chunks: int = 0
    taken_back: int = 0
    failures: int = 0
    making_s: float = 0.0


class Maker:
    """Makes whole chunks ahead, at most ``ready`` beyond the one that is being shown.

    Args:
        ready: whole chunks made ahead, 1 or more.
        wake: called, from the maker's thread, when there is a chunk or a report to fetch.
    """

    def __init__(self, steered: SteeredWorld, *, ready: int, wake: Callable[[], None]) -> None:
        self.counts = MakerCounts()
        self._steered, self._ready_limit, self._wake = steered, ready, wake
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._ready: deque[MadeChunk] = deque()
        self._reports: deque[Report] = deque()
        self._holds = 0
        self._rest_until_s = 0.0
        self._failure = ""
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="magi_rt maker", daemon=True)

    def start(self) -> None:
        """Begins to make chunks."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the chunk it is at; the worlds are closed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        while self._jobs:
            job = self._jobs.popleft()
            self._report(NotDone("failed", "the server ends", job.ticket, job.prompt))
        self._steered.close()

    # For the loop that shows frames

    def submit(self, job: Job) -> bool:
        """Gives a job to the maker; False when too many wait."""
        with self._changed:
            if len(self._jobs) >= WAITING_LIMIT:
                return False
            self._jobs.append(job)
            self._holds += job.flushes
            self._changed.notify_all()
            return True

    def take(self, *, only_cut: bool = False) -> MadeChunk | None:
        """The next whole chunk, which counts as seen from now on; None while there is none.

        While a prompt with flush waits there is none, or it would not be the first to show.

        Args:
            only_cut: only a chunk that does not follow what is being shown.
        """
        with self._changed:
            if not self._ready or self._holds or (only_cut and not self._ready[0].cut):
                return None
            self._changed.notify_all()
            return self._ready.popleft()

    def reports(self) -> list[Report]:
        """What has become of jobs since the last call, in order."""
        with self._changed:
            found = list(self._reports)
            self._reports.clear()
            return found

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    @property
    def ready(self) -> int:
        """Whole chunks that wait to be shown."""
        return len(self._ready)

    # The thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._ended or self._jobs or self._may_make):
                    self._changed.wait(self._rest_s())
                if self._ended:
                    return
                job = self._jobs.popleft() if self._jobs else None
            if job is not None:
                self._do(job)
            else:
                self._make()
            self._wake()

    @property
    def _may_make(self) -> bool:
        return len(self._ready) < self._ready_limit and time.monotonic() >= self._rest_until_s

    def _rest_s(self) -> float | None:
        """How long to wait at most: until the rest after a failure is over."""
        left_s = self._rest_until_s - time.monotonic()
        return left_s if left_s > 0 else None

    def _make(self) -> None:
        begun_s = time.monotonic()
        try:
            made = self._steered.advance()
        except Exception as error:
            self._failed(error)
            return
        self._failure = ""
        self.counts.chunks += 1
        self.counts.making_s += time.monotonic() - begun_s
        with self._changed:
            self._ready.append(made)

    def _failed(self, error: Exception) -> None:
        self.counts.failures += 1
        given_up = self._steered.give_up_prompts()
        said = _sentence(error)
        known = isinstance(error, PromptError) or said == self._failure
        self._failure = said
        _log.error("a chunk could not be made: %s", error, exc_info=not known)
        for prompt in given_up:
            self._report(NotDone("failed", said, prompt=prompt))
        if not given_up:
            self._rest_until_s = time.monotonic() + REST_S

    def _do(self, job: Job) -> None:
        try:
            report = self._done(job)
            if report is not None:
                self._report(report)
        except (OptionError, MediaError, PromptError, ShapeError) as error:
            self._report(NotDone("refused", error.message, job.ticket, job.prompt))
        except Exception as error:
            if not isinstance(error, MagiError):
                _log.exception("a request failed")
            self._report(NotDone("failed", _sentence(error), job.ticket, job.prompt))
        finally:
            with self._changed:
                self._holds -= job.flushes

    def _done(self, job: Job) -> Report | None:
        steered, unseen = self._steered, len(self._ready)
        match job.body:
            case Prompt():
                self._prompt(job, job.body)
                return None
            case Reset(seed, text):
                return self._jump(job, lambda _: steered.begin_anew(seed=seed, text=text))
            case Image(image, seed, text):
                return self._jump(
                    job, lambda _: steered.begin_anew(seed=seed, image=image, text=text)
                )
            case Rewind(chunks, to):
                return self._jump(job, lambda unseen: steered.rewind(chunks, unseen, to=to))
            case Restore(name):
                return self._jump(job, lambda _: steered.restore(name))
            case Fork(name):
                return Done(job.ticket, {"forks": steered.fork(name, unseen)})
            case Snapshot(name):
                return Done(job.ticket, {"bytes": steered.snapshot(name, unseen)})
        raise TypeError(f"{job.body} is nothing for the maker")

    def _prompt(self, job: Job, body: Prompt) -> None:
        """A prompt was accepted when it came: only that it will not show is told."""
        if body.flush:
            self._superseded(self._steered.flush(self._take_back()))
        self._superseded(self._steered.prompt(job.prompt, body.text, body.at))

    def _jump(self, job: Job, go: Callable[[Sequence[MadeChunk]], list[int] | None]) -> Report:
        """Goes elsewhere; what was made ahead is dropped, unless the request is refused."""
        with self._changed:
            # nobody may take a chunk while it counts as unseen
            self._holds += 1
            unseen = list(self._ready)
        try:
            dropped = go(unseen)
            if dropped is None:
                return NotDone("not_found", "there is no snapshot or fork of that name", job.ticket)
            self._take_back()
            self._superseded(dropped)
            anew = not isinstance(job.body, Rewind)
            brings = isinstance(job.body, Reset | Image) and bool(job.body.text)
            prompt = self._steered.first_prompt if brings else 0
            return Done(job.ticket, epoch=self._steered.epoch, anew=anew, prompt=prompt)
        finally:
            with self._changed:
                self._holds -= 1

    def _take_back(self) -> list[MadeChunk]:
        with self._changed:
            unseen = list(self._ready)
            self._ready.clear()
        self.counts.taken_back += len(unseen)
        return unseen

    def _superseded(self, prompts: Sequence[int]) -> None:
        for prompt in prompts:
            self._report(NotDone("superseded", SUPERSEDED, prompt=prompt))

    def _report(self, report: Report) -> None:
        with self._changed:
            self._reports.append(report)


def _sentence(error: Exception) -> str:
    """What went wrong, in one line that fits an answer."""
    said = error.message if isinstance(error, MagiError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:1000]
