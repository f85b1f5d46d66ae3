"""What is told, rewound and copied while a loop shows frames and chunks are made ahead of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.world import World
from tests.world.kit import dummy_world, same_pixels, story


def made(world: World, chunks: int) -> None:
    """Waits until the loop has made so many chunks and its worker waits for room."""
    while world.chunks < chunks or world._timeline.machine.lock._holder is not None:
        threading.Event().wait(0.001)


def test_a_rewind_counts_from_the_chunk_that_is_shown_not_from_those_made_ahead() -> None:
    world = dummy_world()
    story(world, "day", "day")
    stream = world.frames(fps=None)
    shown = next(stream)
    while world.chunks < 5 or world.rewindable < 3:  # one chunk waits whole, one in part
        threading.Event().wait(0.001)
    assert world.rewindable == 3
    with pytest.raises(OptionError, match=r"cannot rewind 4 chunks: 3 are kept; give 1 to 3"):
        world.rewind(4)
    world.rewind()
    assert next(stream).index == shown.index == 16
    world.rewind(2)
    assert next(stream).index == 8
    stream.close()
    assert world.rewindable == world.chunks


def test_where_all_that_is_kept_is_made_ahead_the_way_out_is_a_smaller_buffer() -> None:
    world = dummy_world(history=2)
    stream = world.frames(fps=None, buffer=100)
    next(stream)
    made(world, 10)
    with pytest.raises(OptionError, match=r"0 are kept; \d+ are made ahead.*smaller buffer="):
        world.rewind()
    stream.close()


def test_a_snapshot_or_fork_taken_while_frames_are_shown_begins_after_the_chunk_that_is_shown() -> (
    None
):
    world = dummy_world()
    story(world, "day")
    stream = world.frames(fps=None)
    assert next(stream).chunk == 1
    made(world, 4)
    state, twin, restored = world.snapshot(), world.fork(), dummy_world()
    assert (state.chunks, twin.chunks, twin.rewindable) == (2, 2, 2)
    restored.restore(state)
    rest = list(islice(stream, 15))[7:]
    stream.close()
    assert same_pixels(restored.advance(), rest)
    assert same_pixels(twin.advance(), rest)
    assert world.snapshot().chunks == world.chunks


@pytest.mark.parametrize("window", [1, 4])
def test_a_fork_taken_while_frames_are_shown_hears_what_its_parent_heard_for_chunks_made_ahead(
    window: int,
) -> None:
    world = dummy_world(window=window)
    story(world, "day")
    stream = world.frames(fps=None, buffer=16)
    next(stream)  # chunk 1; 2 and 3 wait, the last for room
    made(world, 4)
    world.prompt("night", at="now")
    assert list(islice(stream, 8))[-1].chunk == 2
    made(world, 5)
    world.prompt("fog")
    twin = world.fork()
    assert (twin.chunks, twin.current_prompt, twin.replaying) == (3, "day", True)
    assert world.current_prompt == "night"
    rest = list(islice(stream, 7 + 48))[7:]
    stream.close()
    assert {"day", "night", "fog"} == {frame.prompt for frame in rest}
    assert same_pixels(story(twin, *[None] * 6), rest)
    assert not twin.replaying and twin.log.events == world.log.events


@pytest.mark.parametrize("given", [False, True])
def test_a_prompt_of_its_own_ends_what_a_fork_hears_of_its_parent(given: bool) -> None:
    world, alone = dummy_world(), dummy_world()
    story(world, "day")
    stream = world.frames(fps=None)
    next(stream)
    made(world, 4)
    world.prompt("night")
    twin = world.fork()
    stream.close()
    if not given:
        twin.prompt("rain")
    expected = story(alone, "day", None, "rain", None, None)[16:]
    assert same_pixels(story(twin, "rain" if given else None, None, None), expected)
    assert not twin.replaying and twin.drop_prompts() == 0


def test_a_fork_of_a_replay_that_is_shown_follows_the_log_to_its_end(tmp_path: Path) -> None:
    world = dummy_world()
    frames = story(world, "day", None, "rain", None, None, "snow", None)
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    stream = again.frames(fps=None)
    next(stream)
    made(again, 3)
    twin = again.fork()
    stream.close()
    assert (twin.chunks, twin.replaying) == (1, True)
    assert same_pixels(story(twin, *[None] * 6), frames[8:])


def test_a_fork_may_drop_the_prompts_that_wait_for_its_parent() -> None:
    world = dummy_world()
    stream = world.frames(fps=None)
    next(stream)
    made(world, 3)
    world.prompt("night")
    twin = world.fork()
    stream.close()
    assert twin.drop_prompts() == 1
    assert {frame.prompt for frame in story(twin, *[None] * 4)} == {""}


def test_a_snapshot_reaches_back_as_far_as_the_history() -> None:
    world = dummy_world(history=2)
    stream = world.frames(fps=None)
    assert next(stream).chunk == 0
    made(world, 3)
    state, twin = world.snapshot(), world.fork()
    stream.close()
    assert (state.chunks, twin.chunks, twin.rewindable) == (1, 1, 0)


def test_where_the_history_does_not_reach_a_snapshot_is_of_the_newest_chunk() -> None:
    world = dummy_world(history=0)
    stream = world.frames(fps=None)
    next(stream)
    while world.chunks < 3:
        threading.Event().wait(0.001)
    assert world.snapshot().chunks >= 3 and world.fork().chunks >= 3
    stream.close()


def test_prompts_are_left_and_dropped_while_a_chunk_is_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, twin = dummy_world(), dummy_world()
    decode, begun, goes_on = world._timeline.machine.executor.decode, [], threading.Event()

    def slow(latents: Tensor) -> Tensor:
        begun.append(goes_on.wait(20))
        return decode(latents)

    world.prompt("day")
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(world._timeline.machine.executor, "decode", slow)
        chunk = pool.submit(world.advance)
        while world._timeline.machine.lock._holder is None:
            threading.Event().wait(0.001)
        world.prompt("night")
        assert world.drop_prompts() == 1  # the other one is being shown
        world.prompt("rain")
        goes_on.set()
        assert same_pixels(chunk.result(20), twin.advance("day"))
    assert begun == [True]
    assert same_pixels(world.advance(), twin.advance("rain"))
