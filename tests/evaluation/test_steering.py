"""Steering trials: a world that is the simulator obeys, one that stands still does not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from magi_rt.errors import OptionError
from magi_rt.evaluation.steering import LIGHT_MARGIN, Outcome, judge, run_trials, scores
from magi_rt.evaluation.trials import ASKED, CHUNKS, Trial, draw_trials
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.toybox_prompts import phrasings
from tests.evaluation.stub_worlds import FrozenWorld, frozen, perfect


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return draw_trials(24, seed=3)


def share(outcomes: list[Outcome]) -> float:
    return scores(outcomes)[-1].obeyed


def room(x: int, y: int, wall: int = 190, side: int = 12) -> Pixels:
    """Four frames of a grey room with one red box, its corner at (x, y)."""
    frames = np.full((4, 64, 64, 3), wall, dtype=np.uint8)
    frames[:, y : y + side, x : x + side] = (222, 48, 52)
    return frames


def test_a_world_that_is_the_simulator_obeys(trials: list[Trial]) -> None:
    outcomes = run_trials(trials, perfect(trials))
    assert share(outcomes) > 0.95
    assert all(row.simulator > 0.95 for row in scores(outcomes))
    assert [row.reached for row in scores(outcomes)] == [1.0] * 7


def test_without_a_prompt_the_simulator_does_not_obey_by_chance(trials: list[Trial]) -> None:
    last = scores(run_trials(trials, perfect(trials)))[-1]
    assert last.unprompted == last.unasked <= 0.05


def test_a_frozen_world_does_not_obey(trials: list[Trial]) -> None:
    assert share(run_trials(trials, frozen)) < 0.2


def test_a_world_that_loses_its_objects_does_not_obey_gravity(trials: list[Trial]) -> None:
    def begin(video: Pixels | None, seed: int) -> FrozenWorld:
        return FrozenWorld(np.full((64, 64, 3), 190, dtype=np.uint8))

    pulled = [trial for trial in trials if trial.asked.kind == "gravity"]
    outcomes = run_trials(pulled, begin)
    assert share(outcomes) == 0
    assert math.isnan(scores(outcomes)[-1].reached)


def test_trials_are_spread_evenly_over_kinds_and_splits(trials: list[Trial]) -> None:
    assert Counter(trial.asked for trial in trials) == dict.fromkeys(ASKED, 4)
    assert Counter(trial.split for trial in trials) == {"train": 12, "held_out": 12}
    assert [trial.number for trial in trials] == list(range(24))
    for trial in trials:
        asked = trial.asked
        assert trial.prompt in phrasings(asked.kind, asked.value, trial.split)
        assert trial.standing != asked.value


def test_a_few_trials_are_spread_too() -> None:
    assert [trial.asked for trial in draw_trials(4, seed=0)] == list(ASKED[:4])


def test_the_same_seed_draws_the_same_trials_and_another_seed_others() -> None:
    few, again, other = (draw_trials(3, seed) for seed in (3, 3, 4))
    for one, two in zip(few, again, strict=True):
        assert (one.prompt, one.seed) == (two.prompt, two.seed)
        assert np.array_equal(one.video, two.video) and np.array_equal(one.truth, two.truth)
    assert not np.array_equal(few[0].video, other[0].video)


def test_longer_chunks_lead_to_longer_videos() -> None:
    trial = draw_trials(1, seed=0, frames_per_chunk=40)[0]
    assert len(trial.video) == 40 and len(trial.truth) == 40 * CHUNKS


def test_no_trials_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        draw_trials(0, seed=0)


def test_a_way_counts_from_the_margin_on() -> None:
    left, right = Meaning("gravity", "left"), Meaning("gravity", "right")
    assert judge(right, room(4, 30), room(11, 30)).obeyed
    assert not judge(right, room(4, 30), room(8, 30)).obeyed
    assert not judge(left, room(4, 30), room(11, 30)).obeyed
    assert judge(right, room(4, 30), room(12, 30)).amount == pytest.approx(8 / 64)


def test_a_move_further_across_than_along_does_not_count() -> None:
    assert not judge(Meaning("gravity", "right"), room(4, 4), room(14, 30)).obeyed


def test_a_world_that_floods_with_colour_does_not_count() -> None:
    assert not judge(Meaning("gravity", "right"), room(2, 30), room(20, 20, side=32)).obeyed


def test_light_counts_from_the_margin_on_and_only_the_asked_way() -> None:
    day, night = Meaning("light", "day"), Meaning("light", "night")
    dark, dusk = room(4, 4, wall=30), room(4, 4, wall=30 + int(LIGHT_MARGIN) - 2)
    assert judge(day, dark, room(4, 4)).obeyed
    assert judge(night, room(4, 4), dark).obeyed
    assert not judge(night, dark, room(4, 4)).obeyed
    assert not judge(day, dark, dusk).obeyed


def test_every_outcome_is_told_in_turn(trials: list[Trial]) -> None:
    heard: list[int] = []
    run_trials(trials[:3], frozen, lambda outcome: heard.append(outcome.trial.number))
    assert heard == [0, 1, 2]


def test_words_from_training_and_held_out_words_are_scored_apart(trials: list[Trial]) -> None:
    outcomes = run_trials(trials, perfect(trials))
    deaf = [replace(o, model=o.unprompted) if o.trial.split == "held_out" else o for o in outcomes]
    last = scores(deaf)[-1]
    assert last.train > 0.95 and last.held_out < 0.05
    assert last.obeyed == pytest.approx((last.train + last.held_out) / 2)
