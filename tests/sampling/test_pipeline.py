"""A stream computed step by step with a memory is the stream the mathematics describe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.models import kv_cache, rotary
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.sampling.noise import chunk_noise
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk
from magi_rt.sampling.stream_state import ChunkText, StreamState
from tests.sampling.kit import (
    ForgetfulExecutor,
    WatchedExecutor,
    begin,
    distance,
    pipeline_of,
    prefix_of,
    run,
    same,
)

Options = dict[str, Any]


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("given", [0, 1, 7])
def test_the_memory_gives_what_computing_everything_anew_gives(window: int, given: int) -> None:
    prefix = prefix_of(given) if given else None
    fast = pipeline_of(WatchedExecutor(distill=True), window=window)
    slow = pipeline_of(ForgetfulExecutor(), window=window)
    ours = run(fast, begin(fast, prefix=prefix), 4, "sea", "rain")
    theirs = run(slow, begin(slow, prefix=prefix), 4, "sea", "rain")
    for left, right in zip(ours, theirs, strict=True):
        assert distance(left, right) < 1e-4


def test_a_memory_that_is_too_short_changes_the_stream() -> None:
    executor = WatchedExecutor()
    short, full = (pipeline_of(executor, window=1, depth=depth) for depth in (1, 4))
    ours, theirs = (run(pipeline, begin(pipeline), 4) for pipeline in (short, full))
    assert same(ours[:2], theirs[:2])
    assert distance(ours[3], theirs[3]) > 1e-3


class LookingBack(WatchedExecutor):
    """Keeps, for every chunk, the first chunk that it sees in each of its calls."""

    def __init__(self) -> None:
        super().__init__(distill=True)
        self.first_seen: dict[int, list[int]] = {}

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        first = inputs.first_chunk
        for place, width in enumerate(inputs.branches[0].visible):
            seen = cache.first_visible(first, place, width)
            self.first_seen.setdefault(first + place, []).append(seen)
        return super().denoise(inputs, cache)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_every_step_of_a_stage_looks_back_as_far_as_the_depth_says(depth: int) -> None:
    executor = LookingBack()
    pipeline = pipeline_of(executor, window=1, depth=depth)
    run(pipeline, begin(pipeline), 7)
    widths = (5, 5, 4, 4, 3, 3, 2, 2)  # of the eight steps
    for chunk in range(7):
        expected = [max(0, chunk - min(width - 1, depth)) for width in widths]
        assert executor.first_seen[chunk][:8] == expected, chunk


@pytest.mark.parametrize("family", ["4.5B", "24B"])
@pytest.mark.parametrize("distill", [False, True])
def test_the_same_seed_and_prompts_give_the_same_chunks(family: str, distill: bool) -> None:
    pipeline = pipeline_of(WatchedExecutor(family=family, distill=distill), window=2)
    assert same(run(pipeline, begin(pipeline), 3), run(pipeline, begin(pipeline), 3))


def test_another_seed_gives_other_chunks() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    ours, theirs = run(pipeline, begin(pipeline), 1), run(pipeline, begin(pipeline, seed=8), 1)
    assert distance(ours[0], theirs[0]) > 1e-2


def test_an_endless_stream_begins_as_one_that_ends() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=4)
    endless = run(pipeline, begin(pipeline), 3)
    ending = run(pipeline, begin(pipeline, total_chunks=3), 3)
    assert [distance(*pair) < 1e-4 for pair in zip(ending, endless, strict=True)] == [True] * 3


def test_a_stream_that_ends_says_so_and_stays_at_its_end() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    state = begin(pipeline, total_chunks=2)
    before = state.exhausted
    assert [chunk.index for chunk in run(pipeline, state, 2)] == [0, 1]
    assert (before, state.exhausted) == (False, True)
    with pytest.raises(OptionError, match="all 2 chunks"):
        run(pipeline, state, 1)


def test_a_long_stream_keeps_its_memory_small_and_its_chunks_sound() -> None:
    executor = WatchedExecutor(distill=True)
    pipeline = pipeline_of(executor, window=1)
    state = begin(pipeline)
    chunks = run(pipeline, state, 80)
    assert len(state.cache.chunks) == state.cache.depth == 4
    assert all(bool(torch.isfinite(chunk.latents).all()) for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(80))


# What is asked of the executor


def test_no_more_is_computed_than_the_guidance_weighs() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=1)
    run(pipeline, begin(pipeline), 1)
    # Three views while the prompt counts, history alone in the last quarter of the steps.
    assert [len(call.branches) for call in executor.calls] == [3] * 6 + [1] * 2
    executor.calls.clear()
    pipeline = pipeline_of(executor, window=4)
    run(pipeline, begin(pipeline), 1)
    last = executor.calls[-2:]
    assert [(len(call.times), len(call.branches)) for call in last] == [(4, 2), (3, 1)]


def test_the_finished_chunk_is_read_without_a_prompt_in_the_view_without_one() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=2)
    run(pipeline, begin(pipeline), 2)
    null = pipeline.predictor.null
    staged = [call for call in executor.calls if call.stage_branch is not None]
    assert [call.first_chunk for call in staged] == [0]
    call = staged[0]
    assert call.stage_branch is not None
    assert call.branches[call.stage_branch].drop
    assert all(branch.texts[0] is null for branch in call.branches)
    assert call.times[0] == pipeline.sampler.clean_time


def test_a_nearly_clean_chunk_of_a_distilled_model_is_also_computed_alone() -> None:
    executor = WatchedExecutor(distill=True)
    pipeline = pipeline_of(executor, window=2)
    run(pipeline, begin(pipeline), 1)
    alone = [call for call in executor.calls if call.branches[-1].visible == (1,)]
    assert [call.first_chunk for call in alone] == [0, 0]
    assert all(call.times[0] > 0.3 for call in alone)
    assert not alone[0].branches[0].drop


def test_texts_are_asked_for_once_per_chunk_when_it_is_admitted() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=4)
    asked: list[int] = []

    def text_for(chunk: int) -> ChunkText:
        asked.append(chunk)
        return executor.text("sea")

    state = begin(pipeline, prefix=prefix_of(5))
    pipeline.advance(state, text_for)
    assert asked == [0, 1, 2, 3]
    pipeline.advance(state, text_for)
    assert asked == [0, 1, 2, 3, 4]


# Prompts


def test_a_prompt_shapes_its_chunk_and_later_ones_only() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    calm = run(pipeline, begin(pipeline), 4, "sea")
    stormy = run(pipeline, begin(pipeline), 4, "sea", "sea", "storm")
    assert [chunk.prompt for chunk in stormy] == ["sea", "sea", "storm", "storm"]
    assert [distance(*pair) < 1e-5 for pair in zip(stormy, calm, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_new_prompt_for_chunks_in_flight_shows_in_the_next_chunk() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=4)
    state = begin(pipeline)
    run(pipeline, state, 1, "sea")
    twin = state.clone()
    pipeline.reprompt(twin, executor.text("storm"))
    calm, stormy = run(pipeline, state, 2, "sea"), run(pipeline, twin, 2, "storm")
    assert [chunk.prompt for chunk in stormy] == ["storm", "storm"]
    # The oldest chunk is past the steps in which the prompt has a weight.
    assert distance(stormy[0], calm[0]) < 0.5
    assert distance(stormy[1], calm[1]) > 1e-3


# Given beginnings


def test_finished_latents_belong_to_the_caller() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    state, twin = begin(pipeline), begin(pipeline)
    first = run(pipeline, state, 1)[0]
    kept = first.latents.clone()
    run(pipeline, state, 2)
    assert torch.equal(first.latents, kept)
    run(pipeline, twin, 1)[0].latents.zero_()
    assert same(run(pipeline, twin, 1), run(pipeline, twin_of(pipeline, 1), 1))


def twin_of(pipeline: ChunkPipeline, chunks: int) -> StreamState:
    """A stream that has made some chunks."""
    state = begin(pipeline)
    run(pipeline, state, chunks)
    return state


def test_a_stream_of_no_chunks_is_refused() -> None:
    with pytest.raises(OptionError, match="stream of 0 chunks"):
        begin(pipeline_of(WatchedExecutor()), total_chunks=0)


# Interrupts


@pytest.mark.parametrize(
    ("options", "given"), [({}, 0), ({"distill": True}, 0), ({"clean_chunk_kvrange": 2}, 3)]
)
def test_an_interrupt_in_any_call_loses_nothing(options: Options, given: int) -> None:
    executor = WatchedExecutor(**options)
    pipeline = pipeline_of(executor, window=4)
    start = begin(pipeline, prefix=prefix_of(given) if given else None)
    executor.calls.clear()
    undisturbed = run(pipeline, start.clone(), 2)
    for call in range(1, len(executor.calls) + 1):
        state = start.clone()
        chunks: list[FinishedChunk] = []
        executor.calls.clear()
        executor.fails_in = call
        while len(chunks) < 2:
            try:
                chunks += run(pipeline, state, 1)
            except KeyboardInterrupt:
                executor.fails_in = None
        assert same(chunks, undisturbed)


def test_an_interrupt_between_the_memory_and_the_step_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = pipeline_of(WatchedExecutor(distill=True), window=2)
    undisturbed = run(pipeline, begin(pipeline), 3)
    state = begin(pipeline)
    made = run(pipeline, state, 1)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StreamState, "take", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(pipeline, state, 1)
    assert state.cache.chunks == (0,), "it is committed"
    assert same(made + run(pipeline, state, 2), undisturbed)


def test_a_stage_that_was_interrupted_ends_with_the_steps_it_began_with() -> None:
    executor = WatchedExecutor(distill=True)
    pipeline = pipeline_of(executor, window=1, steps=8)
    undisturbed = run(pipeline, begin(pipeline), 1)
    state = begin(pipeline)
    executor.calls.clear()
    executor.fails_in = 4
    with pytest.raises(KeyboardInterrupt):
        run(pipeline, state, 1)
    pipeline.take_steps(state, 16)
    assert same(run(pipeline, state, 1), undisturbed)
    pipeline.take_steps(state, 16)
    assert state.window.steps == 16


def test_a_stream_that_had_no_memory_to_count_its_positions_anew_goes_on_as_if_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kv_cache, "REBASE_CHUNKS", 2)
    pipeline = pipeline_of(WatchedExecutor(distill=True), window=1)
    undisturbed = run(pipeline, begin(pipeline), 9)
    state, turn, calls = begin(pipeline), rotary.shift_time, list[int]()

    def second_fails(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("no room")
        turn(*given)

    monkeypatch.setattr(kv_cache, "shift_time", second_fails)
    made: list[FinishedChunk] = []
    with pytest.raises(torch.OutOfMemoryError):
        while True:
            made += run(pipeline, state, 1)
    assert 0 < len(made) < 9
    assert same(made + run(pipeline, state, 9 - len(made)), undisturbed)


def test_a_failing_prompt_leaves_the_stream_as_it_was() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=2)
    state, twin = begin(pipeline), begin(pipeline)

    def refuse(chunk: int) -> ChunkText:
        raise OptionError("no words")

    with pytest.raises(OptionError, match="no words"):
        pipeline.advance(state, refuse)
    assert same(run(pipeline, state, 2), run(pipeline, twin, 2))


def test_noise_may_come_from_elsewhere() -> None:
    executor = WatchedExecutor()
    own = pipeline_of(executor, window=1)
    other = ChunkPipeline(
        executor, own.sampler, noise=lambda seed, chunk, shape: chunk_noise(seed + 1, chunk, shape)
    )
    assert same(run(other, begin(other), 2), run(own, begin(own, seed=8), 2))


def test_a_pipeline_serves_many_streams_in_turn() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    left, right = begin(pipeline), begin(pipeline, seed=8)
    mixed = [run(pipeline, state, 1)[0] for state in (left, right, left, right)]
    alone = run(pipeline, begin(pipeline), 2), run(pipeline, begin(pipeline, seed=8), 2)
    assert same(mixed[0::2], alone[0])
    assert same(mixed[1::2], alone[1])
