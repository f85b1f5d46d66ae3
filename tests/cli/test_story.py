"""Prompts along time, as the command line reads them."""

from __future__ import annotations

import pytest

from magi_rt.cli.story import DEFAULT_STORY, Turn, default_story, parse_then, told_story
from magi_rt.errors import OptionError, PromptError
from magi_rt.training.worlds.toybox_prompts import phrasings


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("0:03 wind blows left", Turn(3.0, "wind blows left")),
        ("1:05 night falls", Turn(65.0, "night falls")),
        (" 0:00.5   snow  \n falls ", Turn(0.5, "snow  \n falls")),
        ("0:07 \N{SNOWFLAKE} \N{GRINNING FACE}", Turn(7.0, "\N{SNOWFLAKE} \N{GRINNING FACE}")),
        ("0:03 4:05 on the clock", Turn(3.0, "4:05 on the clock")),
    ],
)
def test_a_time_and_a_prompt_are_read(text: str, turn: Turn) -> None:
    assert parse_then(text, 100.0) == turn


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "has no time in front"),
        ("", "has no time in front"),
        ("3 wind", "has no time in front"),
        ("0:3 wind", "has no time in front"),
        ("-0:03 wind", "has no time in front"),
        ("0:03wind", "has no time in front"),
        ("0:99 too late", "write 1:39"),
        ("0:60 wind", "write 1:00"),
        ("0:03", "no prompt after the time"),
        ("0:03   ", "no prompt after the time"),
        ("0:10 wind", "lasts from 0 to 10 s; make --seconds larger"),
        ("99:00 wind", "make --seconds larger"),
        ("0:00 wind", "use --prompt for the start"),
    ],
)
def test_a_turn_that_cannot_be_is_refused_with_the_way_out(text: str, says: str) -> None:
    with pytest.raises(OptionError) as refused:
        parse_then(text, 10.0)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_turns_are_ordered_by_time_and_hold_until_the_next() -> None:
    turns = told_story("a room", ["0:06 night falls", "0:03 wind"], 10.0)
    seen = [turns.at(time_s).prompt for time_s in (0, 2.99, 3.0, 5.9, 6.0, 9.9)]
    assert seen == ["a room", "a room", "wind", "wind", "night falls", "night falls"]


def test_two_prompts_for_one_time_are_refused() -> None:
    with pytest.raises(OptionError, match="two prompts are given for one time"):
        told_story("", ["0:03 wind", "0:03 rain"], 10.0)


def test_a_prompt_that_is_too_long_is_refused_wherever_it_stands() -> None:
    with pytest.raises(PromptError, match=r"4,001 characters"):
        told_story("x" * 4001, [], 10.0)
    with pytest.raises(PromptError, match=r"4,001 characters"):
        told_story("", ["0:03 " + "x" * 4001], 10.0)


def test_the_story_changes_its_prompt_several_times_and_fits_any_length() -> None:
    short, long = default_story(2.0), default_story(10.0)
    assert short.turns[0].time_s == 0
    assert len({turn.prompt for turn in long.turns}) >= 5
    assert all(turn.time_s < 2.0 for turn in short.turns)
    assert [turn.time_s * 5 for turn in short.turns] == [turn.time_s for turn in long.turns]


def test_the_story_uses_words_the_built_in_world_learned() -> None:
    learned = {
        phrase
        for kind, value in (
            *(("gravity", way) for way in ("left", "up", "down")),
            *(("light", light) for light in ("night", "day")),
            ("weather", "snow"),
        )
        for phrase in phrasings(kind, value, "train")
    }
    for _, prompt in DEFAULT_STORY[1:]:
        assert set(prompt.split(" and ")) <= learned, prompt
