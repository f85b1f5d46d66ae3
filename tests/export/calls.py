"""Calls of a denoiser as a stream makes them, for executors that are compared."""

from __future__ import annotations

import math

import torch

from magi_rt.backends.eager import EagerExecutor
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache


def call(
    executor: EagerExecutor,
    cache: RollingKVCache,
    ranges: int,
    stage: int | None = None,
    branches: int = 1,
) -> DenoiseInputs:
    """A call of noise after what the memory holds; every range sees another part of it."""
    source = torch.Generator().manual_seed(ranges)
    rows = [
        torch.randn(n, executor.config.model.caption_channels, generator=source) for n in (3, 7)
    ]
    texts = [executor.prepare_text(each) for each in rows]
    first = (cache.chunks[-1] + 1) if cache.chunks else 0
    width = executor.config.runtime.chunk_width
    branch = [
        Branch(
            tuple(texts[(place + number) % 2] for place in range(ranges)),
            tuple(1 + (2 * place + number) % 6 for place in range(ranges)),
            drop=bool(number),
        )
        for number in range(branches)
    ]
    side = executor.config.model.patch_size * math.isqrt(cache.shape.tokens // width)
    latents = torch.randn(16, ranges * width, side, side, generator=source)
    times = tuple(1 - place / ranges for place in range(ranges))
    code = None if executor.config.runtime.cfg_number == 3 else 1 / 8
    return DenoiseInputs(latents, times, first, tuple(branch), code, stage)


def cache_of(executor: EagerExecutor, chunks: int, size: tuple[int, int]) -> RollingKVCache:
    """A memory of four chunks with noise in it."""
    cache = executor.new_cache(*size, 4)
    source = torch.Generator().manual_seed(7)
    for chunk in range(chunks):
        noise = torch.randn(2, *cache.keys[:, 0].shape, generator=source).to(cache.keys.dtype)
        cache.stage(slice(None), *noise)
        cache.commit(chunk)
    return cache
