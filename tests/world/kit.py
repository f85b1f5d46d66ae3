"""What the tests of worlds share: a dummy world of a few pixels and ways to compare frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from magi_rt.backends.dummy import DUMMY_CONFIG, DummyExecutor
from magi_rt.frames import Frame
from magi_rt.world import World
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.timeline import Timeline

SMALL: dict[str, Any] = {"seed": 7, "size": (32, 32), "steps": 8}


def dummy_world(**options: Any) -> World:
    """A dummy world of 32 x 32 pixels."""
    return World.open("dummy", **{**SMALL, **options})


def deflickered_world(**options: Any) -> World:
    """The same of a model whose pictures are deflickered."""
    runtime = replace(DUMMY_CONFIG.runtime, deflicker=40.0)
    executor = DummyExecutor(replace(DUMMY_CONFIG, runtime=runtime))
    machine = WorldMachine.around(executor, "dummy", WorldOptions(**{**SMALL, **options}))
    return World(Timeline(machine, machine.begin()))


def same_pixels(left: Sequence[Frame], right: Sequence[Frame]) -> bool:
    """True when both are the same frames: pixels, numbers, times and prompts."""
    assert len(left) > 0
    return len(left) == len(right) and all(
        np.array_equal(a.pixels, b.pixels)
        and (a.index, a.chunk, a.prompt, a.time_s) == (b.index, b.chunk, b.prompt, b.time_s)
        for a, b in zip(left, right, strict=True)
    )


def story(world: World, *prompts: str | None) -> list[Frame]:
    """The frames of one chunk per prompt."""
    return [frame for prompt in prompts for frame in world.advance(prompt)]
