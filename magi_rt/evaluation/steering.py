"""Steering: does a world change as its prompt asks?

A world continues a trial's video for some chunks under the prompt; the rules of ``judges`` say from
the pixels whether it did what was asked, and after how many chunks it showed. The simulator's own
continuation passes the same detectors, and so does, in some of the trials, the world without a
prompt: what it obeys by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from magi_rt.evaluation.judges import Change, judge
from magi_rt.evaluation.opened import Begin, Steered
from magi_rt.evaluation.readings import read
from magi_rt.evaluation.trials import CHUNKS, SPLITS, Trial
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels, resize

CONTROL_EVERY = 8
"""Of so many trials of a kind two are also tried without their prompt, one of either split."""
KEPT = 2
"""Trials of each kind whose pictures are kept, to be shown."""
CELL = 96
"""Pixels a side of the pictures that are kept."""


@dataclass(frozen=True)
class Outcome:
    """One trial and what was seen of it.

    ``kind``, ``prompt``, ``split``, ``standing``, ``seed``: of the trial. ``model``: under the
    prompt; ``simulator``: the truth, by the same detectors; ``control``: the same world under the
    empty prompt, ``None`` where that was not tried. ``strip``: uint8 [2, 1 + CHUNKS, CELL, CELL, 3]
    the start and every chunk's end, the model's above the simulator's; ``None`` where not kept.
    """

    kind: str
    prompt: str
    split: str
    standing: str
    seed: int
    model: Change
    simulator: Change
    control: Change | None
    strip: Pixels | None


@dataclass(frozen=True)
class Score:
    """A row of the table; shares of 0..1, nan where there was no trial.

    ``train`` and ``held_out``: obeyed with phrasings from training, with those kept from it.
    ``latency``: mean chunks until the change showed, in trials that obeyed.
    """

    name: str
    trials: int
    obeyed: float
    train: float
    held_out: float
    simulator: float
    control: float
    latency: float
    simulator_latency: float


def run_trials(
    trials: Iterable[Trial],
    begin: Begin,
    tell: Callable[[str], None] | None = None,
    *,
    controls: bool = True,
) -> list[Outcome]:
    """Every trial in turn; ``tell`` hears each prompt."""
    outcomes: list[Outcome] = []
    for trial in trials:
        number = sum(outcome.kind == trial.kind for outcome in outcomes)
        control = controls and number % CONTROL_EVERY in (0, CONTROL_EVERY // 2 + 1)
        outcomes.append(_try(trial, begin, control=control, keep=number < KEPT))
        if tell is not None:
            tell(trial.prompt)
    return outcomes


def _try(trial: Trial, begin: Begin, *, control: bool, keep: bool) -> Outcome:
    world = begin(trial.video, trial.seed)
    idle = world.fork() if control else None
    made = list(_chunks(world, trial.prompt))
    length = len(made[0])
    before = read(trial.video)

    def judged(frames: Pixels) -> Change:
        return judge(trial.question, before, read(frames), length)

    question = trial.question
    return Outcome(
        kind=trial.kind,
        prompt=trial.prompt,
        split=trial.split,
        standing=f"gravity {question.gravity}, {question.pace} pace",
        seed=trial.seed,
        model=judged(np.concatenate(made)),
        simulator=judged(trial.truth),
        control=None if idle is None else judged(np.concatenate(list(_chunks(idle, "")))),
        strip=_strip(trial, made) if keep else None,
    )


def _strip(trial: Trial, made: Sequence[Pixels]) -> Pixels:
    length = len(trial.truth) // CHUNKS
    start, truth = trial.video[-1:], trial.truth[length - 1 :: length]
    ends = np.stack([chunk[-1] for chunk in made])
    rows = [resize(np.concatenate([start, row]), CELL, CELL) for row in (ends, truth)]
    return np.stack(rows)


def _chunks(world: Steered, prompt: str) -> Iterator[Pixels]:
    for _ in range(CHUNKS):
        yield pixels_of(world.advance(prompt))


def pixels_of(frames: Sequence[Frame]) -> Pixels:
    """uint8 [F, H, W, 3]."""
    return np.stack([frame.pixels for frame in frames])


def scores(outcomes: Sequence[Outcome]) -> list[Score]:
    """One row per kind that was tried, in order, then one for all."""
    rows = []
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        rows.append(_score(kind, [outcome for outcome in outcomes if outcome.kind == kind]))
    return [*rows, _score("all", outcomes)]


def _score(name: str, outcomes: Sequence[Outcome]) -> Score:
    split = {
        split: _mean([o.model.obeyed for o in outcomes if o.split == split]) for split in SPLITS
    }
    return Score(
        name=name,
        trials=len(outcomes),
        obeyed=_mean([o.model.obeyed for o in outcomes]),
        train=split["train"],
        held_out=split["held_out"],
        simulator=_mean([o.simulator.obeyed for o in outcomes]),
        control=_mean([o.control.obeyed for o in outcomes if o.control is not None]),
        latency=_mean([o.model.after for o in outcomes if o.model.obeyed and o.model.after]),
        simulator_latency=_mean(
            [o.simulator.after for o in outcomes if o.simulator.obeyed and o.simulator.after]
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
