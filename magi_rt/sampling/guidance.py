"""Guidance: how the velocities of the branches become one (paper 2.4.1).

Three views of the same noisy chunks: *text* (the prompt, with history), *history* (no prompt, with
history) and *alone* (each chunk by itself). A weight of zero means that a view is not needed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from magi_rt.config import MagiConfig

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-7
"""Puts times that sit on a threshold (0.1, 0.3) into the interval above it."""
HISTORY_SHARE = 0.7
"""Distilled models, nearly clean chunk: the share of the velocity that saw the history."""


class View(Enum):
    """What the network is told in a branch."""

    ALONE = "alone"
    HISTORY = "history"
    TEXT = "text"


@dataclass(frozen=True)
class Weights:
    """What each view adds to the velocity of one chunk; the three sum to 1."""

    alone: float
    history: float
    text: float

    def of(self, view: View) -> float:
        weight: float = getattr(self, view.value)
        return weight


@dataclass(frozen=True)
class Guidance:
    """The guidance of one model.

    guided: True for models with three branches, False for distilled ones (guidance is folded in).
    starts: rising times at which the intervals of the two tables begin.
    previous, text: scale of the previous chunks and of the prompt in each interval.
    threshold: distilled models: beyond this time the oldest chunk is nearly clean.
    """

    guided: bool
    starts: tuple[float, ...]
    previous: tuple[float, ...]
    text: tuple[float, ...]
    threshold: float

    @classmethod
    def from_config(cls, config: MagiConfig) -> Guidance:
        runtime = config.runtime
        return cls(
            guided=runtime.cfg_number == 3,
            starts=runtime.cfg_t_range,
            previous=runtime.prev_chunk_scales,
            text=runtime.text_scales,
            threshold=config.engine.distill_nearly_clean_chunk_threshold,
        )

    @cached_property
    def _edges(self) -> tuple[float, ...]:
        return tuple(float(np.float32(start) - np.float32(TOLERANCE)) for start in self.starts)

    @property
    def memory_view(self) -> View:
        """The view whose keys and values become the memory of a finished chunk."""
        return View.HISTORY if self.guided else View.TEXT

    def scales(self, time: float) -> tuple[float, float]:
        """Scale of the previous chunks and of the prompt at a time in 0..1 (a float32 value)."""
        interval = bisect_left(self._edges, time) - 1
        return self.previous[interval], self.text[interval]

    def nearly_clean(self, time: float) -> bool:
        """True when the oldest chunk in flight, at this time, is nearly clean."""
        return time > self.threshold

    def weights(self, times: Sequence[float]) -> tuple[Weights, ...]:
        """Weights of the chunks in flight at their times, oldest first."""
        if self.guided:
            return tuple(self._guided(time) for time in times)
        folded = Weights(alone=0.0, history=0.0, text=1.0)
        if not self.nearly_clean(times[0]):
            return (folded,) * len(times)
        blend = Weights(alone=1.0 - HISTORY_SHARE, history=0.0, text=HISTORY_SHARE)
        return (blend, *(folded,) * (len(times) - 1))

    def _guided(self, time: float) -> Weights:
        previous, text = self.scales(time)
        return Weights(alone=1.0 - previous, history=previous - text, text=text)


def views_needed(weights: Sequence[Weights], memory: View | None = None) -> tuple[View, ...]:
    """The views with history that one call must compute.

    A chunk's keys in the text view shape the velocities of later chunks, so a view runs for all
    chunks of a call as soon as one of them has a weight for it.

    Args:
        memory: the view that must run because its keys and values are kept, if any.
    """
    return tuple(
        view
        for view in (View.TEXT, View.HISTORY)
        if view is memory or any(each.of(view) for each in weights)
    )


def chunks_alone(weights: Sequence[Weights]) -> range:
    """Places of the chunks, from the first to the last, that need the view without history."""
    places = [place for place, each in enumerate(weights) if each.alone]
    return range(places[0], places[-1] + 1) if places else range(0)


def combine(velocities: Mapping[View, Tensor], weights: Weights) -> Tensor:
    """One chunk's velocity from its views, float32, any shape; views of weight 0 may be missing.

    v = (1 - p) v_alone + (p - s) v_history + s v_text, with p and s the scales of the chunk's time.
    """
    terms = [
        velocities[view] * weights.of(view) if weights.of(view) != 1.0 else velocities[view]
        for view in View
        if weights.of(view)
    ]
    return sum(terms[1:], start=terms[0])
