"""Times sit exactly where the guidance expects them, and wrong wishes are refused in words."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from magi_rt.config import EngineConfig, MagiConfig
from magi_rt.errors import OptionError
from magi_rt.presets import PRESETS
from magi_rt.sampling.schedule import (
    STEPS,
    SamplerConfig,
    shortcut_intervals,
    step_code,
    time_grid,
)
from tests.support import small_config

BASE = PRESETS["4.5B-base"]


def sampler(config: MagiConfig = BASE, **wishes: Any) -> SamplerConfig:
    return SamplerConfig.from_config(config, **wishes)


@pytest.mark.parametrize("steps", STEPS)
def test_the_grid_rises_from_noise_to_clean(steps: int) -> None:
    grid = time_grid(steps)
    assert len(grid) == steps + 1
    assert grid[0] == 0.0
    assert grid[-1] == pytest.approx(1.0, abs=1e-6)  # the published order rounds once
    assert all(before < after for before, after in pairwise(grid))


@pytest.mark.parametrize("steps", STEPS)
def test_a_quarter_of_the_steps_ends_on_each_guidance_threshold(steps: int) -> None:
    grid = time_grid(steps)
    # The nearly-clean rule compares 0.3 as a double with this float32, which lies just above.
    assert grid[steps * 3 // 4] == float(np.float32(0.3)) > 0.3
    assert grid[steps // 2] == pytest.approx(0.1, abs=1e-7)


@pytest.mark.parametrize(("mode", "missing"), [("8,16,16", 1), ("16,16,8", 3)])
def test_twelve_steps_leave_every_fourth_sixteenth_out(mode: str, missing: int) -> None:
    full = time_grid(16)
    assert time_grid(12, mode) == tuple(
        time for place, time in enumerate(full) if place % 4 != missing
    )
    assert sum(shortcut_intervals(12, mode)) == 16


def test_increments_lead_from_noise_to_clean() -> None:
    assert sum(sampler(steps=64).increments) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "interval", "code"), [(8, 1, 4), (16, 1, 8), (64, 1, 32), (12, 1, 8), (12, 2, 4)]
)
def test_the_step_code_is_twice_the_quarter_of_the_steps(
    steps: int, interval: float, code: float
) -> None:
    assert step_code(steps, interval) == code


def test_only_distilled_models_are_told_the_step_size() -> None:
    assert sampler().step_code(0) is None
    distilled = sampler(small_config(distill=True), steps=12)
    assert [distilled.step_code(step) for step in range(3)] == [4.0, 8.0, 8.0]


def test_a_model_keeps_its_own_settings_without_wishes() -> None:
    own = sampler(PRESETS["24B-distill"])
    assert (own.steps, own.window, own.chunk_width) == (16, 4, 6)


def test_the_shortcut_mode_of_the_configuration_shapes_the_grid() -> None:
    config = small_config(distill=True)
    other = MagiConfig(
        config.model, config.runtime, EngineConfig(distill=True, shortcut_mode="16,16,8")
    )
    assert sampler(other, steps=12).times == time_grid(12, "16,16,8")


@pytest.mark.parametrize(
    ("wishes", "field", "words"),
    [
        ({"steps": 10}, "steps", ["10", "4, 8, 12, 16, 32, 64"]),
        ({"steps": 0}, "steps", ["0", "4, 8, 12, 16, 32, 64"]),
        ({"steps": 8, "window": 3}, "steps", ["8 steps", "3 chunks", "12"]),
        ({"window": 5}, "window", ["5", "1 to 4"]),
        ({"window": 0}, "window", ["0", "1 to 4"]),
        ({"depth": 0}, "depth", ["0", "1 or more"]),
    ],
)
def test_a_wrong_wish_is_refused_with_value_limit_and_way_out(
    wishes: dict[str, int], field: str, words: list[str]
) -> None:
    with pytest.raises(OptionError) as refusal:
        SamplerConfig.from_config(BASE, **wishes)
    assert refusal.value.field == field
    assert [word for word in words if word not in refusal.value.message] == []


def test_chunks_in_flight_of_a_distilled_model_share_the_size_of_every_step() -> None:
    distilled = small_config(distill=True, noise2clean_kvrange=(5, 4, 3, 2))
    for window in (1, 2, 4):
        assert sampler(distilled, steps=12, window=window).window == window
    with pytest.raises(OptionError, match="use a window of 1, 2 or 4"):
        sampler(distilled, steps=12, window=3)


def test_a_models_own_steps_and_window_may_be_asked_for_by_their_numbers() -> None:
    config = replace(BASE, runtime=replace(BASE.runtime, num_steps=20, window_size=5))
    assert sampler(config, steps=20, window=5) == sampler(config)
    with pytest.raises(OptionError, match="use one of 4, 8, 12, 16, 20, 32, 64"):
        sampler(config, steps=10)


def test_steps_must_divide_into_the_visibility_stages() -> None:
    config = small_config(noise2clean_kvrange=(3, 2, 1), num_steps=12)
    with pytest.raises(OptionError, match=r"3 visibility stages; use 12 steps"):
        sampler(config, steps=16)


@pytest.mark.parametrize(("window", "kept"), [(1, 4), (2, 3), (3, 2), (4, 1)])
def test_the_memory_holds_what_can_be_seen_and_no_more(window: int, kept: int) -> None:
    assert sampler(steps=12, window=window).memory_depth() == kept


def test_a_given_beginning_is_looked_back_at_while_the_window_fills() -> None:
    assert [sampler().memory_depth(given=given) for given in range(1, 6)] == [1, 2, 3, 4, 4]


def test_a_smaller_depth_is_kept_and_a_larger_one_is_not_wasted() -> None:
    assert sampler(steps=16, window=1, depth=2).memory_depth() == 2
    assert sampler(steps=16, window=1, depth=9).memory_depth() == 4


def test_a_model_that_sees_everything_needs_a_depth_or_an_end() -> None:
    config = small_config(noise2clean_kvrange=())
    with pytest.raises(OptionError, match="give a depth"):
        sampler(config).memory_depth()
    assert sampler(config, depth=3).memory_depth() == 3
    assert sampler(config).memory_depth(given=2, total_chunks=4) == 5
