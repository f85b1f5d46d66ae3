"""Steering trials: a world that is the simulator obeys, one that stands still does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from magi_rt.errors import OptionError
from magi_rt.evaluation.judges import Change, Question, judge
from magi_rt.evaluation.kinds import KINDS
from magi_rt.evaluation.readings import Reading
from magi_rt.evaluation.steering import Outcome, run_trials, scores
from magi_rt.evaluation.trials import CHUNKS, Trial, draw_trials
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.toybox_prompts import filled, phrasings
from magi_rt.training.worlds.toybox_scene import COLOURS, DIRECTIONS
from tests.evaluation.stub_worlds import FrozenWorld, frozen, perfect

HELD_STILL = ("freeze",)
"""Kinds that a world which stands still obeys, as it should."""


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return list(draw_trials(2, seed=3))


@pytest.fixture(scope="module")
def outcomes(trials: list[Trial]) -> list[Outcome]:
    return run_trials(trials, perfect(trials))


def reading(
    places: dict[str, tuple[float, float]], frames: int = 8, light: float = 1.0, box: bool = False
) -> Reading:
    """Things of 100 pixels that stay where they are."""
    mass = np.zeros((frames, 6), np.float32)
    centre = np.full((frames, 6, 2), np.nan, np.float32)
    shape = np.full((frames, 6), -1, np.int64)
    for colour, place in places.items():
        mass[:, COLOURS.index(colour)] = 100
        centre[:, COLOURS.index(colour)] = place
        shape[:, COLOURS.index(colour)] = box
    lights = np.full(frames, light, np.float32)
    return Reading(mass, centre, shape, lights, np.zeros(frames, np.int64))


def obeyed(asked: Meaning, before: Reading, after: Reading, gravity: str = "down") -> bool:
    return judge(Question(asked, gravity, "normal"), before, after, 8).obeyed


def test_a_world_that_is_the_simulator_obeys_every_kind(outcomes: list[Outcome]) -> None:
    missed = [outcome.kind for outcome in outcomes if not outcome.model.obeyed]
    assert missed == []
    assert scores(outcomes)[-1].simulator == 1.0


def test_a_world_that_stands_still_obeys_nothing_but_a_freeze(trials: list[Trial]) -> None:
    for row in scores(run_trials(trials, frozen))[:-1]:
        assert row.obeyed == (1.0 if row.name in HELD_STILL else 0.0), row.name


@pytest.mark.parametrize("level", [0, 128, 255, None])
def test_pictures_of_nothing_obey_nothing(trials: list[Trial], level: int | None) -> None:
    random = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = random if level is None else np.full((64, 64, 3), level, np.uint8)
    outcomes = run_trials(trials, lambda video, seed: FrozenWorld(picture))
    assert [one.kind for one in outcomes if one.model.obeyed] == []


def test_without_a_prompt_a_still_world_does_not_obey_by_chance(outcomes: list[Outcome]) -> None:
    controls = [o for o in outcomes if o.control is not None and o.kind not in HELD_STILL]
    assert len(controls) == len(KINDS) - 1
    assert not any(outcome.control.obeyed for outcome in controls if outcome.control)


def test_trials_without_their_prompt_come_from_both_splits(trials: list[Trial]) -> None:
    kind = [replace(trial, kind="same") for trial in trials[:8]]
    tried = [o.split for o in run_trials(kind, frozen) if o.control is not None]
    assert tried == ["train", "held_out"]


def test_there_are_as_many_trials_of_every_kind_in_either_split(trials: list[Trial]) -> None:
    assert [trial.kind for trial in trials] == [kind.name for kind in KINDS for _ in range(2)]
    assert [trial.split for trial in trials] == ["train", "held_out"] * len(KINDS)
    for trial in trials:
        asked = trial.question.asked
        words = [filled(p, asked) for p in phrasings(asked.kind, asked.value, trial.split)]
        assert trial.prompt in words
        assert trial.video.shape[1:] == (64, 64, 3) and len(trial.truth) == 8 * CHUNKS


def test_the_same_seed_draws_the_same_trials_and_another_seed_others() -> None:
    first, again, other = (next(draw_trials(1, seed)) for seed in (3, 3, 4))
    assert (first.prompt, first.seed) == (again.prompt, again.seed)
    assert np.array_equal(first.video, again.video) and np.array_equal(first.truth, again.truth)
    assert not np.array_equal(first.video, other.video)


def test_a_room_that_is_asked_to_go_on_has_shown_what_pulls_in_it() -> None:
    (kind,) = (each for each in KINDS if each.name == "normal pace")
    paces: list[str] = []
    for trial in draw_trials(8, seed=0, kinds=[kind]):
        paces.append(trial.question.pace)
        if trial.question.pace != "freeze":
            continue
        moved = np.diff(trial.before.centre, axis=0)
        way = np.array(DIRECTIONS[trial.question.gravity])
        assert np.nanmax(moved[:15] @ way) > 0.2
        assert np.nanmax(np.abs(moved[16:])) < 0.01
        assert (trial.video[16] == trial.video[-1]).all()
    assert set(paces) == {"freeze", "slow"}


def test_longer_chunks_lead_to_longer_videos() -> None:
    trial = next(draw_trials(1, seed=0, frames_per_chunk=40))
    assert len(trial.video) == 40 and len(trial.truth) == 40 * CHUNKS


def test_no_trials_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        list(islice(draw_trials(0, seed=0), 1))


def test_words_from_training_and_held_out_words_are_scored_apart(outcomes: list[Outcome]) -> None:
    deaf = [
        replace(o, model=replace(o.model, obeyed=False)) if o.split == "held_out" else o
        for o in outcomes
    ]
    last = scores(deaf)[-1]
    assert (last.train, last.held_out, last.obeyed) == (1.0, 0.0, 0.5)


def test_every_prompt_is_told_in_turn(trials: list[Trial]) -> None:
    heard: list[str] = []
    run_trials(trials[:3], frozen, heard.append)
    assert heard == [trial.prompt for trial in trials[:3]]


def test_gravity_counts_from_the_margin_on_and_not_sideways() -> None:
    right, start = Meaning("gravity", "right"), reading({"red": (20, 30)})
    assert obeyed(right, start, reading({"red": (27, 30)}))
    assert not obeyed(right, start, reading({"red": (24, 30)}))
    assert not obeyed(right, start, reading({"red": (13, 30)}))
    assert not obeyed(right, start, reading({"red": (27, 50)}))


def test_no_gravity_is_a_lift_off_the_ground_and_not_a_fall_to_the_ceiling() -> None:
    off, start = Meaning("gravity", "none"), reading({"red": (30, 53)})
    assert obeyed(off, start, reading({"red": (30, 33)}))
    assert not obeyed(off, start, reading({"red": (30, 53)}))
    assert not obeyed(off, start, reading({"red": (30, 8)}))


def test_a_world_that_loses_a_thing_does_not_obey() -> None:
    start = reading({"red": (20, 30), "blue": (20, 40)})
    assert not obeyed(Meaning("gravity", "right"), start, reading({"red": (40, 30)}))
    assert not obeyed(Meaning("vanish", "", "red", "ball"), start, reading({}))
    assert obeyed(Meaning("vanish", "", "red", "ball"), start, reading({"blue": (20, 40)}))


def test_only_the_named_thing_may_jump() -> None:
    jump = Meaning("jump", "", "red", "ball")
    start = reading({"red": (20, 50), "blue": (40, 50)})
    assert obeyed(jump, start, reading({"red": (20, 40), "blue": (40, 50)}))
    assert not obeyed(jump, start, reading({"red": (20, 50), "blue": (40, 40)}))
    assert not obeyed(jump, start, reading({"red": (20, 40), "blue": (40, 35)}))


def test_a_thing_that_turns_another_colour_than_asked_does_not_count() -> None:
    turn, start = Meaning("colour", "green", "red", "ball"), reading({"red": (20, 50)})
    assert obeyed(turn, start, reading({"green": (20, 50)}))
    assert not obeyed(turn, start, reading({"blue": (20, 50)}))
    assert not obeyed(turn, start, reading({"red": (20, 50), "green": (40, 50)}))


def test_a_new_thing_must_not_replace_another() -> None:
    new, start = Meaning("appear", "green", "", "ball"), reading({"red": (20, 50)})
    assert obeyed(new, start, reading({"red": (20, 50), "green": (30, 9)}))
    assert not obeyed(new, start, reading({"green": (30, 9)}))


def test_what_comes_or_turns_is_of_the_named_shape_where_it_is_seen_whole() -> None:
    start = reading({"red": (20, 50)})
    comes = reading({"red": (20, 50), "green": (40, 50)}, box=True)
    assert obeyed(Meaning("appear", "green", "", "box"), start, comes)
    assert not obeyed(Meaning("appear", "green", "", "ball"), start, comes)
    turned = reading({"green": (20, 50)}, box=True)
    assert obeyed(Meaning("colour", "green", "red", "box"), start, turned)
    assert not obeyed(Meaning("colour", "green", "red", "ball"), start, turned)
    hidden = replace(comes, shape=np.full((8, 6), -1))
    assert obeyed(Meaning("appear", "green", "", "ball"), start, hidden)


def test_light_must_be_the_one_that_was_asked_for() -> None:
    dusk, start = Meaning("light", "dusk"), reading({}, light=1)
    assert obeyed(dusk, start, reading({}, light=0.5))
    assert not obeyed(dusk, start, reading({}, light=0.0))


def test_light_may_not_cost_a_thing() -> None:
    start = reading({"red": (20, 30), "blue": (20, 40)}, light=1)
    night = Meaning("light", "night")
    assert obeyed(night, start, reading({"red": (20, 30), "blue": (20, 40)}, light=0.0))
    assert not obeyed(night, start, reading({"red": (20, 30)}, light=0.0))
    assert not obeyed(Meaning("weather", "clear"), start, reading({"blue": (20, 40)}))


def going(speed: float, frames: int = 16) -> Reading:
    """One thing that goes so many units to the right in every frame."""
    seen = reading({"red": (2, 30)}, frames)
    seen.centre[:, 0, 0] += speed * np.arange(frames, dtype=np.float32)
    return seen


@pytest.mark.parametrize(
    ("asked", "holds", "before", "after", "does"),
    [
        ("freeze", "normal", 2.0, 0.4, True),
        ("freeze", "normal", 2.0, 0.6, False),
        ("freeze", "slow", 1.0, 1.0, False),
        ("slow", "normal", 2.0, 1.0, True),
        ("slow", "normal", 2.0, 2.0, False),
        ("slow", "normal", 2.0, 0.2, False),
        ("normal", "slow", 1.0, 2.0, True),
        ("normal", "slow", 1.0, 1.5, False),
        ("normal", "freeze", 0.0, 0.4, True),
        ("normal", "freeze", 0.0, 0.3, False),
    ],
)
def test_a_pace_is_a_share_of_the_speed_before(
    asked: str, holds: str, before: float, after: float, does: bool
) -> None:
    question = Question(Meaning("pace", asked), "down", holds)
    assert judge(question, going(before), going(after), 16).obeyed is does


def test_a_pace_may_not_cost_a_thing() -> None:
    start = reading({"red": (20, 30), "blue": (40, 30)}, frames=16)
    start.centre[:, :, 0] += np.arange(16, dtype=np.float32)[:, None]
    still, lost = (reading(dict.fromkeys(names, (30, 30)), 16) for names in (COLOURS, ["red"]))
    both = reading({"red": (35, 30), "blue": (55, 30)}, 16)
    freeze = Question(Meaning("pace", "freeze"), "down", "normal")
    assert [judge(freeze, start, end, 16).obeyed for end in (both, lost, still)] == [
        True,
        False,
        False,
    ]


def test_a_jump_counts_when_it_showed_and_a_pull_only_when_it_lasts() -> None:
    before, after = reading({"red": (20, 50)}), reading({"red": (20, 50)}, frames=32)
    after.centre[:12, 0, 1] = 30
    jump = judge(Question(Meaning("jump", "", "red", "ball"), "down", "normal"), before, after, 8)
    up = judge(Question(Meaning("gravity", "up"), "down", "normal"), before, after, 8)
    assert (jump.obeyed, jump.after) == (True, 1)
    assert (up.obeyed, up.after) == (False, None)


def test_weather_is_that_of_most_of_the_last_frames() -> None:
    rain, start, after = Meaning("weather", "rain"), reading({}), reading({})
    after.weather[:6] = 1
    assert not obeyed(rain, start, after)  # two of the last four
    after.weather[:7] = 1
    assert obeyed(rain, start, after)


def test_nothing_may_appear_that_nobody_asked_for() -> None:
    right, start = Meaning("gravity", "right"), reading({"red": (20, 30)})
    assert not obeyed(right, start, reading({"red": (40, 30), "blue": (45, 30)}))


def test_latency_is_that_of_trials_that_obeyed_and_chance_that_of_trials_without_prompt(
    outcomes: list[Outcome],
) -> None:
    yes, late, lost = Change(True, 1), Change(True, 3), Change(False, 4)
    base = replace(outcomes[0], control=None, simulator=yes)
    some = [
        replace(base, model=yes, control=lost),
        replace(base, model=late, control=yes),
        replace(base, model=lost, simulator=late),
        replace(base, model=lost, simulator=lost),
    ]
    row = scores(some)[-1]
    assert (row.trials, row.obeyed, row.latency) == (4, 0.5, 2.0)
    assert (row.control, row.simulator) == (0.5, 0.75)
    assert row.simulator_latency == pytest.approx(5 / 3)


def test_the_first_chunk_in_which_a_change_shows_is_its_latency() -> None:
    before, after = reading({"red": (20, 30)}), reading({"red": (40, 30)}, frames=32)
    after.centre[:16, 0] = (20, 30)
    change = judge(Question(Meaning("gravity", "right"), "down", "normal"), before, after, 8)
    assert change.obeyed and change.after == 3
