"""An executor without a model: colours that follow the prompt, the history and the noise.

It obeys the same door as the real executors and costs nothing, so that a program that uses a world
can be written, tested and shown without weights. What is drawn: the prompt chooses a colour (each
prompt its own, by a hash), the newest finished chunk bleeds into it, a bar moves one step per
latent frame, and the noise stays visible as grain. Nothing is learned and nothing is claimed.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from magi_rt.backends.base import EngineInfo
from magi_rt.config import EngineConfig, MagiConfig, ModelConfig, RuntimeConfig
from magi_rt.errors import BackendError, ShapeError
from magi_rt.models.inputs import Branch, DenoiseInputs, TextContext
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.models.special_tokens import NULL_TOKENS, SpecialTokens

COLOURS = 3
PATCH = 8
"""Pixels along one side of a latent, as in the published auto-encoder."""
PULL = 1.5
"""Strength of the pull towards the target: exp(-1.5) = 22 % of the noise is left as grain."""
MEMORY_SHARE = 0.3
"""How much of the newest finished chunk's colour shows in the next one."""

DUMMY_CONFIG = MagiConfig(
    model=ModelConfig(
        num_layers=1, hidden_size=64, ffn_hidden_size=64, num_attention_heads=8,
        num_query_groups=1, kv_channels=8, params_dtype="torch.float32", in_channels=4,
        out_channels=4, caption_channels=8, caption_max_length=64,
    ),
    runtime=RuntimeConfig(
        cfg_number=3, prev_chunk_scales=(1.0,) * 5, text_scales=(1.0,) * 5,
        noise2clean_kvrange=(5, 4, 3, 2), clean_chunk_kvrange=1, clean_t=0.9999, num_steps=8,
        window_size=1, chunk_width=2, video_size_h=64, video_size_w=64,
    ),
    engine=EngineConfig(),
)  # fmt: skip


