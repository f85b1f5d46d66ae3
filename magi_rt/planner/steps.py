"""How many denoising steps a model may take."""

from __future__ import annotations

from magi_rt.config import MagiConfig

TAUGHT = (8, 12, 16, 32, 64)
"""Step counts of a published distilled model; it is told its step size in every call."""

SHORT = 8
"""A model whose own count is this or less was distilled down to 4 steps."""


def taught_steps(config: MagiConfig) -> tuple[int, ...]:
    """The step counts that a model was trained for, fewest first.

    A distilled model is told how long its steps are and knows several counts; every other model
    has one, its own.
    """
    own = config.runtime.num_steps
    if not config.engine.distill:
        return (own,)
    return tuple(sorted({*TAUGHT, *((4,) if own <= SHORT else ()), own}))


def fitting_steps(config: MagiConfig, window: int) -> tuple[int, ...]:
    """Those of :func:`taught_steps` that divide among the chunks in flight and noise stages."""
    stages = len(config.runtime.noise2clean_kvrange) or 1
    return tuple(n for n in taught_steps(config) if n % window == 0 and n % stages == 0)
