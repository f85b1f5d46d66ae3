"""Worlds whose frames are known: one that continues the simulator, one that stands still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from magi_rt.evaluation.beginnings import Beginning
from magi_rt.evaluation.opened import Begin
from magi_rt.evaluation.physics import BeginScene
from magi_rt.evaluation.physics_scenes import Scene
from magi_rt.evaluation.trials import Trial
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels

CHUNK = 8


def as_frames(pixels: Pixels, prompt: str = "") -> list[Frame]:
    return [Frame(picture, i, 0, prompt, i / 24) for i, picture in enumerate(pixels)]


class RecordedWorld:
    """Shows recorded frames chunk by chunk: one recording for each prompt it may hear first."""

    def __init__(self, recordings: dict[str, Pixels], shown: int = 0) -> None:
        self.recordings, self.shown = recordings, shown

    def advance(self, prompt: str, /) -> list[Frame]:
        pixels = self.recordings[prompt][self.shown : self.shown + CHUNK]
        self.shown += CHUNK
        return as_frames(pixels, prompt)

    def fork(self) -> RecordedWorld:
        return RecordedWorld(self.recordings, self.shown)


class FrozenWorld:
    """Shows one picture for ever."""

    def __init__(self, picture: Pixels) -> None:
        self.picture = picture

    def advance(self, prompt: str, /) -> list[Frame]:
        return as_frames(np.stack([self.picture] * CHUNK), prompt)

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
    """Begins the simulator's own continuation of whichever trial's video is given.

    Under the empty prompt it stands still, which obeys nothing but a freeze.
    """
    by_video = {trial.video.tobytes(): trial for trial in trials}

    def begin(video: Pixels | None, seed: int) -> RecordedWorld:
        assert video is not None
        trial = by_video[video.tobytes()]
        still = np.repeat(trial.video[-1:], len(trial.truth), axis=0)
        return RecordedWorld({trial.prompt: trial.truth, "": still})

    return begin


def perfect_beginnings(beginnings: Sequence[Beginning]) -> Begin:
    """Begins the simulator's own room, whichever caption comes."""
    rooms = {one.caption: one.truth for one in beginnings}

    def begin(video: Pixels | None, seed: int) -> RecordedWorld:
        assert video is None
        return RecordedWorld(rooms)

    return begin


def perfect_scenes(scenes: Sequence[Scene]) -> BeginScene:
    """Begins the simulator's own continuation of whichever scene's frames are given."""
    by_frames = {scene.given.tobytes(): scene for scene in scenes}

    def begin(frames: Pixels, start: str, seed: int) -> RecordedWorld:
        scene = by_frames[frames.tobytes()]
        assert scene.start == start
        return RecordedWorld({scene.prompt: scene.true})

    return begin


def frozen(video: Pixels | None, seed: int) -> FrozenWorld:
    assert video is not None
    return FrozenWorld(video[-1])


def frozen_scene(frames: Pixels, start: str, seed: int) -> FrozenWorld:
    return FrozenWorld(frames[-1])
