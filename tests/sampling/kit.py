"""What the sampler's tests share: a small random model, and executors that watch or fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from magi_rt.backends.base import EngineInfo
from magi_rt.backends.eager import EagerExecutor
from magi_rt.models.dit import VideoDiT
from magi_rt.models.inputs import Branch, DenoiseInputs, TextContext
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.vae import VAEConfig, ViTVAE
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText, StreamState
from tests.support import SMALL_VAE, random_denoiser, small_config

SIDE = 4
CHANNELS = 16
WIDTH = 2
INFO = EngineInfo("eager", "cpu", "float32", 1, "a test")


class WatchedExecutor(EagerExecutor):
    """A small random model that keeps its calls and can fail in one of them."""

    def __init__(self, **options: Any) -> None:
        config = small_config(**options)
        with torch.device("meta"):
            dit, vae = VideoDiT(config.model), ViTVAE(VAEConfig.from_dict(SMALL_VAE["ddconfig"]))
        dit.load_state_dict(random_denoiser(config), assign=True)
        super().__init__(config, dit.requires_grad_(False), vae, None, INFO)
        self.calls: list[DenoiseInputs] = []
        self.fails_in: int | None = None

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        self.calls.append(inputs)
        velocity = super().denoise(inputs, cache)
        if self.fails_in == len(self.calls):
            raise KeyboardInterrupt
        return velocity

    def text(self, prompt: str) -> ChunkText:
        """A text whose rows follow from the prompt."""
        seed = int.from_bytes(prompt.encode(), "big") % 2**31
        rows = torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))
        return ChunkText(prompt, self.prepare_text(rows))


class ForgetfulExecutor(WatchedExecutor):
    """Computes the features of all earlier chunks anew in every call; the cache is not read.

    Only right for distilled models: their finished chunks look the same in every branch.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(distill=True, **options)
        self.finished: dict[int, Tensor] = {}

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        latents = inputs.latents.clone()
        if inputs.stage_branch is not None:
            self.finished[inputs.first_chunk] = latents[:, :WIDTH]
        earlier = [self.finished[chunk] for chunk in range(inputs.first_chunk)]
        runtime = self.config.runtime
        time = float(torch.tensor(runtime.clean_t))
        null = self.prepare_text(self.null_text())
        whole = replace(
            inputs,
            latents=torch.cat([*earlier, latents], dim=1),
            times=(time,) * len(earlier) + inputs.times,
            first_chunk=0,
            branches=tuple(
                prepend(branch, len(earlier), null, runtime.clean_chunk_kvrange)
                for branch in inputs.branches
            ),
            stage_branch=None,
        )
        empty = self.new_cache(SIDE, SIDE, 1)
        return super().denoise(whole, empty)[:, :, WIDTH * len(earlier) :]


def prepend(branch: Branch, count: int, null: TextContext, width: int) -> Branch:
    """The branch with ``count`` finished chunks in front."""
    return replace(
        branch,
        texts=(null,) * count + branch.texts,
        visible=(width,) * count + branch.visible,
    )


def pipeline_of(executor: EagerExecutor, **wishes: Any) -> ChunkPipeline:
    return ChunkPipeline(executor, SamplerConfig.from_config(executor.config, **wishes))


def begin(pipeline: ChunkPipeline, **options: Any) -> StreamState:
    """A stream of 4 x 4 latents with seed 7."""
    settings: dict[str, Any] = {"seed": 7, "latent_height": SIDE, "latent_width": SIDE}
    return pipeline.new_state(**(settings | options))


def texts(executor: WatchedExecutor, *prompts: str) -> Callable[[int], ChunkText]:
    """One prompt per chunk; the last one stays."""
    made = [executor.text(prompt) for prompt in prompts]
    return lambda chunk: made[min(chunk, len(made) - 1)]


def run(
    pipeline: ChunkPipeline, state: StreamState, count: int, *prompts: str
) -> list[FinishedChunk]:
    """The next ``count`` chunks."""
    executor = pipeline.executor
    assert isinstance(executor, WatchedExecutor)
    text_for = texts(executor, *(prompts or ("sea",)))
    return [pipeline.advance(state, text_for) for _ in range(count)]


def same(left: Sequence[FinishedChunk], right: Sequence[FinishedChunk]) -> bool:
    """True when both are the same chunks, bit for bit."""
    assert left
    return len(left) == len(right) and all(
        (a.index, a.prompt) == (b.index, b.prompt) and torch.equal(a.latents, b.latents)
        for a, b in zip(left, right, strict=True)
    )


def distance(left: FinishedChunk, right: FinishedChunk) -> float:
    """max |a - b| / max |b|."""
    return float((left.latents - right.latents).abs().max() / right.latents.abs().max())


def prefix_of(frames: int) -> Tensor:
    """Given latents [16, frames, 4, 4]."""
    return torch.randn(CHANNELS, frames, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
