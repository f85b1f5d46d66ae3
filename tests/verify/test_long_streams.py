"""Far from its beginning a stream computes what it would compute near it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from magi_rt.models import kv_cache
from magi_rt.models.kv_cache import REBASE_CHUNKS
from magi_rt.models.rotary import shift_time
from magi_rt.sampling.noise import chunk_noise
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import StreamState
from tests.sampling.kit import WatchedExecutor, begin, distance, run

FAR = 100_000
BOUND = 2e-5  # of the largest value; 1e-3 would do
Noise = Callable[[int, int, tuple[int, ...]], Tensor]


def noise_from(first: int) -> Noise:
    """The noise of a stream whose chunk ``first`` has the noise of chunk 0."""
    return lambda seed, chunk, shape: chunk_noise(seed, chunk - first, shape)


def stream_at(first: int, window: int, **options: Any) -> tuple[ChunkPipeline, StreamState]:
    """A stream whose first chunk has the number ``first``."""
    executor = WatchedExecutor(**options)
    sampler = SamplerConfig.from_config(executor.config, window=window)
    pipeline = ChunkPipeline(executor, sampler, noise_from(first))
    state = begin(pipeline)
    state.cache.reset(base=first)
    state.window = replace(state.window, next_index=first)
    return pipeline, state


def chunks_at(first: int, count: int, window: int, **options: Any) -> list[FinishedChunk]:
    pipeline, state = stream_at(first, window, **options)
    return run(pipeline, state, count, "sea")


@pytest.mark.parametrize(("window", "distill"), [(1, True), (4, True), (2, False)])
def test_a_stream_100_000_chunks_on_equals_the_short_one(
    window: int, distill: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = chunks_at(0, 6, window, distill=distill)
    monkeypatch.setattr(kv_cache, "REBASE_CHUNKS", 1)  # so that the far one is re-based on its way
    far = chunks_at(FAR, 6, window, distill=distill)
    assert [chunk.index - FAR for chunk in far] == [chunk.index for chunk in near]
    assert max(distance(*pair) for pair in zip(far, near, strict=True)) < BOUND


def test_the_same_local_history_gives_the_same_next_chunk_at_10_and_at_100_000() -> None:
    pipeline, state = stream_at(0, window=1, distill=True)
    run(pipeline, state, 10, "sea")
    later = moved(state, FAR, local=REBASE_CHUNKS - 1)
    far_pipeline = ChunkPipeline(pipeline.executor, pipeline.sampler, noise_from(FAR))
    near, far = run(pipeline, state, 3, "rain"), run(far_pipeline, later, 3, "rain")
    assert far[0].index == near[0].index + FAR
    assert max(distance(*pair) for pair in zip(far, near, strict=True)) < BOUND


def test_without_a_moving_zero_point_the_far_stream_would_drift(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = chunks_at(0, 4, window=1, distill=True)
    monkeypatch.setattr(kv_cache.RollingKVCache, "local", lambda cache, chunk: chunk)
    far = chunks_at(FAR, 4, window=1, distill=True)
    assert max(distance(*pair) for pair in zip(far, near, strict=True)) > 10 * BOUND


def moved(state: StreamState, by: int, local: int) -> StreamState:
    """A copy ``by`` chunks on, its oldest kept chunk ``local`` chunks from the zero point."""
    twin = state.clone()
    cache, window = twin.cache, twin.window
    old = cache.local(cache.chunks[0])
    turn = (local - old) * cache.shape.frames_per_chunk
    shift_time(cache.keys, cache.bands, turn)
    cache.chunks = tuple(chunk + by for chunk in cache.chunks)
    cache.base = cache.chunks[0] - local
    finished = window.finished
    assert finished is not None and not window.in_flight
    twin.window = replace(
        window,
        next_index=window.next_index + by,
        finished=replace(finished, index=finished.index + by),
    )
    return twin
