"""Steering: does a world change as its prompt asks?

A world continues a trial's video for three chunks under the prompt. It obeyed when a detector
sees the asked change by more than a stated margin, against the last frames of the video:

- light: the wall's brightness changes by at least ``LIGHT_MARGIN`` grey levels the asked way;
- gravity: the objects' common centre moves by at least ``MOVE_MARGIN`` of the picture the asked
  way, not further across than along it, and the objects are still there.

The simulator's own continuation of the same start passes the same detector, and so does the world
without a prompt: what it obeys by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magi_rt.evaluation import detectors
from magi_rt.evaluation.opened import Begin, Steered
from magi_rt.evaluation.trials import ASKED, CHUNKS, LEAST_MOVE, SPLITS, Trial
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.toybox_scene import DIRECTIONS

LIGHT_MARGIN = 50.0
"""Grey levels of 255; the simulator's day and night lie about 165 apart."""
MOVE_MARGIN = LEAST_MOVE / 2
"""Share of the picture: half of what the simulator moves at least."""
STILL_THERE = (0.5, 2.0)
"""The objects' share of the picture after the trial, in shares of that before it."""
LOOKED_AT = 4
"""Frames before and after the trial that are averaged over."""


@dataclass(frozen=True)
class Change:
    """What a detector saw.

    ``amount``: grey levels of brightness, or shares of the picture moved, positive the asked way;
    nan when no objects were found. ``obeyed``: whether that counts as the asked change.
    """

    amount: float
    obeyed: bool


@dataclass(frozen=True)
class Outcome:
    """One trial and what was seen of it.

    ``model``: under the prompt; ``unprompted``: the same world under the empty prompt;
    ``simulator``: the truth; ``unasked``: the simulator without a prompt. ``seen``: uint8
    [chunks, H, W, 3], the last frame of every chunk under the prompt.
    """

    trial: Trial
    model: Change
    unprompted: Change
    simulator: Change
    unasked: Change
    seen: Pixels


@dataclass(frozen=True)
class Score:
    """A row of the table; all but ``trials`` are shares of 0..1, nan where there was no trial.

    ``train`` and ``held_out``: obeyed with phrasings from training, with those kept from it.
    ``reached``: median change in shares of the simulator's change.
    """

    name: str
    trials: int
    obeyed: float
    train: float
    held_out: float
    simulator: float
    unprompted: float
    unasked: float
    reached: float


def run_trials(
    trials: Sequence[Trial], begin: Begin, tell: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Every trial in turn; ``tell`` hears of each outcome."""
    outcomes = []
    for trial in trials:
        outcome = _try(trial, begin)
        outcomes.append(outcome)
        if tell is not None:
            tell(outcome)
    return outcomes


def _try(trial: Trial, begin: Begin) -> Outcome:
    world = begin(trial.video, trial.seed)
    idle = world.fork()
    made = list(_chunks(world, trial.prompt))
    unprompted = np.concatenate(list(_chunks(idle, "")))
    judge = _judge_of(trial)
    return Outcome(
        trial=trial,
        model=judge(np.concatenate(made)),
        unprompted=judge(unprompted),
        simulator=judge(trial.truth),
        unasked=judge(trial.unasked),
        seen=np.stack([chunk[-1] for chunk in made]),
    )


def _chunks(world: Steered, prompt: str) -> Iterator[Pixels]:
    for _ in range(CHUNKS):
        yield pixels_of(world.advance(prompt))


def pixels_of(frames: Sequence[Frame]) -> Pixels:
    """uint8 [F, H, W, 3]."""
    return np.stack([frame.pixels for frame in frames])


def _judge_of(trial: Trial) -> Callable[[Pixels], Change]:
    return lambda after: judge(trial.asked, trial.video, after)


def judge(asked: Meaning, before: Pixels, after: Pixels) -> Change:
    """The change between two runs of frames, uint8 [F, H, W, 3] of any sizes."""
    first, last = before[-LOOKED_AT:], after[-LOOKED_AT:]
    if asked.kind == "light":
        brighter = float(detectors.brightness(last).mean() - detectors.brightness(first).mean())
        amount = brighter if asked.value == "day" else -brighter
        return Change(amount, amount >= LIGHT_MARGIN)
    moved = _centre(last) - _centre(first)
    way = np.array(DIRECTIONS[asked.value])
    along, across = float(moved @ way), float(abs(moved @ way[::-1]))
    grown = _mass(last) / max(_mass(first), 1e-6)
    there = STILL_THERE[0] <= grown <= STILL_THERE[1]
    return Change(along, along >= MOVE_MARGIN and along >= across and there)


def _centre(frames: Pixels) -> NDArray[np.float64]:
    """[2]: the objects' common centre (x, y) in shares of the picture, nan if ever not found."""
    height, width = frames.shape[1:3]
    return np.asarray(detectors.mass_centre(frames).mean(0) / (width, height), dtype=np.float64)


def _mass(frames: Pixels) -> float:
    """The objects' share of the picture."""
    return float(detectors.colour_masks(frames).any(1).mean())


def scores(outcomes: Sequence[Outcome]) -> list[Score]:
    """One row per asked change that was tried, then one for all."""
    rows = []
    for asked in ASKED:
        chosen = [outcome for outcome in outcomes if outcome.trial.asked == asked]
        if chosen:
            rows.append(_score(chosen[0].trial.name, chosen))
    return [*rows, _score("all", outcomes)]


def _score(name: str, outcomes: Sequence[Outcome]) -> Score:
    split = {
        split: _share([o.model.obeyed for o in outcomes if o.trial.split == split])
        for split in SPLITS
    }
    reached = [o.model.amount / o.simulator.amount for o in outcomes if o.simulator.obeyed]
    seen = [share for share in reached if not np.isnan(share)]
    return Score(
        name=name,
        trials=len(outcomes),
        obeyed=_share([o.model.obeyed for o in outcomes]),
        train=split["train"],
        held_out=split["held_out"],
        simulator=_share([o.simulator.obeyed for o in outcomes]),
        unprompted=_share([o.unprompted.obeyed for o in outcomes]),
        unasked=_share([o.unasked.obeyed for o in outcomes]),
        reached=float(np.median(seen)) if seen else float("nan"),
    )


def _share(obeyed: Sequence[bool]) -> float:
    return sum(obeyed) / len(obeyed) if obeyed else float("nan")
