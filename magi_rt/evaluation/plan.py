"""What to measure, how often, and the run through all of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from magi_rt.errors import OptionError
from magi_rt.evaluation.beginnings import Opened, draw_beginnings, run_beginnings
from magi_rt.evaluation.kinds import KINDS
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.physics import Continued, run_scenes
from magi_rt.evaluation.physics_scenes import STARTS, draw_scenes
from magi_rt.evaluation.play import Play, draw_script, play
from magi_rt.evaluation.reconstruction import Reconstruction, reconstruct
from magi_rt.evaluation.report import PARTS, Evaluation, SettingsFound
from magi_rt.evaluation.settings import SETTINGS, run_settings
from magi_rt.evaluation.steering import Outcome, run_trials
from magi_rt.evaluation.trials import draw_trials

VAE_CLIPS = 24

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Amounts:
    """How much is measured. ``beginnings``: captions; ``trials``: of each kind of prompt;
    ``scenes``: of physics, from a video and from a picture each; ``scripts``: of play, of so many
    ``minutes`` each; ``setting_trials`` of each kind and ``setting_scenes``: for every setting."""

    beginnings: int
    trials: int
    scenes: int
    scripts: int
    minutes: float
    setting_trials: int
    setting_scenes: int


QUICK = Amounts(
    beginnings=60,
    trials=6,
    scenes=24,
    scripts=3,
    minutes=1.0,
    setting_trials=1,
    setting_scenes=4,
)
FULL = Amounts(
    beginnings=400,
    trials=100,
    scenes=48,
    scripts=5,
    minutes=10.0,
    setting_trials=4,
    setting_scenes=12,
)
"""Minutes of computing, and an hour or two."""
LONGEST_MIN = 120.0


@dataclass(frozen=True)
class Plan:
    """``parts``: what is measured, of PARTS; ``amounts``: how much; ``seed``: all follows from it.

    Raises:
        OptionError: an unknown part, or minutes outside 0.1 .. 120.
    """

    parts: tuple[str, ...] = PARTS
    amounts: Amounts = QUICK
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise OptionError(
                f"there is no part {unknown[0] if unknown else ''!r}; there are {', '.join(PARTS)}",
                field="only",
            )
        if not 0.1 <= self.amounts.minutes <= LONGEST_MIN:
            raise OptionError(
                f"minutes is {self.amounts.minutes:g}; give 0.1 to {LONGEST_MIN:g}", field="minutes"
            )

    def chunks(self, opened: OpenedModel) -> int:
        """Chunks of each script of play."""
        return math.ceil(60 * self.amounts.minutes * opened.fps / opened.frames_per_chunk)

    def ticks(self, opened: OpenedModel) -> int:
        """How often ``tell`` is called while the plan is carried out."""
        each = {
            "beginnings": self.amounts.beginnings,
            "steering": self.amounts.trials * len(KINDS),
            "physics": self.amounts.scenes * len(STARTS),
            "play": self.amounts.scripts * self.chunks(opened),
            "settings": len(SETTINGS),
            "vae": 1,
        }
        return sum(each[part] for part in self.parts)


def carry_out(
    plan: Plan, opened: OpenedModel, tell: Tell, save: Callable[[Evaluation], object]
) -> Evaluation:
    """Measures what the plan says, part by part; ``tell`` hears of every step, ``save`` gets all
    that there is after every part, so that an interrupted evaluation leaves what it found."""
    found: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for part in PARTS:
        if part in plan.parts:
            begun = time.perf_counter()
            found[part] = _MEASURES[part](plan, opened, tell)
            seconds[part] = round(time.perf_counter() - begun, 1)
            evaluation = Evaluation(opened.card(), plan.seed, seconds=dict(seconds), **found)
            save(evaluation)
    return evaluation


def _beginnings(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Opened]:
    length, size, count = opened.frames_per_chunk, opened.size, plan.amounts.beginnings
    drawn = draw_beginnings(count, plan.seed, size=size, frames_per_chunk=length)
    return run_beginnings(drawn, opened.begin, tell)


def _steering(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Outcome]:
    length, size = opened.frames_per_chunk, opened.size
    drawn = draw_trials(plan.amounts.trials, plan.seed, size=size, frames_per_chunk=length)
    return run_trials(drawn, opened.begin, tell)


def _physics(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Continued]:
    drawn = draw_scenes(plan.amounts.scenes, plan.seed, size=opened.size)
    return run_scenes(drawn, opened.begin_from, tell)


def _play(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Play]:
    chunks, length, delay = plan.chunks(opened), opened.frames_per_chunk, opened.delay_chunks
    scripts = (
        draw_script(chunks, plan.seed, number=number, size=opened.size, frames_per_chunk=length)
        for number in range(plan.amounts.scripts)
    )
    begin = opened.begin
    return [play(s, begin, frames_per_chunk=length, delay=delay, tell=tell) for s in scripts]


def _settings(plan: Plan, opened: OpenedModel, tell: Tell) -> SettingsFound:
    amounts, length, size = plan.amounts, opened.frames_per_chunk, opened.size
    drawn = draw_trials(amounts.setting_trials, plan.seed, size=size, frames_per_chunk=length)
    trials = list(drawn)
    scenes = list(draw_scenes(amounts.setting_scenes, plan.seed, size=size, starts=("video",)))
    rows = list(run_settings(opened, trials, scenes, tell))
    return SettingsFound(rows, len(trials), len(scenes))


def _vae(plan: Plan, opened: OpenedModel, tell: Tell) -> Reconstruction:
    found = reconstruct(opened, VAE_CLIPS, plan.seed)
    tell("auto-encoder")
    return found


_MEASURES: dict[str, Callable[[Plan, OpenedModel, Tell], Any]] = {
    "beginnings": _beginnings,
    "steering": _steering,
    "physics": _physics,
    "play": _play,
    "settings": _settings,
    "vae": _vae,
}
