"""The toybox's words: enough of them, a fixed part held out, and each prompt says what happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.toybox_prompts import (
    caption_words,
    clause_words,
    filled,
    phrasings,
    prompt_words,
)
from magi_rt.training.worlds.toybox_scene import COLOURS, PACES, PLACES, Facts, draw_facts
from magi_rt.training.worlds.toybox_script import FORCES, KINDS, Seen, draw_clause, draw_clauses
from magi_rt.world.actions import ActionMap

MEANINGS = [
    *(("gravity", way) for way in ("down", "up", "left", "right", "none")),
    *(("light", light) for light in ("day", "dusk", "night")),
    *(("weather", kind) for kind in ("clear", "rain", "snow")),
    *(("wind", way) for way in ("left", "right")),
    *(("push", way) for way in ("left", "right", "up", "down")),
    *(("pace", pace) for pace in ("freeze", "slow", "normal")),
    ("jump", ""),
    ("appear", "red"),
    ("vanish", ""),
    ("colour", "red"),
    ("scene", ""),
]


def words(phrase: str) -> set[str]:
    return set(phrase.replace(",", " ").replace("{rest}", "").split())


@pytest.mark.parametrize(("kind", "value"), MEANINGS)
def test_every_meaning_has_phrasings_for_training_and_others_held_out(
    kind: str, value: str
) -> None:
    known, train, held = (phrasings(kind, value, s) for s in ("all", "train", "held_out"))
    assert len(known) == len(set(known)) >= (5 if kind == "scene" else 8)
    assert held and known[0] in train
    assert sorted(train + held) == sorted(known)
    assert 0.1 <= len(held) / len(known) <= 0.26


def test_which_phrasings_are_held_out_never_changes() -> None:
    assert phrasings("light", "night", "held_out") == (
        "make it dark",
        "turn the light off",
        "the sun sets slowly",
    )


def test_held_out_phrasings_ask_for_no_word_that_training_never_says() -> None:
    said = {
        w for kind, value in MEANINGS for p in phrasings(kind, value, "train") for w in words(p)
    }
    asked = {
        w for kind, value in MEANINGS for p in phrasings(kind, value, "held_out") for w in words(p)
    }
    assert asked <= said


def test_no_phrasing_stands_for_two_meanings() -> None:
    filled = [
        (phrase.replace("{colour}", value), kind, value)
        for kind, value in MEANINGS
        for phrase in phrasings(kind, value)
    ]
    assert len({phrase for phrase, _, _ in filled}) == len(filled)


def held_out_patterns() -> list[re.Pattern[str]]:
    """What finds each held-out phrasing of a change in a prompt, whatever else that asks for."""
    edge = "(?:^|$|, | and | while |now |then |please | now)"
    patterns = []
    for kind, value in MEANINGS:
        for phrase in phrasings(kind, value, "held_out"):
            if kind == "scene":
                continue
            words = re.escape(phrase).replace(r"\{thing\}", r"the \w+ (?:ball|box)")
            words = words.replace(r"\{new\}", r"an? \w+ (?:ball|box)")
            words = words.replace(r"\{name\}", r"\w+ (?:ball|box)")
            words = words.replace(r"\{colour\}", f"(?:{'|'.join(COLOURS)})")
            patterns.append(re.compile(edge + words + edge))
    return patterns


def test_held_out_phrasings_never_occur_in_training_clips() -> None:
    prompts = toybox.clips(300, 4, torch.Generator().manual_seed(0), size=16).prompts
    spoken = sorted({prompt for row in prompts for prompt in row})
    for heard in held_out_patterns():
        assert not [prompt for prompt in spoken if heard.search(prompt)]


def test_what_the_demos_keys_and_chips_say_is_never_held_out() -> None:
    actions = ActionMap.of("nano")
    said = {prompt for group in actions.suggestions for prompt in group.prompts}
    said |= set(actions.keys.values()) | set(actions.pull.values())
    for heard in held_out_patterns():
        assert not [prompt for prompt in said if heard.search(prompt)]


def test_a_held_out_clause_speaks_only_held_out_phrasings() -> None:
    random = Random(0)
    for _ in range(200):
        facts = draw_facts(random)
        clause = draw_clause(random.choice(tuple(KINDS)), facts, random)
        said = clause_words(clause, random, "held_out")
        allowed = phrasings(clause.kind, clause.value, "held_out")
        assert said in {filled(phrase, clause) for phrase in allowed}


def rooms(count: int, seed: int) -> Iterator[tuple[Facts, Random]]:
    """Random rooms, at every pace."""
    random = Random(seed)
    for _ in range(count):
        yield replace(draw_facts(random), pace=random.choice(tuple(PACES))), random


def test_clauses_always_change_something_that_is_in_the_room() -> None:
    for facts, random in rooms(600, 1):
        clauses = draw_clauses(facts, random)
        assert 1 <= len(clauses) <= 2
        assert len({clause.kind for clause in clauses}) == len(clauses)
        for clause in clauses:
            present = {thing.colour for thing in facts.things}
            if clause.kind in ("gravity", "light", "weather", "pace"):
                assert clause.value != getattr(facts, clause.kind)
            if clause.thing:
                assert clause.thing in present
            if clause.kind in ("colour", "appear"):
                assert clause.value in set(COLOURS) - present
            if clause.kind == "appear":
                assert len(facts.things) < PLACES
            if clause.kind == "vanish":
                assert len(facts.things) > 1


def test_in_a_frozen_room_forces_come_only_with_time_going_on() -> None:
    going_on = 0
    for facts, random in rooms(600, 2):
        asked = {clause.kind: clause.value for clause in draw_clauses(facts, random)}
        pace = asked.get("pace", facts.pace)
        if pace == "freeze":
            assert not set(FORCES) & set(asked)
        going_on += facts.pace == "freeze" and pace == "normal"
    assert 80 < going_on < 160


def test_no_prompt_both_moves_and_renames_or_removes_what_it_names() -> None:
    for facts, random in rooms(600, 3):
        kinds = {clause.kind for clause in draw_clauses(facts, random)}
        assert len(kinds & {"jump", "push", "colour", "vanish"}) < 2
        assert len(kinds & {"appear", "colour", "vanish"}) < 2
        assert len(kinds & set(FORCES)) < 2


def test_nothing_is_frozen_that_does_not_move_and_nothing_jumps_in_mid_air() -> None:
    still = Seen(moving=False, grounded=frozenset())
    for facts, random in rooms(300, 4):
        kinds = {clause.kind for clause in draw_clauses(facts, random, still)}
        assert "jump" not in kinds
        assert "pace" not in kinds or facts.pace != "normal"


def test_a_caption_names_all_that_is_there() -> None:
    for facts, random in rooms(100, 5):
        said = caption_words(facts, random, "train")
        assert all(f"{thing.colour} {thing.shape}" in said for thing in facts.things)
        assert not re.search("[{}]", said)


def test_no_prompt_leaves_anything_open() -> None:
    for facts, random in rooms(300, 6):
        assert not re.search("[{}]|  ", prompt_words(draw_clauses(facts, random), random, "all"))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(OptionError, match="'dev'"):
        phrasings("light", "day", "dev")
