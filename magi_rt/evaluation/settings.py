"""Quality and speed of the same weights under other settings: steps, window, history."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from magi_rt.errors import OptionError
from magi_rt.evaluation.opened import OpenedModel, Steered
from magi_rt.evaluation.physics import physics_rows, run_scenes
from magi_rt.evaluation.physics_scenes import Scene
from magi_rt.evaluation.steering import run_trials, scores
from magi_rt.evaluation.trials import Trial
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels

STEPS = (64, 32, 16, 8, 4)
WINDOWS = (1, 4)
HISTORIES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Setting:
    """``name`` for people; the rest as in ``World.open``, ``None`` is the model's own."""

    name: str
    steps: int | None = None
    window: int | None = None
    depth: int | None = None


SETTINGS = (
    *(Setting(f"{steps} steps", steps=steps) for steps in STEPS),
    *(Setting(f"window {window}", window=window) for window in WINDOWS),
    *(Setting(f"history of {depth}", depth=depth) for depth in HISTORIES),
)


@dataclass(frozen=True)
class SettingScore:
    """``obeyed`` 0..1, ``physics`` 0..100, ``fps``: frames made per second; nan, and ``refused``
    says why, where the model does not run so."""

    setting: Setting
    obeyed: float
    physics: float
    fps: float
    refused: str = ""


class _Clocked:
    """A world whose time in ``advance`` is summed up, but for the first, which fills the window."""

    def __init__(self, world: Steered, clock: _Clock, *, running: bool = False) -> None:
        self.world, self.clock, self.running = world, clock, running

    def advance(self, prompt: str, /) -> list[Frame]:
        begun = time.perf_counter()
        frames = self.world.advance(prompt)
        if self.running:
            self.clock.seconds += time.perf_counter() - begun
            self.clock.frames += len(frames)
        self.running = True
        return frames

    def fork(self) -> _Clocked:
        return _Clocked(self.world.fork(), self.clock, running=self.running)


@dataclass
class _Clock:
    seconds: float = 0.0
    frames: int = 0


def run_settings(
    opened: OpenedModel,
    trials: Sequence[Trial],
    scenes: Sequence[Scene],
    tell: Callable[[str], None],
) -> Iterator[SettingScore]:
    """The same trials and scenes under every setting; ``tell`` hears of each one's end."""
    for setting in SETTINGS:
        try:
            yield _measured(setting, opened, trials, scenes)
        except OptionError as error:
            nothing = math.nan
            yield SettingScore(setting, nothing, nothing, nothing, refused=str(error))
        tell(setting.name)


def _measured(
    setting: Setting, opened: OpenedModel, trials: Sequence[Trial], scenes: Sequence[Scene]
) -> SettingScore:
    model = opened.sampled(steps=setting.steps, window=setting.window, depth=setting.depth)
    clock = _Clock()

    def begin(video: Pixels | None, seed: int) -> Steered:
        return _Clocked(model.begin(video, seed), clock)

    def begin_scene(frames: Pixels, start: str, seed: int) -> Steered:
        return _Clocked(model.begin_from(frames, start, seed), clock)

    obeyed = scores(run_trials(trials, begin, controls=False))[-1].obeyed
    rows = physics_rows(run_scenes(scenes, begin_scene))
    physics = next(row.score for row in rows if row.take == "model")
    return SettingScore(setting, obeyed, physics, clock.frames / max(clock.seconds, 1e-9))