class DummyExecutor:
    """Synthetic colours on the CPU behind the door of a real executor.

    The same inputs give the same numbers on every machine: no trained weights, no random state.
    """

    def __init__(self, config: MagiConfig = DUMMY_CONFIG) -> None:
        if config.model.latent_channels <= COLOURS:
            raise BackendError(
                f"{config.model.latent_channels} latent channels cannot hold {COLOURS} colours "
                f"and one of grain; use {COLOURS + 1} or more",
                field="in_channels",
            )
        self.config = config
        self.info = EngineInfo(
            name="dummy",
            device="cpu",
            dtype="float32",
            threads=torch.get_num_threads(),
            reason="synthetic colours, no model",
        )
        self.picture_multiple = PATCH * config.model.patch_size
        self.special_tokens: SpecialTokens | None = None

    def encode_text(self, prompt: str) -> Tensor:
        """One row per word, [words, caption_channels] float32 in 0..1; "" has no rows."""
        words = prompt.split()[: self.config.model.caption_max_length]
        channels = self.config.model.caption_channels
        rows = [_hash_numbers(f"{place} {word}", channels) for place, word in enumerate(words)]
        return torch.tensor(rows, dtype=torch.float32).reshape(len(words), channels)

    def null_text(self) -> Tensor:
        """Rows of zeros, [<= 50, caption_channels]: they stand for grey."""
        model = self.config.model
        return torch.zeros(min(NULL_TOKENS, model.caption_max_length), model.caption_channels)

    def prepare_text(self, rows: Tensor) -> TextContext:
        """The rows' sum as the one token of the one layer, [1, 1, 1, caption_channels]."""
        total = rows.sum(dim=0).reshape(1, 1, 1, -1)
        return TextContext(keys=total, values=total)

    def new_cache(self, latent_height: int, latent_width: int, depth: int) -> RollingKVCache:
        """A ring whose chunks are one token each: the colour of the finished chunk."""
        model = self.config.model
        shape = CacheShape(
            layers=1,
            depth=depth,
            groups=1,
            tokens=1,
            head_dim=model.head_dim,
            frames_per_chunk=self.config.runtime.chunk_width,
        )
        bands = torch.ones(model.rope_bands)
        return RollingKVCache.allocate(shape, bands, torch.float32, torch.device("cpu"))

    @torch.inference_mode()
    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """Velocity towards each range's target colours, [branches, C, T, H, W] float32."""
        width = self.config.runtime.chunk_width
        chunks = inputs.latents.split(width, dim=1)
        if inputs.stage_branch is not None:
            self._remember(chunks[0], cache)
        return torch.stack([
            torch.cat(
                [
                    PULL * (self._target(inputs, cache, branch, place) - chunk)
                    for place, chunk in enumerate(chunks)
                ],
                dim=1,
            )
            for branch in inputs.branches
        ])  # fmt: skip

    def _remember(self, chunk: Tensor, cache: RollingKVCache) -> None:
        colour = torch.zeros(cache.shape.head_dim)
        colour[:COLOURS] = chunk[:COLOURS].mean(dim=(1, 2, 3))
        # The values hold the colour: the ring turns keys, not values, when it counts anew.
        cache.stage(0, torch.zeros(1, 1, colour.numel()), colour.reshape(1, 1, -1))

    def _target(
        self, inputs: DenoiseInputs, cache: RollingKVCache, branch: Branch, place: int
    ) -> Tensor:
        """What one range is pulled towards: [C, chunk_width, H, W]."""
        runtime, (channels, _, height, width) = self.config.runtime, inputs.latents.shape
        colour = _colour_of(branch.texts[place])
        before = self._history(inputs, cache, branch, place)
        if before is not None:
            colour = (1 - MEMORY_SHARE) * colour + MEMORY_SHARE * before
        target = torch.zeros(channels, runtime.chunk_width, height, width)
        target[:COLOURS] = colour.reshape(COLOURS, 1, 1, 1)
        first = (inputs.first_chunk + place) * runtime.chunk_width
        for frame in range(runtime.chunk_width):
            target[:COLOURS, frame, :, (first + frame) % width] *= -0.5
        return target

    def _history(
        self, inputs: DenoiseInputs, cache: RollingKVCache, branch: Branch, place: int
    ) -> Tensor | None:
        """Colour of the chunk before, or of the newest finished one; None when none is seen."""
        chunk_width = self.config.runtime.chunk_width
        if branch.visible[place] < 2:
            return None
        if place > 0:
            before = inputs.latents[:COLOURS, (place - 1) * chunk_width : place * chunk_width]
            return before.mean(dim=(1, 2, 3))
        if not cache.chunks:
            return None
        return cache.values[0, cache.slot(cache.chunks[-1]), 0, 0, :COLOURS]

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [T, H, W, 3] -> latents [C, ceil(T / 4), H / 8, W / 8] float32, block means.

        Raises:
            ShapeError: a side is not a multiple of 8, or T is neither 1 nor a multiple of 4.
        """
        frames, height, width, _ = pixels.shape
        factor = self.config.runtime.temporal_downsample_factor
        if height % PATCH or width % PATCH or (frames > 1 and frames % factor):
            raise ShapeError(
                f"{frames} pictures of {height}x{width} do not divide into blocks of "
                f"{factor} pictures of {PATCH}x{PATCH} pixels",
                field="pixels",
            )
        volume = pixels.permute(3, 0, 1, 2).to(torch.float32) / 127.5 - 1
        size = (math.ceil(frames / factor), height // PATCH, width // PATCH)
        latents = torch.zeros(self.config.model.latent_channels, *size)
        latents[:COLOURS] = adaptive_avg_pool3d(volume, size)
        return latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [C, T, h, w] -> uint8 [4T, 8h, 8w, 3]: every latent a flat block."""
        shown = latents[:COLOURS] + 0.1 * latents[COLOURS]
        pixels = (shown * 127.5 + 127.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
        factor = self.config.runtime.temporal_downsample_factor
        return (
            pixels.repeat_interleave(factor, dim=0)
            .repeat_interleave(PATCH, dim=1)
            .repeat_interleave(PATCH, dim=2)
        )


def _hash_numbers(text: str, count: int) -> list[float]:
    """`count` numbers in 0..1 that follow from the text alone, multiples of 1/256 (exact sums)."""
    digest = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(count)
    return [byte / 256 for byte in digest]


def _colour_of(text: TextContext) -> Tensor:
    """[3] in -0.8..0.8; one word more or less turns the hue, the null text is grey (0)."""
    return 0.8 * torch.sin(2 * math.pi * text.values[0, 0, :, :COLOURS].sum(dim=0))
