"""The topics that exist, and those that do not."""

from __future__ import annotations

import pytest

from magi_rt.errors import OptionError
from magi_rt.stream.topics import TOPICS, Topic, parse_topic


def test_every_topic_is_found_by_its_own_name_and_fits_into_a_packed_frame() -> None:
    assert len(TOPICS) == 4 * 2 * 3 + 2 + 4
    for name, topic in TOPICS.items():
        assert parse_topic(name) == topic
        assert topic.name == name
        assert len(name) <= 63


def test_no_topic_is_the_beginning_of_another_one() -> None:
    names = [*TOPICS, b"event"]
    assert not [(a, b) for a in names for b in names if a != b and b.startswith(a)]


@pytest.mark.parametrize(
    "name", [b"", b"frame", b"frame/rgb8/top/", b"frame/jpeg/bottom/parts", b"event", b"\xff\xfe"]
)
def test_other_names_mean_nothing(name: bytes) -> None:
    assert parse_topic(name) is None


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("rgb16", "top", "parts"), "format"),
        (("rgb8", "left", "parts"), "rows"),
        (("rgb8", "top", "auto"), "layout"),
        (("jpeg", "bottom", "parts"), "rows"),
        (("jpeg", "top", "shared"), "layout"),
        (("any", "top", "shared"), "layout"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words: tuple[str, str, str], field: str) -> None:
    with pytest.raises(OptionError) as refused:
        Topic(*words)
    assert refused.value.field == field
