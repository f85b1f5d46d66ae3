"""Cleaner chunks look back less far, and the memory is as deep as anyone can look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from magi_rt.sampling.visibility import Visibility, span
from magi_rt.sampling.window import ChunkWindow

PUBLISHED = Visibility((5, 4, 3, 2), 1, 16)


def test_the_width_shrinks_with_every_quarter_of_the_steps() -> None:
    assert [PUBLISHED.noisy(9, step) for step in (0, 3, 4, 8, 12, 15)] == [5, 5, 4, 3, 2, 2]


def test_a_span_ends_with_the_chunk_itself_and_starts_at_zero_at_the_earliest() -> None:
    assert span(7, 3) == (5, 8)
    assert span(1, 5) == (0, 2)


@pytest.mark.parametrize(
    ("by_stage", "clean", "finished", "given"),
    [((5, 4), 1, 1, 1), ((5, 4), -1, 4, 4), ((), -1, 10, 8), ((), 2, 10, 2)],
)
def test_finished_and_given_chunks_have_their_own_widths(
    by_stage: tuple[int, ...], clean: int, finished: int, given: int
) -> None:
    visibility = Visibility(by_stage, clean, 16)
    assert (visibility.finished(9), visibility.given(9)) == (finished, given)


def test_without_stages_every_chunk_sees_all_before_it() -> None:
    everything = Visibility((), -1, 16)
    assert span(6, everything.noisy(6, 0)) == (0, 7)
    assert everything.reach(4) is None


@dataclass(frozen=True)
class Place:
    index: int
    steps_done: int = 0


def looked_back(visibility: Visibility, size: int, given: int) -> int:
    """Most finished chunks seen in a long walk, found by walking."""
    steps = visibility.steps
    window: ChunkWindow[Place] = ChunkWindow(size, steps, given, given + 12)
    most = max(min(given, visibility.given(99)) - 1, visibility.finished(99) - 1, 1)
    while not window.exhausted:
        if window.wants_chunk:
            window = window.admit(Place(window.next_index))
        oldest = window.in_flight[0].index
        for place in window.in_flight:
            first, _ = span(place.index, visibility.noisy(place.index, place.steps_done))
            most = max(most, oldest - first)
        window = window.advance(
            [replace(place, steps_done=place.steps_done + 1) for place in window.in_flight]
        )
    return most


@pytest.mark.parametrize("by_stage", [(5, 4, 3, 2), (6, 3), (4, 3, 2, 2), (2, 7, 1, 9)])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("given", [0, 1, 2, 3, 7])
def test_the_reach_is_what_a_walk_looks_back(
    by_stage: tuple[int, ...], size: int, given: int
) -> None:
    visibility = Visibility(by_stage, 1, 16)
    assert visibility.reach(size, given) == looked_back(visibility, size, given)
