"""A state is all of a stream: its copies and its saved forms continue exactly alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.errors import ShapeError, SnapshotError
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.stream_state import StreamState, from_tensors
from tests.sampling.kit import (
    SIDE,
    WatchedExecutor,
    begin,
    pipeline_of,
    prefix_of,
    run,
    same,
    texts,
)

GIVEN = [None, prefix_of(1), prefix_of(5)]


@pytest.fixture
def pipeline() -> ChunkPipeline:
    return pipeline_of(WatchedExecutor(), window=4)


def started(pipeline: ChunkPipeline, given: Tensor | None, steps: int = 0) -> StreamState:
    """A stream with one finished chunk, and some steps into the next stage."""
    state = begin(pipeline, prefix=given)
    run(pipeline, state, 1)
    for _ in range(steps):
        halfway(pipeline, state)
    return state


def halfway(pipeline: ChunkPipeline, state: StreamState) -> None:
    """Runs one step and then stops as an interrupt would."""
    executor = pipeline.executor
    assert isinstance(executor, WatchedExecutor)
    done = state.window.step
    text_for = texts(executor, "sea")
    pipeline._admit(state, text_for)
    pipeline.step(state)
    assert state.window.step == (done + 1) % 2


def loaded(
    pipeline: ChunkPipeline, tensors: dict[str, Tensor], card: dict[str, Any]
) -> StreamState:
    executor = pipeline.executor
    assert isinstance(executor, WatchedExecutor)
    cache = executor.new_cache(SIDE, SIDE, card["depth"])
    return from_tensors(
        tensors, card, cache=cache, text_for=lambda chunk, prompt: executor.text(prompt)
    )


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_clone_continues_exactly_as_its_parent(
    pipeline: ChunkPipeline, given: Tensor | None, steps: int
) -> None:
    state = started(pipeline, given, steps)
    twin = state.clone()
    expected = run(pipeline, state, 3)
    assert same(run(pipeline, twin, 3), expected)


def test_a_clone_and_its_parent_do_not_disturb_each_other(pipeline: ChunkPipeline) -> None:
    state = started(pipeline, None)
    twin, untouched = state.clone(), state.clone()
    run(pipeline, state, 2, "storm")
    assert same(run(pipeline, twin, 2), run(pipeline, untouched, 2))


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_saved_state_continues_exactly_as_the_saved_one(
    pipeline: ChunkPipeline, given: Tensor | None, steps: int
) -> None:
    state = started(pipeline, given, steps)
    tensors, card = state.to_tensors()
    restored = loaded(pipeline, tensors, json.loads(json.dumps(card)))
    assert same(run(pipeline, restored, 3), run(pipeline, state, 3))


def test_a_new_stream_can_be_saved_before_its_first_chunk(pipeline: ChunkPipeline) -> None:
    state = begin(pipeline, total_chunks=2)
    restored = loaded(pipeline, *state.to_tensors())
    assert same(run(pipeline, restored, 2), run(pipeline, state, 2))
    assert restored.exhausted


def test_saved_tensors_do_not_follow_the_stream(pipeline: ChunkPipeline) -> None:
    state = started(pipeline, None)
    tensors, _ = state.to_tensors()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    run(pipeline, state, 2)
    assert all(torch.equal(tensors[name], before[name]) for name in before)


def test_prompts_of_the_chunks_in_flight_are_saved(pipeline: ChunkPipeline) -> None:
    state = begin(pipeline)
    run(pipeline, state, 1, "a", "b", "c", "d")
    _, card = state.to_tensors()
    assert [chunk["prompt"] for chunk in card["in_flight"]] == ["b", "c", "d"]
    assert card["finished"]["prompt"] == "a"


@pytest.mark.parametrize(
    "key", ["seed", "next_index", "in_flight", "finished", "end", "cached", "chunk_width", "size"]
)
def test_a_card_without_a_key_is_refused(pipeline: ChunkPipeline, key: str) -> None:
    tensors, card = started(pipeline, None).to_tensors()
    depth = dict(card)
    del card[key]
    executor = pipeline.executor
    with pytest.raises(SnapshotError, match=key):
        from_tensors(
            tensors,
            card,
            cache=executor.new_cache(SIDE, SIDE, depth["depth"]),
            text_for=lambda chunk, prompt: started(pipeline, None).window.in_flight[0].text,
        )


def test_missing_tensors_and_wrong_sizes_are_refused(pipeline: ChunkPipeline) -> None:
    tensors, card = started(pipeline, None).to_tensors()
    with pytest.raises(SnapshotError, match=r"cache\.keys"):
        loaded(pipeline, {k: v for k, v in tensors.items() if k != "cache.keys"}, card)
    with pytest.raises(SnapshotError, match="latent frames"):
        loaded(pipeline, tensors | {"latents": tensors["latents"][:, :4]}, card)
    with pytest.raises(ShapeError, match="keys"):
        loaded(pipeline, tensors | {"cache.keys": tensors["cache.keys"][:1]}, card)
