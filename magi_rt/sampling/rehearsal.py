"""A stream without numbers: which kinds of calls a world will make, known before the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import Chunk, ChunkText, StreamState
from magi_rt.sampling.window import CallPlan

Expect = Callable[[DenoiseInputs, RollingKVCache], None]


class Understudy:
    """An executor's door with nothing behind it: calls are told to somebody and computed by none.

    All tensors are on the meta device, so a rehearsal of a large model costs no memory.
    """

    def __init__(self, executor: Executor, expect: Expect) -> None:
        self.executor, self.expect = executor, expect
        self.config, self.info = executor.config, executor.info
        self.picture_multiple = executor.picture_multiple
        self.special_tokens = executor.special_tokens

    def null_text(self) -> Tensor:
        return self.executor.null_text().to("meta")

    def encode_text(self, prompt: str) -> Tensor:
        return self.null_text()

    def prepare_text(self, rows: Tensor) -> TextContext:
        model = self.config.model
        size = (model.num_layers, model.num_query_groups, len(rows), model.head_dim)
        keys = torch.empty(size, device="meta")
        return TextContext(keys, keys)

    def new_cache(self, latent_height: int, latent_width: int, depth: int) -> RollingKVCache:
        model, width = self.config.model, self.config.runtime.chunk_width
        shape = CacheShape(
            layers=model.num_layers,
            depth=depth,
            groups=model.num_query_groups,
            tokens=width * (latent_height // model.patch_size) * (latent_width // model.patch_size),
            head_dim=model.head_dim,
            frames_per_chunk=width,
        )
        meta = torch.device("meta")
        bands = torch.empty(model.rope_bands, device=meta)
        return RollingKVCache.allocate(shape, bands, torch.float32, meta)

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        self.expect(inputs, cache)
        return inputs.latents.expand(len(inputs.branches), *inputs.latents.shape)

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return latents


class _CallsAlone(ChunkPipeline):
    """A pipeline that makes every call and computes nothing from their answers.

    On the meta device sums, products and copies of views would make PyTorch import its compiler
    and sympy, half a second of every start.
    """

    def velocities(self, state: StreamState, plan: CallPlan) -> list[Tensor]:
        weights = self.sampler.guidance.weights(plan.noisy_times)
        self._predictor_at(state.window.steps).predict(state, plan, weights)
        return []

    def _integrate(self, state: StreamState, velocities: list[Tensor]) -> list[Chunk]:
        return [replace(chunk, steps_done=chunk.steps_done + 1) for chunk in state.window.in_flight]


def rehearse(
    executor: Executor, sampler: SamplerConfig, size: tuple[int, int], expect: Expect
) -> None:
    """Tells every kind of call that a stream makes from its beginning on.

    Args:
        size: latent height and width.
        expect: called with every call, numbers left out.
    """
    pipeline = _CallsAlone(Understudy(executor, expect), sampler, noise=_no_noise)
    state = pipeline.new_state(seed=0, latent_height=size[0], latent_width=size[1])
    text = ChunkText("", pipeline.executor.prepare_text(pipeline.executor.null_text()))
    # After this many chunks the window and the memory are full, and every call has come before.
    for _ in range(state.cache.depth + sampler.window + 1):
        pipeline.finish_chunk(state, lambda _: text)


def _no_noise(seed: int, chunk: int, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, device="meta")
