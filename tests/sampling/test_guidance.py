"""Guidance: which views are asked for, and how they become one velocity."""

from __future__ import annotations

import pytest
import torch

from magi_rt.presets import PRESETS
from magi_rt.sampling.guidance import (
    Guidance,
    View,
    Weights,
    chunks_alone,
    combine,
    views_needed,
)
from magi_rt.sampling.schedule import time_grid

BASE = Guidance.from_config(PRESETS["4.5B-base"])
DISTILLED = Guidance.from_config(PRESETS["4.5B-distill"])
EARLY = Weights(alone=-0.5, history=-6.0, text=7.5)
LATE = Weights(alone=0.0, history=1.0, text=0.0)


def test_the_published_tables_give_the_published_weights() -> None:
    assert BASE.weights((0.29, 0.0)) == (EARLY, EARLY)
    assert BASE.weights((1.0, 0.1)) == (LATE, EARLY)


@pytest.mark.parametrize("steps", [4, 8, 12, 16, 32, 64])
def test_the_last_quarter_of_the_steps_is_history_alone(steps: int) -> None:
    weights = BASE.weights(time_grid(steps)[:-1])
    assert set(weights[: steps * 3 // 4]) == {EARLY}
    assert set(weights[steps * 3 // 4 :]) == {LATE}


def test_weights_always_sum_to_one() -> None:
    for guidance in (BASE, DISTILLED):
        for each in guidance.weights((0.9, 0.3, 0.1, 0.0)):
            assert each.alone + each.history + each.text == pytest.approx(1.0)


def test_a_distilled_model_blends_only_its_oldest_chunk_once_it_is_nearly_clean() -> None:
    threshold = time_grid(8)[6]
    blended, plain = DISTILLED.weights((threshold, 0.2))
    assert (blended.text, blended.alone) == pytest.approx((0.7, 0.3))
    assert plain == Weights(alone=0.0, history=0.0, text=1.0)
    assert DISTILLED.weights((0.3, 0.2)) == (plain, plain)


def test_the_combined_velocity_follows_the_formula() -> None:
    views = {view: torch.randn(2, 3) for view in View}
    previous, text = 1.5, 7.5
    expected = (
        (1 - previous) * views[View.ALONE]
        + (previous - text) * views[View.HISTORY]
        + text * views[View.TEXT]
    )
    torch.testing.assert_close(combine(views, EARLY), expected)


def test_a_view_of_weight_zero_may_be_missing_and_weight_one_changes_nothing() -> None:
    history = torch.randn(2, 3)
    assert torch.equal(combine({View.HISTORY: history}, LATE), history)


def test_combining_leaves_the_views_as_they_were() -> None:
    views = {view: torch.ones(2) for view in View}
    combine(views, EARLY)
    assert all(torch.equal(view, torch.ones(2)) for view in views.values())


def test_a_view_runs_when_any_chunk_or_the_memory_needs_it() -> None:
    assert views_needed((LATE,)) == (View.HISTORY,)
    assert views_needed((LATE, EARLY)) == (View.TEXT, View.HISTORY)
    assert views_needed((Weights(0.0, 0.0, 1.0),)) == (View.TEXT,)
    assert views_needed((Weights(0.0, 0.0, 1.0),), View.HISTORY) == (View.TEXT, View.HISTORY)


def test_only_chunks_with_a_weight_for_it_are_seen_alone() -> None:
    assert chunks_alone((LATE, EARLY, EARLY)) == range(1, 3)
    assert len(chunks_alone((LATE, LATE))) == 0


def test_the_memory_is_that_of_the_view_without_a_prompt_where_there_is_one() -> None:
    assert BASE.memory_view is View.HISTORY
    assert DISTILLED.memory_view is View.TEXT
