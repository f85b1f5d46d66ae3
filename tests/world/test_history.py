"""Forks, rewinding, and what is left after a failure in the middle."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from magi_rt.backends.dummy import DummyExecutor
from magi_rt.errors import OptionError, PromptError
from magi_rt.frames import Frame
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.world import World, timeline
from magi_rt.world.orders import WHEN
from tests.world.kit import dummy_world, same_pixels, story


@pytest.mark.parametrize("window", [1, 4])
def test_a_fork_continues_exactly_as_its_parent(window: int) -> None:
    world = dummy_world(window=window)
    story(world, "day", None, "rain")
    twin = world.fork()
    assert same_pixels(story(world, None, "left", None), story(twin, None, "left", None))


def test_prompts_that_wait_wait_in_a_fork_too() -> None:
    world = dummy_world()
    world.advance("day")
    world.prompt("night")
    twin = world.fork()
    assert same_pixels(world.advance(), twin.advance())
    assert world.current_prompt == twin.current_prompt == "night"


def test_a_fork_can_be_steered_apart_without_touching_its_parent() -> None:
    world, untouched = dummy_world(), dummy_world()
    story(world, "day", None)
    story(untouched, "day", None)
    story(world.fork(), "night", None, None)
    assert same_pixels(story(world, None, None), story(untouched, None, None))


def test_a_fork_can_rewind_into_the_common_past() -> None:
    world = dummy_world()
    world.advance("day")
    second = world.advance("rain")
    twin = world.fork()
    twin.rewind(1)
    assert same_pixels(twin.advance("rain"), second)
    world.rewind(1)
    assert same_pixels(world.advance("rain"), second)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_same_prompts_after_a_rewind_give_the_same_frames(window: int) -> None:
    world = dummy_world(window=window)
    story(world, "day", "rain")
    first_time = story(world, "left", None, "up")
    world.rewind(3)
    assert world.chunks == 2
    assert same_pixels(story(world, "left", None, "up"), first_time)


def test_a_rewind_forgets_the_prompts_that_came_with_the_chunks() -> None:
    world = dummy_world()
    first = world.advance()
    world.rewind()
    story(world, "day", "night")
    world.rewind(2)
    assert world.current_prompt == ""
    assert same_pixels(world.advance(), first)


def test_a_rewind_counts_in_whole_numbers_of_any_library() -> None:
    world, twin = dummy_world(), dummy_world()
    story(world, "day", "rain", "snow")
    two: Any = np.int64(2)
    world.rewind(two)
    twin.advance("day")
    assert same_pixels(world.advance(), twin.advance())


@pytest.mark.parametrize("chunks", [0, -1, 4, True, 1.0])
def test_rewinding_more_than_is_kept_is_refused_and_changes_nothing(chunks: Any) -> None:
    world, twin = dummy_world(history=3), dummy_world(history=3)
    story(world, "day", None, None, None, None)
    story(twin, "day", None, None, None, None)
    with pytest.raises(OptionError, match="3 are kept"):
        world.rewind(chunks)
    assert same_pixels(world.advance(), twin.advance())


def test_only_as_many_moments_are_kept_as_were_asked_for() -> None:
    world = dummy_world(history=2)
    for _ in range(6):
        world.advance("day")
    assert world.rewindable == 2
    without = dummy_world(history=0)
    without.advance()
    assert without.rewindable == 0
    with pytest.raises(OptionError, match="history=N"):
        without.rewind()


def test_large_moments_are_kept_fewer_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    state = dummy_world().snapshot().tensors
    monkeypatch.setattr(timeline, "HISTORY_BYTES", 6 * state["latents"].nbytes)
    world = dummy_world()
    story(world, *["day"] * 9)
    assert 0 < world.rewindable < 8
    assert [f"rewind reaches back {world.rewindable} chunks" in note for note in world.notes] == [
        True
    ]
    assert dummy_world(history=5).notes == []


def test_as_many_moments_are_kept_as_fit_with_all_their_buffers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = dummy_world().fork()._timeline.moment.state
    buffers = (state.latents, state.spare, state.cache.keys, state.cache.values)
    each = sum(buffer.nbytes for buffer in buffers)
    for room, kept in ((5 * each, 5), (5 * each - 1, 4), (each - 1, 0), (100 * each, 8)):
        monkeypatch.setattr(timeline, "HISTORY_BYTES", room)
        world = dummy_world()
        story(world, *["day"] * 9)
        assert world.rewindable == kept


def test_memory_does_not_grow_with_the_stream() -> None:
    world = dummy_world(window=2)
    story(world, *["day"] * 20)
    before = _tensors()
    story(world, *["day"] * 60)
    assert _tensors() <= before


def _tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


class FailingExecutor(DummyExecutor):
    """A dummy that raises once, in its ``fail_at``-th call of one kind."""

    def __init__(self, kind: str, fail_at: int, error: type[BaseException]) -> None:
        super().__init__()
        self.kind, self.left, self.error = kind, fail_at, error

    def _count(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if self.left == 0:
                raise self.error("stopped by the test")

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        velocity = super().denoise(inputs, cache)
        self._count("denoise")
        return velocity

    def decode(self, latents: Tensor) -> Tensor:
        self._count("decode")
        return super().decode(latents)

    def encode_text(self, prompt: str) -> Tensor:
        self._count("encode_text")
        return super().encode_text(prompt)


def _open_failing(
    monkeypatch: pytest.MonkeyPatch, executor: FailingExecutor, **options: Any
) -> World:
    with monkeypatch.context() as patch:
        patch.setattr("magi_rt.backends.dummy.DummyExecutor", lambda: executor)
        return dummy_world(**options)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize(
    ("kind", "fail_at"),
    [("denoise", 1), ("denoise", 13), ("denoise", 15), ("decode", 2), ("encode_text", 2)],
)
def test_a_world_stopped_in_the_middle_of_a_chunk_continues_as_if_nothing_had_been(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fail_at: int,
    window: int,
    error: type[BaseException],
) -> None:
    executor = FailingExecutor(kind, fail_at, error)
    world, twin = _open_failing(monkeypatch, executor, window=window), dummy_world(window=window)
    prompts = ["day", "rain", None, "night", None]
    stopped = 0
    for prompt in prompts:
        try:
            frames = world.advance(prompt, at="now" if prompt == "night" else "next")
        except error:
            stopped += 1
            frames = world.advance(prompt, at="now" if prompt == "night" else "next")
        expected = twin.advance(prompt, at="now" if prompt == "night" else "next")
        assert same_pixels(frames, expected)
    assert stopped == 1


def test_without_history_a_stopped_world_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = FailingExecutor("denoise", 5, KeyboardInterrupt)
    world, twin = _open_failing(monkeypatch, executor, history=0), dummy_world()
    with pytest.raises(KeyboardInterrupt):
        world.advance("day")
    assert same_pixels(story(world, "day", "rain"), story(twin, "day", "rain"))


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("retry", ["night", "rain", None])
def test_without_history_a_chunk_whose_decoding_fails_is_shown_by_the_next_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, window: int, retry: str | None
) -> None:
    executor = FailingExecutor("decode", 2, RuntimeError)
    options: dict[str, Any] = {"window": window, "history": 0}
    world, twin = _open_failing(monkeypatch, executor, **options), dummy_world(**options)
    seen = story(world, "day")
    with pytest.raises(RuntimeError):
        world.advance("night", at="now")
    state = world.snapshot()
    assert (world.chunks, world.current_prompt) == (1, "night")
    seen += story(world, retry, None, None)
    expected = twin.advance("day") + twin.advance("night", at="now")
    assert same_pixels(seen, expected + story(twin, retry if retry == "rain" else None, None))
    assert same_pixels(_replayed(world, tmp_path), seen)
    other = dummy_world(**options)
    other.restore(state)
    assert same_pixels(other.advance(), expected[len(expected) // 2 :])


@pytest.mark.parametrize("fail_at", [1, 2, 4])
def test_without_history_a_failed_now_leaves_no_trace_in_chunks_that_the_log_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fail_at: int
) -> None:
    executor = FailingExecutor("denoise", 0, RuntimeError)
    world = _open_failing(monkeypatch, executor, window=4, history=0, steps=16)
    seen = story(world, "day", None)
    before = world.log
    executor.left = fail_at
    with pytest.raises(RuntimeError):
        world.advance("night", at="now")
    if fail_at == 1:  # no step was done
        assert (world.log, world.current_prompt) == (before, "day")
    seen += story(world, None, None, None)
    assert {frame.prompt for frame in seen[-4:]} == {world.current_prompt}
    assert same_pixels(_replayed(world, tmp_path), seen)


@pytest.mark.parametrize("fail_at", [1, 3])
def test_a_prompt_that_leaves_a_replay_holds_as_far_as_its_failed_call_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fail_at: int
) -> None:
    world = dummy_world(history=0)
    frames = story(world, "day", "rain", "snow")
    world.log.save(tmp_path / "run.json")
    executor = FailingExecutor("denoise", 0, RuntimeError)
    with monkeypatch.context() as patch:
        patch.setattr("magi_rt.backends.dummy.DummyExecutor", lambda: executor)
        again = World.replay(tmp_path / "run.json")
    again.advance()
    executor.left = fail_at
    with pytest.raises(RuntimeError):
        again.advance("night")
    off_the_path = fail_at > 1  # a step was done
    assert again.replaying is not off_the_path
    own = story(dummy_world(), "day", "night", None)
    assert same_pixels(story(again, None, None), (own if off_the_path else frames)[8:])


@pytest.mark.parametrize("chance", range(40))
def test_whatever_is_said_and_whatever_fails_a_log_repeats_what_was_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chance: int
) -> None:
    random = Random(chance)
    executor = FailingExecutor("denoise", 0, RuntimeError)
    options = {"window": random.choice([1, 2, 4]), "history": random.choice([0, 0, 3])}
    world, seen = _open_failing(monkeypatch, executor, steps=16, **options), []
    for _ in range(random.randint(3, 14)):
        if random.random() < 0.3:
            world.prompt(random.choice(["red", "blue"]), at=random.choice(WHEN))
        if random.random() < 0.15:
            world.restore(world.snapshot())
        executor.kind = random.choice(["denoise", "decode"])
        often = {"denoise": random.choice([0, 0, 1, 2, 3, 5]), "decode": random.choice([0, 0, 1])}
        executor.left = often[executor.kind]
        said = random.choice([None, "day", "night", "rain", "snow"])
        with suppress(RuntimeError):
            seen += world.advance(said, at=random.choice(WHEN))
        executor.left = 0
    world.drop_prompts()
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    repeated = story(again, *[None] * world.chunks)
    assert again.current_prompt == world.current_prompt
    assert same_pixels(repeated + again.advance(), seen + world.advance())


def _replayed(world: World, folder: Path) -> list[Frame]:
    world.log.save(folder / "run.json")
    again = World.replay(folder / "run.json")
    return story(again, *[None] * world.chunks)


@pytest.mark.parametrize("kind", ["denoise", "decode"])
@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("at", ["next", "now"])
def test_without_history_another_prompt_after_a_failed_call_shapes_what_comes_after_its_chunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, window: int, at: str
) -> None:
    executor = FailingExecutor(kind, 0, RuntimeError)
    options: dict[str, Any] = {"window": window, "history": 0, "steps": 16}
    world, twin = _open_failing(monkeypatch, executor, **options), dummy_world(**options)
    seen = story(world, "day", None, None)
    expected = story(twin, "day", None, None)
    executor.left = 3 if kind == "denoise" else 1
    with pytest.raises(RuntimeError):
        world.advance("night", at=at)
    seen += world.advance("snow", at=at) + story(world, None, None)
    expected += twin.advance("night", at=at) + twin.advance("snow", at=at) + story(twin, None)
    assert same_pixels(seen, expected)
    assert world.log.events == twin.log.events
    assert same_pixels(_replayed(world, tmp_path), seen)


def test_without_history_waiting_prompts_that_a_failed_call_has_heeded_are_not_heeded_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    executor = FailingExecutor("denoise", 0, RuntimeError)
    options: dict[str, Any] = {"window": 4, "history": 0, "steps": 16}
    world, twin = _open_failing(monkeypatch, executor, **options), dummy_world(**options)
    seen = story(world, "day", None, None, None)
    expected = story(twin, "day", None, None, None)
    for each in (world, twin):
        each.prompt("night", at="now")
        each.prompt("snow")
    executor.left = 3
    with pytest.raises(RuntimeError):
        world.advance()
    world.prompt("rain")
    executor.left = 1
    with pytest.raises(RuntimeError):  # once more in the same chunk: what came since waits on
        world.advance()
    assert [order.prompt for order in world._waiting.look()] == ["rain"]
    seen += story(world, *[None] * 6)
    expected += twin.advance() + story(twin, "rain", *[None] * 4)
    assert same_pixels(seen, expected)
    assert same_pixels(_replayed(world, tmp_path), seen)


@pytest.mark.parametrize("kind", ["denoise", "decode"])
@pytest.mark.parametrize("shown", [0, 2])
def test_without_history_a_log_tells_the_prompts_that_hold_after_its_last_chunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, shown: int
) -> None:
    executor = FailingExecutor(kind, 0, RuntimeError)
    world = _open_failing(monkeypatch, executor, history=0)
    story(world, *["day"] * shown)
    executor.left = 3 if kind == "denoise" else 1
    with pytest.raises(RuntimeError):
        world.advance("night")
    if kind == "decode":
        assert story(world, "snow")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    story(again, *[None] * world.chunks)
    assert again.current_prompt == world.current_prompt != "day"
    assert same_pixels(story(again, None, None), story(world, None, None))


def test_a_prompt_that_cannot_be_read_leaves_those_that_wait_with_it_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = FailingExecutor("encode_text", 0, PromptError)
    world = _open_failing(monkeypatch, executor)
    world.prompt("night")
    world.prompt("unreadable")
    executor.left = 2
    with pytest.raises(PromptError):
        world.advance("rain")
    assert [order.prompt for order in world._waiting.look()] == ["night"]
    executor.left = 1
    with pytest.raises(PromptError):
        world.advance("unreadable too")
    assert same_pixels(world.advance(), dummy_world().advance("night"))


def test_a_loop_goes_on_past_several_prompts_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = dummy_world()
    read = world._timeline.machine.book.text

    def picky(prompt: str) -> Any:
        if "unreadable" in prompt:
            raise PromptError(f"{prompt} cannot be read", field="prompt")
        return read(prompt)

    monkeypatch.setattr(world._timeline.machine.book, "text", picky)
    for prompt in ("unreadable", "day", "unreadable too"):
        world.prompt(prompt)
    frames = world.frames(None)
    assert next(frames).prompt == "day"
    frames.close()
    assert world.notes[-2:] == ["unreadable cannot be read", "unreadable too cannot be read"]


def test_a_waiting_prompt_that_cannot_be_read_is_refused_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _open_failing(monkeypatch, FailingExecutor("encode_text", 1, PromptError))
    world.prompt("unreadable")
    with pytest.raises(PromptError):
        world.advance()
    assert same_pixels(world.advance(), dummy_world().advance())
