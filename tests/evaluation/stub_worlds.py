"""Worlds whose frames are known: one that continues the simulator, one that stands still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from magi_rt.evaluation.opened import Begin
from magi_rt.evaluation.trials import CHUNKS, Trial
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels


def as_frames(pixels: Pixels, prompt: str = "") -> list[Frame]:
    return [Frame(picture, i, 0, prompt, i / 24) for i, picture in enumerate(pixels)]


class PerfectWorld:
    """Goes on as the simulator does under the trial's prompt, or under none."""

    def __init__(self, trial: Trial, chunk: int = 0) -> None:
        self.trial, self.chunk = trial, chunk

    def advance(self, prompt: str, /) -> list[Frame]:
        pixels = {self.trial.prompt: self.trial.truth, "": self.trial.unasked}[prompt]
        self.chunk += 1
        length = len(pixels) // CHUNKS
        return as_frames(pixels[(self.chunk - 1) * length : self.chunk * length], prompt)

    def fork(self) -> PerfectWorld:
        return PerfectWorld(self.trial, self.chunk)


class FrozenWorld:
    """Shows one picture for ever."""

    def __init__(self, picture: Pixels) -> None:
        self.picture = picture

    def advance(self, prompt: str, /) -> list[Frame]:
        return as_frames(np.stack([self.picture] * 8), prompt)

    def fork(self) -> FrozenWorld:
        return self


class FilmWorld:
    """Shows given chunks, whatever is asked."""

    def __init__(self, chunks: Iterable[Pixels]) -> None:
        self.chunks: Iterator[Pixels] = iter(chunks)

    def advance(self, prompt: str, /) -> list[Frame]:
        return as_frames(next(self.chunks), prompt)

    def fork(self) -> FilmWorld:
        raise AssertionError("a film cannot be forked")


def perfect(trials: Sequence[Trial]) -> Begin:
    """Begins the perfect world of whichever trial's video is given."""
    by_video = {trial.video.tobytes(): trial for trial in trials}

    def begin(video: Pixels | None, seed: int) -> PerfectWorld:
        assert video is not None
        return PerfectWorld(by_video[video.tobytes()])

    return begin


def frozen(video: Pixels | None, seed: int) -> FrozenWorld:
    assert video is not None
    return FrozenWorld(video[-1])
