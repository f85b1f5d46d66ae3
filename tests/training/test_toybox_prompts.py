"""The toybox's words: enough of them, a fixed part held out, and each prompt says what happens."""

from __future__ import annotations

import re
from random import Random

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.toybox_prompts import clause_words, phrasings
from magi_rt.training.worlds.toybox_scene import COLOURS, draw_facts
from magi_rt.training.worlds.toybox_script import KINDS, draw_clause, draw_clauses

MEANINGS = [
    *(("gravity", way) for way in ("down", "up", "left", "right", "none")),
    *(("light", light) for light in ("day", "night")),
    *(("weather", kind) for kind in ("clear", "rain", "snow")),
    *(("wind", way) for way in ("left", "right")),
    *(("push", way) for way in ("left", "right", "up", "down")),
    ("jump", ""),
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
    assert phrasings("light", "night", "held_out") == ("the sun sets", "make it dark")


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


def test_held_out_phrasings_never_occur_in_training_clips() -> None:
    prompts = toybox.clips(300, 4, torch.Generator().manual_seed(0), size=16).prompts
    spoken = sorted({prompt for row in prompts for prompt in row})
    edge = "(?:^|$|, | and | while )"
    for kind, value in MEANINGS:
        for pattern in phrasings(kind, value, "held_out"):
            if kind == "scene":
                continue
            words = re.escape(pattern).replace(r"\{thing\}", r"the \w+ (?:ball|box)")
            words = words.replace(r"\{colour\}", f"(?:{'|'.join(COLOURS)})")
            heard = re.compile(edge + words + edge)
            assert not [prompt for prompt in spoken if heard.search(prompt)]


def test_a_held_out_clause_speaks_only_held_out_phrasings() -> None:
    random = Random(0)
    for _ in range(200):
        facts = draw_facts(random)
        clause = draw_clause(random.choice(tuple(KINDS)), facts, random)
        said = clause_words(clause, random, "held_out")
        thing = f"the {clause.thing} {clause.shape}"
        allowed = {
            p.replace("{thing}", thing).replace("{colour}", clause.value)
            for p in phrasings(clause.kind, clause.value, "held_out")
        }
        assert said in allowed


def test_clauses_always_change_something_that_is_in_the_room() -> None:
    random = Random(1)
    for _ in range(300):
        facts = draw_facts(random)
        clauses = draw_clauses(facts, random)
        assert 1 <= len(clauses) <= 2
        assert len({clause.kind for clause in clauses}) == len(clauses)
        for clause in clauses:
            present = {thing.colour for thing in facts.things}
            if clause.kind in ("gravity", "light", "weather"):
                assert clause.value != getattr(facts, clause.kind)
            if clause.thing:
                assert clause.thing in present
            if clause.kind == "colour":
                assert clause.value in set(COLOURS) - present


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(OptionError, match="'dev'"):
        phrasings("light", "day", "dev")
