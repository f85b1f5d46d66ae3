"""Keeping a deadline: how many steps the next chunk takes, from how long the last ones took.

The rule is a pure function of measured times; the clock is read by :class:`Deadline` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from magi_rt.config import MagiConfig
from magi_rt.errors import OptionError, SnapshotError
from magi_rt.planner.steps import fitting_steps
from magi_rt.world.options import COUNT_LIMIT, STEPS_LIMIT, checked_whole

LATE = 0.95
"""A median beyond this share of a chunk's own duration is late: fewer steps from now on."""

AIM = 0.85
"""Share that fewer steps are chosen for."""

EARLY = 0.75
"""More steps are taken when they would still stay below this share."""

LEAST, LOOK = 3, 8
"""Chunk times needed before steps are taken away, and before they are added."""


@dataclass(frozen=True)
class StepChange:
    """From the call that generated a chunk on, chunks take so many steps.

    Attributes:
        chunk: number of the chunk whose generation was asked for by that call.
        steps: denoising steps per chunk.
    """

    chunk: int
    steps: int


@dataclass(frozen=True)
class Adaptation:
    """What a world does to keep its deadline.

    Attributes:
        allowed: step counts that it chooses from, fewest first.
        steps: the count that is being taken.
        target_s: duration of a chunk at the wished pictures per second.
        median_s: median time of the last chunks at this count; ``None`` before there are enough.
        changes: how often the count has changed.
        late: chunks that took longer than ``target_s``.
    """

    allowed: tuple[int, ...]
    steps: int
    target_s: float
    median_s: float | None
    changes: int
    late: int


def next_steps(times: Sequence[float], steps: int, allowed: Sequence[int], target_s: float) -> int:
    """The step count of the next chunk.

    Args:
        times: seconds that the last chunks took, all with ``steps`` steps, oldest first.
        steps: the count now.
        allowed: what may be chosen, rising; ``steps`` need not be among them.
        target_s: how long a chunk may take.

    A chunk with n times the steps takes at most n times as long, because decoding does not grow.
    So going up is judged too carefully, never too boldly: one count at a time, only when the whole
    memory of ``LOOK`` times says so. Between ``EARLY`` and ``LATE`` nothing changes.
    """
    if steps not in allowed:
        return max((n for n in allowed if n < steps), default=min(allowed))
    if len(times) < LEAST:
        return steps
    each = median(times) / steps
    if each * steps > LATE * target_s:
        fewer = [n for n in allowed if n < steps]
        return max((n for n in fewer if each * n <= AIM * target_s), default=min((*fewer, steps)))
    more = min((n for n in allowed if n > steps), default=steps)
    if len(times) >= LOOK and each * more < EARLY * target_s:
        return more
    return steps


@dataclass
class Deadline:
    """Measures chunks and says how many steps the next one takes.

    Attributes:
        clock: seconds of a steady clock.
    """

    allowed: tuple[int, ...]
    target_s: float
    clock: Callable[[], float] = time.perf_counter
    late: int = 0
    _steps: int = 0
    _times: tuple[float, ...] = ()  # replaced whole, as other threads ask what is known

    def choose(self, steps: int) -> int:
        """The count of the next chunk, when the world takes ``steps`` now."""
        if steps != self._steps:
            self._steps = steps
            self._times = ()
        return next_steps(self._times, steps, self.allowed, self.target_s)

    def measured(self, steps: int, seconds: float, *, counts: bool = True) -> None:
        """A chunk took so long with so many steps.

        Args:
            counts: False for a call that fills the window first, which is longer by nature.
        """
        if not counts:
            return
        if steps != self._steps:
            self._steps = steps
            self._times = ()
        self._times = (*self._times, seconds)[-LOOK:]
        self.late += seconds > self.target_s

    def told(self, steps: int, changes: int) -> Adaptation:
        """What is known now."""
        times = self._times
        known = len(times) >= LEAST and steps == self._steps
        middle = median(times) if known else None
        return Adaptation(self.allowed, steps, self.target_s, middle, changes, self.late)


def allowed_steps(
    config: MagiConfig, window: int, adapt: bool | tuple[int, ...], most: int | None
) -> tuple[int, ...]:
    """The step counts that a world may move between; none when it shall not.

    Args:
        adapt: False; True for all that the model was taught; or the counts to choose from.
        most: with True, none above this.

    Raises:
        OptionError: the model was taught one count only, or not the wished ones, or none so low.
    """
    if adapt is False:
        return ()
    taught = fitting_steps(config, window)
    if len(taught) < 2:
        raise OptionError(
            f"this model takes {_spelled(taught) or config.runtime.num_steps} steps with a window "
            f"of {window} and nothing else, so no deadline can be kept by taking fewer; open a "
            "distilled model, or leave adapt out",
            field="adapt",
        )
    if adapt is True:
        if most is not None and most < taught[0]:
            raise OptionError(
                f"with a window of {window} this model was taught {_spelled(taught)} steps, none "
                f"within steps={most}; give steps={taught[0]} or more",
                field="steps",
            )
        return tuple(n for n in taught if most is None or n <= most)
    wrong = [n for n in adapt if n not in taught]
    if wrong or not adapt:
        raise OptionError(
            f"adapt is {_spelled(adapt) or 'empty'}; with a window of {window} this model was "
            f"taught {_spelled(taught)} steps",
            field="adapt",
        )
    return tuple(sorted(set(adapt)))


def changes_from(values: Any) -> tuple[StepChange, ...]:
    """Step changes from JSON values, checked.

    Raises:
        OptionError: a number is none, or outside its range.
        SnapshotError: they are not in order.
    """
    changes = tuple(
        StepChange(
            checked_whole("chunk", value["chunk"], 0, COUNT_LIMIT),
            checked_whole("steps", value["steps"], 1, STEPS_LIMIT),
        )
        for value in values
    )
    places = [change.chunk for change in changes]
    if places != sorted(set(places)):
        raise SnapshotError("the step counts of the log are not in order", field="steps")
    return changes


def steps_at(changes: Sequence[StepChange], chunk: int, first: int) -> int:
    """The step count of the call that generates a chunk; ``first`` before any change."""
    return next((each.steps for each in reversed(changes) if each.chunk <= chunk), first)


def _spelled(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
