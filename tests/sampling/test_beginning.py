"""Streams that begin with given latents: a picture, or a video that is continued."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.errors import ShapeError
from tests.sampling.kit import (
    CHANNELS,
    SIDE,
    WIDTH,
    WatchedExecutor,
    begin,
    pipeline_of,
    prefix_of,
    run,
)


@pytest.mark.parametrize(("given", "frames"), [(1, 2), (2, 2), (3, 1), (4, 2), (7, 1)])
def test_given_frames_are_not_shown_again_except_a_single_picture(given: int, frames: int) -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    chunks = run(pipeline, begin(pipeline, prefix=prefix_of(given)), 2)
    assert [chunk.index for chunk in chunks] == [0, 1]
    assert [chunk.latents.shape[1] for chunk in chunks] == [frames, WIDTH]


def test_given_frames_stand_still_in_every_call() -> None:
    executor = WatchedExecutor()
    pipeline = pipeline_of(executor, window=2)
    prefix = prefix_of(5)
    seen: list[Tensor] = []
    observe(executor, seen, chunk=2)
    run(pipeline, begin(pipeline, prefix=prefix), 2)
    assert len(seen) > 8
    assert all(torch.equal(latents[:, :1], prefix[:, 4:]) for latents in seen)


def observe(executor: WatchedExecutor, seen: list[Tensor], chunk: int) -> None:
    """Keeps a copy of one chunk's latents as every call sees them."""
    denoise = executor.denoise

    def watching(inputs: Any, cache: Any) -> Tensor:
        place = chunk - inputs.first_chunk
        if 0 <= place < len(inputs.times):
            seen.append(inputs.latents[:, place * WIDTH : (place + 1) * WIDTH].clone())
        return denoise(inputs, cache)

    executor.denoise = watching  # type: ignore[method-assign]


def test_whole_given_chunks_are_in_the_memory_before_the_first_step() -> None:
    executor = WatchedExecutor(distill=True)
    pipeline = pipeline_of(executor, window=1)
    state = begin(pipeline, prefix=prefix_of(7))
    assert state.cache.chunks == (0, 1, 2)
    assert [len(call.times) for call in executor.calls] == [1, 1, 1]
    assert state.beginning.frames == 1


def test_a_stream_does_not_write_into_what_it_was_given() -> None:
    pipeline = pipeline_of(WatchedExecutor(), window=2)
    prefix = prefix_of(3)
    run(pipeline, begin(pipeline, prefix=prefix), 2)
    assert torch.equal(prefix, prefix_of(3))


def test_a_prefix_of_another_size_is_refused() -> None:
    pipeline = pipeline_of(WatchedExecutor())
    with pytest.raises(ShapeError, match=r"\[16, frames, 4, 4\]"):
        begin(pipeline, prefix=torch.zeros(CHANNELS, 1, SIDE, SIDE + 2))
