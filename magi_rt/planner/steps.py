"""How many denoising steps a model may take."""

from __future__ import annotations

from magi_rt.config import MagiConfig
from magi_rt.planner.work import is_published_shape

COUNTS = (4, 8, 12, 16, 32, 64)
"""Step counts of distilled models; they are told their step size in every call."""

SHORT, PUBLISHED_SHORTEST = 8, 8
"""A model that does not say its shortest count was distilled down to 4 steps when its own count is
``SHORT`` or less; the published ones never were: theirs is ``PUBLISHED_SHORTEST``."""


def taught_steps(config: MagiConfig) -> tuple[int, ...]:
    """The step counts that a model was trained for, fewest first.

    A distilled model is told how long its steps are and knows several counts; every other model
    has one, its own.
    """
    own = config.runtime.num_steps
    if not config.engine.distill:
        return (own,)
    shortest = _shortest(config)
    return tuple(sorted({*(n for n in COUNTS if n >= shortest), own}))


def _shortest(config: MagiConfig) -> int:
    """The fewest steps that a distilled model was taught."""
    told = config.runtime.shortest_steps
    if told is not None:
        return told
    short = config.runtime.num_steps <= SHORT and not is_published_shape(config.model)
    return min(COUNTS) if short else PUBLISHED_SHORTEST


def fitting_steps(config: MagiConfig, window: int) -> tuple[int, ...]:
    """Those of :func:`taught_steps` that divide among the chunks in flight and noise stages.

    Distilled models take 12 steps of three sizes, which all chunks in flight must share.
    """
    stages = len(config.runtime.noise2clean_kvrange) or 1
    mixed = config.engine.distill and 12 // window % 3 != 0
    return tuple(
        n
        for n in taught_steps(config)
        if n % window == 0 and n % stages == 0 and not (n == 12 and mixed)
    )
