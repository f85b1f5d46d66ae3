"""What to measure, how often, and the run through all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from magi_rt.errors import OptionError
from magi_rt.evaluation.kinds import KINDS
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.physics import Continued, run_scenes
from magi_rt.evaluation.physics_scenes import STARTS, draw_scenes
from magi_rt.evaluation.report import Evaluation
from magi_rt.evaluation.steering import Outcome, run_trials
from magi_rt.evaluation.trials import draw_trials

PARTS = ("steering", "physics")
FULL_TRIALS, FULL_SCENES = 100, 48
QUICK_TRIALS, QUICK_SCENES = 6, 8

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """``parts``: what is measured, of PARTS. ``trials``: of each kind of prompt. ``scenes``: of
    physics, from a video and from a picture each. ``seed``: all follows from it."""

    parts: tuple[str, ...] = PARTS
    trials: int = QUICK_TRIALS
    scenes: int = QUICK_SCENES
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise OptionError(
                f"there is no part {unknown[0] if unknown else ''!r}; there are {', '.join(PARTS)}",
                field="only",
            )

    @property
    def ticks(self) -> int:
        """How often ``tell`` is called while the plan is carried out."""
        each = {"steering": self.trials * len(KINDS), "physics": self.scenes * len(STARTS)}
        return sum(each[part] for part in self.parts)


def carry_out(plan: Plan, opened: OpenedModel, tell: Tell) -> Evaluation:
    """Measures what the plan says, part by part; ``tell`` hears of every step."""
    found: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for part in PARTS:
        if part in plan.parts:
            begun = time.perf_counter()
            found[part] = _MEASURES[part](plan, opened, tell)
            seconds[part] = round(time.perf_counter() - begun, 1)
    return Evaluation(card=opened.card(), seed=plan.seed, seconds=seconds, **found)


def _steering(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Outcome]:
    length, size = opened.frames_per_chunk, opened.size
    drawn = draw_trials(plan.trials, plan.seed, size=size, frames_per_chunk=length)
    return run_trials(drawn, opened.begin, tell)


def _physics(plan: Plan, opened: OpenedModel, tell: Tell) -> list[Continued]:
    drawn = draw_scenes(plan.scenes, plan.seed, size=opened.size)
    return run_scenes(drawn, opened.begin_from, tell)


_MEASURES: dict[str, Callable[[Plan, OpenedModel, Tell], Any]] = {
    "steering": _steering,
    "physics": _physics,
}
