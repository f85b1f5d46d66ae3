"""The plain reference computes what the runtime computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.bench.plain import PlainStream
from magi_rt.bench.plain_network import PlainDenoiser
from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.sampling.stream_state import ChunkText
from tests.sampling.kit import SIDE, WatchedExecutor, begin, pipeline_of
from tests.support import small_config


def repeat(text: ChunkText) -> Callable[[int], ChunkText]:
    return lambda _: text


def rows_of(executor: WatchedExecutor, seed: int) -> Tensor:
    channels = executor.config.model.caption_channels
    return torch.randn(4 + seed, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("window", "options"),
    [(1, {}), (4, {}), (2, {"distill": True}), (1, {"family": "24B"})],
)
def test_plain_and_runtime_generate_the_same_chunks(window: int, options: dict[str, Any]) -> None:
    executor = WatchedExecutor(**options)
    pipeline = pipeline_of(executor, window=window)
    state = begin(pipeline)
    plain = PlainStream(executor, pipeline.sampler, seed=7, size=(SIDE, SIDE))
    for chunk in range(5):
        rows = rows_of(executor, chunk // 2)
        text = ChunkText("", executor.prepare_text(rows))
        ours = pipeline.advance(state, repeat(text)).latents
        theirs = plain.advance(rows)
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4, chunk


def test_plain_keeps_every_finished_chunk() -> None:
    executor = WatchedExecutor()
    sampler = pipeline_of(executor, window=1).sampler
    plain = PlainStream(executor, sampler, seed=7, size=(SIDE, SIDE))
    lengths = []
    for _ in range(6):
        plain.advance(executor.null_text())
        lengths.append(len(plain.denoiser.history[0]))
    tokens = executor.tokens_per_chunk(SIDE, SIDE)
    assert lengths == [tokens * chunk for chunk in range(6)]


def test_plain_refuses_quantised_models() -> None:
    with torch.device("meta"):
        quantised = VideoDiT(small_config(fp8=True).model, fp8=True)
    with pytest.raises(OptionError, match="quantised"):
        PlainDenoiser(quantised, chunk_width=2)
