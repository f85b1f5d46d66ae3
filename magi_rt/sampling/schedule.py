"""Flow-matching times, and the sampler's settings checked against each other.

Time runs from 0 (noise) to 1 (clean). The grid is computed in float32 in one fixed order of
operations, because its points sit exactly on thresholds of the guidance (0.1, 0.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from magi_rt.config import MagiConfig
from magi_rt.errors import OptionError
from magi_rt.sampling.guidance import Guidance
from magi_rt.sampling.visibility import Visibility

STEPS = (4, 8, 12, 16, 32, 64)
"""Denoising steps that a user may choose; only models distilled down to 4 look well with 4."""
MAX_WINDOW = 4
SHIFT = 3.0
"""Strength with which the grid is bent towards the noise."""

_SIXTEENTHS = {"8,16,16": (0, 2, 3), "16,16,8": (0, 1, 2)}
_INTERVALS = {"8,16,16": (2.0, 1.0, 1.0), "16,16,8": (1.0, 1.0, 2.0)}

Grid = npt.NDArray[np.float32]


def time_grid(
    num_steps: int,
    shortcut_mode: str = "8,16,16",
    *,
    curve: str = "shifted square",
    shift: float = SHIFT,
) -> tuple[float, ...]:
    """``num_steps + 1`` times from 0 to 1 (but for one rounding), every one a float32 value.

    Twelve steps are a grid of 16 with some points left out, as ``shortcut_mode`` says.

    Args:
        curve: "shifted square" is the published one; "square", "piecewise" and "identity" are
            the other curves of the family.
        shift: only for the shifted square.
    """
    if num_steps == 12:
        sixteenths = _SIXTEENTHS.get(shortcut_mode, _SIXTEENTHS["8,16,16"])
        points = [k / 4 + part / 16 for k in range(4) for part in sixteenths]
    else:
        points = [i / num_steps for i in range(num_steps)]
    bent = _bend(np.array([*points, 1.0], dtype=np.float32), curve, shift)
    return tuple(float(time) for time in bent)


def _bend(u: Grid, curve: str, shift: float) -> Grid:
    f32 = np.float32
    if curve == "identity":
        return u
    if curve == "piecewise":  # half of the way in the first 7/8 of the steps
        gentle, steep = u * f32(0.5 / 0.875), f32(0.5) + (u - f32(0.875)) * f32(4)
        return np.where(u < f32(0.875), gentle, steep)
    square = u * u
    if curve == "square":
        return square
    return (square * f32(1 / shift)) / (f32(1) + square * f32(1 / shift - 1))


def shortcut_intervals(num_steps: int, shortcut_mode: str = "8,16,16") -> tuple[float, ...]:
    """Length of every step in units of the finest one; all 1 unless the steps come in threes."""
    if num_steps % 3:
        return (1.0,) * num_steps
    return _INTERVALS.get(shortcut_mode, _INTERVALS["8,16,16"]) * (num_steps // 3)


def step_code(num_steps: int, interval: float = 1) -> float:
    """The number that tells a distilled model its step size (contained in its time embedding)."""
    return 4 / interval * 2 if num_steps == 12 else num_steps / 4 * 2


@dataclass(frozen=True)
class SamplerConfig:
    """How a stream is sampled. Build it with :meth:`from_config`, which checks user options.

    steps: denoising steps of a chunk, a multiple of ``window`` and of the visibility stages.
    window: most chunks in flight at once.
    depth: finished chunks kept in memory; ``None``: as many as can ever be seen.
    chunk_width: latent frames per chunk.
    clean_time: the time at which finished chunks are read into the memory (a float32 value).
    distill: the model is told its step size.
    """

    steps: int
    window: int
    depth: int | None
    chunk_width: int
    clean_time: float
    shortcut_mode: str
    distill: bool
    guidance: Guidance
    visibility: Visibility

    def __post_init__(self) -> None:
        if self.window < 1:
            raise OptionError(f"a window of {self.window} chunks is none; use 1", field="window")
        if self.steps < 1 or self.steps % self.window:
            raise OptionError(
                f"{self.steps} steps do not divide among {self.window} chunks in flight; use "
                f"{_fitting(self.window)} steps, or a window of 1",
                field="steps",
            )
        if self.distill and self.steps == 12 and self.steps_per_stage % 3:
            raise OptionError(
                f"12 steps of a distilled model are of three sizes, and {self.window} chunks in "
                "flight would be at different ones; use a window of 1, 2 or 4",
                field="window",
            )
        stages = len(self.visibility.by_stage) or 1
        if self.steps % stages:
            raise OptionError(
                f"{self.steps} steps do not divide into the model's {stages} visibility stages; "
                f"use {_fitting(stages)} steps",
                field="steps",
            )
        if self.depth is not None and self.depth < 1:
            raise OptionError(
                f"a depth of {self.depth} finished chunks keeps no memory; use 1 or more",
                field="depth",
            )

    @classmethod
    def from_config(
        cls,
        config: MagiConfig,
        steps: int | None = None,
        window: int | None = None,
        depth: int | None = None,
    ) -> SamplerConfig:
        """The settings of a model, with the user's wishes in place of its own.

        Args:
            steps: one of ``STEPS`` or the model's own, which ``None`` means as well.
            window: 1 to ``MAX_WINDOW`` or the model's own, which ``None`` means as well.
            depth: 1 or more; ``None``: no memory is lost that could be seen.

        Raises:
            OptionError: a wish is outside its range, or steps and window do not fit.
        """
        runtime, engine = config.runtime, config.engine
        counts = sorted({*STEPS, runtime.num_steps})
        if steps is not None and steps not in counts:
            raise OptionError(
                f"{steps} steps cannot be chosen; use one of {', '.join(map(str, counts))}",
                field="steps",
            )
        own = window in (None, runtime.window_size)
        if window is not None and not own and not 1 <= window <= MAX_WINDOW:
            raise OptionError(
                f"a window of {window} chunks cannot be chosen; use 1 to {MAX_WINDOW}",
                field="window",
            )
        chosen = runtime.num_steps if steps is None else steps
        return cls(
            steps=chosen,
            window=runtime.window_size if window is None else window,
            depth=depth,
            chunk_width=runtime.chunk_width,
            clean_time=float(np.float32(runtime.clean_t)),
            shortcut_mode=engine.shortcut_mode,
            distill=engine.distill,
            guidance=Guidance.from_config(config),
            visibility=Visibility.from_config(runtime, chosen),
        )

    def at_steps(self, steps: int) -> SamplerConfig:
        """The same settings with another number of steps.

        Raises:
            OptionError: it does not divide among the chunks in flight or the visibility stages.
        """
        return replace(self, steps=steps, visibility=replace(self.visibility, steps=steps))

    @property
    def steps_per_stage(self) -> int:
        """Steps between two admissions of a chunk."""
        return self.steps // self.window

    @cached_property
    def times(self) -> tuple[float, ...]:
        return time_grid(self.steps, self.shortcut_mode)

    @cached_property
    def increments(self) -> tuple[float, ...]:
        """Length in time of every step, as a float32 difference."""
        grid = np.array(self.times, dtype=np.float32)
        return tuple(float(each) for each in grid[1:] - grid[:-1])

    @cached_property
    def intervals(self) -> tuple[float, ...]:
        return shortcut_intervals(self.steps, self.shortcut_mode)

    def step_code(self, step: int) -> float | None:
        """What the model is told at a step of a stage; ``None`` for models that are not told."""
        return step_code(self.steps, self.intervals[step]) if self.distill else None

    def memory_depth(self, given: int = 0, total_chunks: int | None = None) -> int:
        """Depth of a stream's memory: the wish, but no more than can ever be seen.

        Args:
            given: whole clean chunks before the first generated one.
            total_chunks: generated chunks of a stream that ends.

        Raises:
            OptionError: the model looks back without limit and neither a depth nor an end is set.
        """
        reach = self.visibility.reach(self.window, given)
        if reach is None and total_chunks is not None:
            reach = max(1, given + total_chunks - 1)
        if reach is None and self.depth is None:
            raise OptionError(
                "this model looks back at every chunk, which no endless stream can keep; "
                "give a depth (finished chunks to keep)",
                field="depth",
            )
        limits = [limit for limit in (reach, self.depth) if limit is not None]
        return min(limits)


def _fitting(divisor: int) -> str:
    return " or ".join(str(steps) for steps in STEPS if steps % divisor == 0) or str(divisor)
