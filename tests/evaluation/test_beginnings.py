"""What counts as a beginning that shows what its caption says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magi_rt.evaluation.beginnings import (
    Beginning,
    draw_beginnings,
    opening_scores,
    run_beginnings,
    seen_of,
)
from magi_rt.training.worlds.toybox_scene import COLOURS, Thing
from tests.evaluation.stub_worlds import perfect_beginnings


@pytest.fixture(scope="module")
def beginnings() -> list[Beginning]:
    return list(draw_beginnings(160, seed=4, size=128))


def test_the_simulators_own_pictures_are_seen_as_they_are(beginnings: list[Beginning]) -> None:
    seen = [seen_of(one.facts, one.truth[-1]) for one in beginnings]
    assert sum(one.colours and one.light and one.weather for one in seen) >= 0.99 * len(seen)
    assert sum(one.shapes for one in seen) >= 0.985 * sum(one.things for one in seen)


def test_a_thing_more_or_less_or_of_another_colour_is_not_what_was_said(
    beginnings: list[Beginning],
) -> None:
    for one in beginnings[:40]:
        things, end = one.facts.things, one.truth[-1]
        other = next(name for name in COLOURS if name not in {thing.colour for thing in things})
        for wrong in (
            things[:-1],
            (*things, Thing(other, "ball", large=True)),
            (*things[:-1], replace(things[-1], colour=other)),
        ):
            seen = seen_of(replace(one.facts, things=wrong), end)
            assert not seen.colours and not seen.right


def test_a_ball_is_no_box_and_two_things_of_one_colour_are_not_one(
    beginnings: list[Beginning],
) -> None:
    right = wrong = doubled = 0
    for one in beginnings:
        things, end = one.facts.things, one.truth[-1]
        if len(things) != 1:
            continue
        turned = replace(things[0], shape="ball" if things[0].shape == "box" else "box")
        right += seen_of(one.facts, end).shapes
        wrong += seen_of(replace(one.facts, things=(turned,)), end).shapes
        beside = np.maximum if one.facts.light == "night" else np.minimum
        doubled += seen_of(one.facts, beside(end, np.roll(end, (50, 50), (0, 1)))).shapes
    assert right > 15 and wrong == 0 and doubled <= 2


def test_the_light_and_the_weather_that_were_named_are_looked_for(
    beginnings: list[Beginning],
) -> None:
    for one in beginnings[:20]:
        light = "night" if one.facts.light == "day" else "day"
        assert not seen_of(replace(one.facts, light=light), one.truth[-1]).light
        weather = "snow" if one.facts.weather != "snow" else "clear"
        assert not seen_of(replace(one.facts, weather=weather), one.truth[-1]).weather


def test_captions_take_turns_between_trained_and_held_out_words(
    beginnings: list[Beginning],
) -> None:
    assert [one.split for one in beginnings[:4]] == ["train", "held_out"] * 2
    again = list(draw_beginnings(3, seed=4, size=128))
    assert [one.caption for one in again] == [one.caption for one in beginnings[:3]]
    assert np.array_equal(again[2].truth, beginnings[2].truth)
    assert [one.caption for one in draw_beginnings(3, seed=5)] != [one.caption for one in again]


def test_a_world_that_shows_the_captions_is_right_and_another_is_not(
    beginnings: list[Beginning],
) -> None:
    some = beginnings[:12]
    rows = opening_scores(run_beginnings(some, perfect_beginnings(some)))
    assert rows[-1].name == "all" and rows[-1].count == 12
    assert rows[-1].right == rows[-1].simulator > 0.9
    other = perfect_beginnings([replace(one, truth=some[0].truth) for one in some])
    assert opening_scores(run_beginnings(some[1:], other))[-1].right < 0.3
