"""Caption cleaning: the published pairs, and text that no caption writer had in mind."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from magi_rt.models.caption_cleaning import clean_caption, clean_prompt

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
PAIRS = json.loads((GOLDENS / "prompt_clean_caption.json").read_text("utf-8"))["meta"]["pairs"]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_published_pairs_are_cleaned_alike(text: str, expected: str) -> None:
    assert clean_prompt(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://place.xyz/a b", "place. xyz a b"),  # only the scheme is an address here
        ("ask me@example.com today", "ask me today"),
        ("a <i>red</i> car<br>drives", "a red cardrives"),
        ("wait ~ 12:34 \\n then", "wait 12:34 then"),
        ("size 3.5\u00d72 m, 3.5x2 and 10x20", "size m, 3. and"),
        ("see 'it'", "see 'it"),
        (".hidden", ""),
        ("one : two", "one: two"),
        ("worldwide free shipping, png images of cats", "of cats"),
        ("a-b_c-d", "a-b_c-d"),
        ("a-b_c-d_e", "a b c d e"),
    ],
)
def test_rules_keep_their_quirks(text: str, expected: str) -> None:
    assert clean_prompt(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "readme.txt",
        "/usr/bin",
        "http://a",
        "<?xml ?><a>b",
        "<![broken",
        "<!",
        "&#0;",
    ],
)
def test_text_that_looks_like_a_file_or_broken_markup_is_still_text(text: str) -> None:
    assert isinstance(clean_prompt(text), str)


def test_markup_that_cannot_be_read_stays_as_text() -> None:
    assert "cat" in clean_caption("<![strange[ a cat")


def test_emoji_and_accents_survive() -> None:
    assert clean_prompt("Ünïcode 🦊 fox") == "ünïcode 🦊 fox"


def test_any_text_is_cleaned_without_an_error_or_a_warning() -> None:
    chance = random.Random(7)
    pieces = [
        "<", ">", "&", ";", "/", "!", "[", "]", "-", ".", " ", "'", '"', "\\n", "\n", "\0", "%",
        "www:", "a", "Z", "9", "中", "é", "\U0001f600", "\ud800", "<script>", "</b", "&amp;",
    ]  # fmt: skip
    for _ in range(300):
        clean_prompt("".join(chance.choices(pieces, k=chance.randrange(40))))


def test_deeply_nested_markup_is_no_problem() -> None:
    assert clean_prompt("<b>" * 1300 + "deep") == "deep"
