"""The chunk window admits, steps and retires chunks in the published order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.window import ChunkWindow, plan_call
from tests.support import small_config


@dataclass(frozen=True)
class Place:
    index: int
    steps_done: int = 0


Window = ChunkWindow[Place]


def opened(window: Window) -> Window:
    return window.admit(Place(window.next_index)) if window.wants_chunk else window


def stepped(window: Window) -> Window:
    window = opened(window)
    return window.advance([replace(p, steps_done=p.steps_done + 1) for p in window.in_flight])


def emissions(window: Window, calls: int) -> list[tuple[int, int]]:
    """(call, chunk) of everything finished within some calls."""
    found = []
    for call in range(1, calls + 1):
        window = stepped(window)
        if window.finished is not None:
            found.append((call, window.finished.index))
    return found


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_first_chunk_takes_all_steps_and_then_one_comes_every_stage(size: int) -> None:
    found = emissions(Window(size, 8), 24)
    assert found == [(8 + stage * 8 // size, stage) for stage in range(len(found))]
    assert len(found) == 1 + 16 * size // 8


def test_a_stream_that_ends_lets_its_last_chunks_run_out() -> None:
    window = Window(4, 8, end=3)
    counts = []
    while not window.exhausted:
        window = opened(window)
        counts.append(len(window.in_flight))
        window = stepped(window)
    assert counts == [1, 1, 2, 2, 3, 3, 3, 3, 2, 2, 1, 1]


def test_an_endless_window_is_never_exhausted() -> None:
    window = Window(2, 8)
    for _ in range(50):
        window = stepped(window)
        assert not window.exhausted


def test_asking_twice_admits_once() -> None:
    window = opened(Window(4, 8))
    assert not window.wants_chunk
    assert opened(window) is window


def test_chunks_are_admitted_only_at_the_start_of_a_stage() -> None:
    window = stepped(Window(4, 8))
    assert not window.wants_chunk
    assert stepped(window).wants_chunk


def test_a_window_is_never_edited() -> None:
    window = opened(Window(1, 8))
    before = replace(window)
    stepped(window)
    assert window == before


def test_a_finished_chunk_is_written_in_the_first_call_of_the_next_stage_only() -> None:
    sampler = SamplerConfig.from_config(small_config(window_size=4))
    window = Window(4, 8)
    plans = []
    for _ in range(12):
        window = opened(window)
        plans.append(plan_call(window, sampler))
        window = stepped(window)
    assert [call for call, plan in enumerate(plans) if plan.write_clean] == [8, 10]
    plan = plans[8]
    assert plan.first_chunk == 0
    assert plan.times == (sampler.clean_time, *sampler.times[6::-2])
    assert plan.visible == (1, 2, 3, 4, 5)
    assert plan.noisy_times == plan.times[1:]
    assert plans[9].first_chunk == 1
