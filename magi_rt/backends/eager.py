"""PyTorch without compilation: the executor that defines what the others must compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from magi_rt.backends.base import EngineInfo
from magi_rt.backends.devices import choose_device, choose_dtype
from magi_rt.backends.fingerprint import Fingerprint
from magi_rt.backends.packed import pack
from magi_rt.backends.ranges import CrossAttention, SelfAttention
from magi_rt.backends.remembered import Remembered
from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import check_beside, load_denoiser, load_vae
from magi_rt.checkpoints.text_encoder import load_text_encoder
from magi_rt.config import MagiConfig
from magi_rt.errors import PromptError, ShapeError
from magi_rt.kept_memory import keep_freed_memory
from magi_rt.models.attention import choose_attention, describe_attention
from magi_rt.models.dit import VideoDiT
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.models.special_tokens import SpecialTokens
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.models.vae import ViTVAE
from magi_rt.models.vae_tiling import TileConfig, decode_frames, encode_frames

GATES_KEPT = 160  # time points whose gates are remembered; a 64-step grid has 65 per branch kind
TABLES_KEPT = 16
BATCHED_TOKENS = 4096


class Loaded(NamedTuple):
    """What an executor is made of; ``attention`` is a wish, see :meth:`EagerExecutor.open`."""

    config: MagiConfig
    dit: VideoDiT
    vae: ViTVAE
    text_encoder: T5TextEncoder | None
    info: EngineInfo
    special_tokens: SpecialTokens | None = None
    attention: str = "auto"


class EagerExecutor:
    """Runs the networks as they are, on one device.

    It keeps only what follows from the weights (gates per time, position tables per shape);
    everything that belongs to a stream is in the cache and the inputs of a call.

    Attributes:
        packs: on a CPU, weights are laid out for its products (``packed.py``).
        batched_tokens: guidance branches run in one batch while it holds at most this many.
    """

    packs = True
    batched_tokens = BATCHED_TOKENS

    def __init__(
        self,
        config: MagiConfig,
        dit: VideoDiT,
        vae: ViTVAE,
        text_encoder: T5TextEncoder | None,
        info: EngineInfo,
        special_tokens: SpecialTokens | None = None,
        attention: str = "auto",
    ) -> None:
        self.config, self.info, self.special_tokens = config, info, special_tokens
        self.dit, self.vae, self.text_encoder = dit.eval(), vae.eval(), text_encoder
        for network in (self.dit, self.vae) if self.packs else ():
            pack(network)
        self.device = dit.rope.bands.device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.attention = choose_attention(self.device, dit.working_dtype, attention)
        self.tiles = TileConfig.published(config.runtime.fps)
        self.picture_multiple = vae.config.patch_size * config.model.patch_size
        self._gates: Remembered[Tensor] = Remembered(GATES_KEPT)
        self._tables: Remembered[Tensor] = Remembered(TABLES_KEPT)

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "auto",
    ) -> Self:
        """Load a model folder or a built-in world.

        Args:
            device: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".
            dtype: "auto" (the model's own), "float32" or "bfloat16".
            attention: "auto", "sdpa" or "sage" (see ``models/attention.py``).

        Raises:
            CheckpointError, ConfigError: the folder is incomplete, damaged or contradictory.
            BackendError: the device is not there, or not the attention.
        """
        return cls(*loaded(model, device, dtype, attention))

    @torch.inference_mode()
    def encode_text(self, prompt: str) -> Tensor:
        """T5 rows of the prompt's own tokens, [tokens, caption_channels] float32.

        Raises:
            PromptError: this model folder has no text encoder.
        """
        if self.text_encoder is None:
            raise PromptError(
                "this model folder has no T5 text encoder, so it cannot read prompts; "
                "put the T5 folder beside the weights (magi-rt inspect names the place)",
                field="prompt",
            )
        return self.text_encoder.encode(prompt).to(self.device)

    def null_text(self) -> Tensor:
        """The rows that stand for "no text", [<= 50, caption_channels] float32."""
        return self.dit.null_text().detach()

    @torch.inference_mode()
    def prepare_text(self, rows: Tensor) -> TextContext:
        """Cross-attention keys and values of [tokens, caption_channels] rows, all layers."""
        return self.dit.text_context(rows.to(self.device))

    def new_cache(self, latent_height: int, latent_width: int, depth: int) -> RollingKVCache:
        """A ring for pictures of this latent size."""
        model, runtime = self.config.model, self.config.runtime
        shape = CacheShape(
            layers=model.num_layers,
            depth=depth,
            groups=model.num_query_groups,
            tokens=self.tokens_per_chunk(latent_height, latent_width),
            head_dim=model.head_dim,
            frames_per_chunk=runtime.chunk_width,
        )
        bands = self.dit.rope.bands
        return RollingKVCache.allocate(shape, bands, self.dit.working_dtype, self.device)

    def tokens_per_chunk(self, latent_height: int, latent_width: int) -> int:
        """Tokens of one chunk of latents.

        Raises:
            ShapeError: the latent grid does not divide into patches.
        """
        p = self.config.model.patch_size
        if latent_height % p or latent_width % p:
            raise ShapeError(
                f"a latent grid of {latent_height}x{latent_width} does not divide into patches "
                f"of {p}x{p}; picture sides must be multiples of {self.picture_multiple}",
                field="size",
            )
        return self.config.runtime.chunk_width * (latent_height // p) * (latent_width // p)

    @torch.inference_mode()
    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """Velocity of every branch, [branches, channels, T, H, W] float32.

        Reads the cache's committed chunks; writes its staging slot when ``stage_branch`` says so.
        """
        parts = parts_of(inputs, cache, self.batched_tokens)
        found = [self._forward(part, cache) for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _forward(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        latents = inputs.latents.to(self.device)[None]
        out: Tensor = self.dit(
            latents,
            self._gates_of(inputs),
            self._rope_of(inputs, cache),
            SelfAttention(inputs, cache, self.attention),
            CrossAttention(inputs.branches, self.attention),
        )
        return out

    def _gates_of(self, inputs: DenoiseInputs) -> Tensor:
        """[layers, branches, ranges, 2, D] float32, each time point computed once."""
        rows = [
            torch.stack([self._gate(t, branch.drop, inputs.step_code) for t in inputs.times], dim=1)
            for branch in inputs.branches
        ]
        return torch.stack(rows, dim=1)

    def _gate(self, time: float, drop: bool, step_code: float | None) -> Tensor:
        def make() -> Tensor:
            point = torch.tensor(time, dtype=torch.float32, device=self.device)
            return self.dit.gates(self.dit.condition(point, drop, step_code))

        return self._gates.get((time, drop, step_code), make)

    def _rope_of(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        _, frames, height, width = inputs.latents.shape
        first = cache.local(inputs.first_chunk) * cache.shape.frames_per_chunk
        return self._tables.get(
            (first, frames, height, width),
            lambda: self.dit.rope_table(first, frames, height, width),
        )

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [T, H, W, 3] -> scaled latents [C, ceil(T / 4), H/p, W/p] float32."""
        scale = self.config.runtime.scale_factor
        return encode_frames(self.vae, pixels.to(self.device), self.tiles) * scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [C, T, h, w] -> uint8 [4T, H, W, 3]; a lone latent gives one frame."""
        scale = self.config.runtime.scale_factor
        return decode_frames(self.vae, latents.to(self.device) / scale, self.tiles)


def loaded(model: str | Path, device: str, dtype: str, attention: str) -> Loaded:
    """What an executor is made of, read from a model folder; see :meth:`EagerExecutor.open`."""
    folder = resolve(model)
    place = choose_device(device)
    working, reason = choose_dtype(dtype, folder.config, place)
    how = describe_attention(choose_attention(place, working, attention), attention)
    channels, tokens = folder.config.model.caption_channels, folder.special_tokens
    special_tokens = None if tokens is None else SpecialTokens.read(tokens, channels)
    check_beside(folder)
    mark = Fingerprint()
    dit = load_denoiser(folder, device=place, params_dtype=working, seen=_part(mark, "dit"))
    vae = load_vae(folder, device=place, dtype=working, seen=_part(mark, "vae"))
    text = None
    if folder.text_encoder is not None:
        length = folder.config.model.caption_max_length
        text = load_text_encoder(folder.text_encoder, length, channels, seen=_part(mark, "text"))
    info = EngineInfo(
        name="eager",
        device=str(place),
        dtype=str(working).removeprefix("torch."),
        threads=torch.get_num_threads(),
        reason=f"{reason}; {how}",
        weights=mark.digits(),
    )
    return Loaded(folder.config, dit, vae, text, info, special_tokens, attention)


def _part(mark: Fingerprint, part: str) -> Callable[[str, Tensor], None]:
    """Shows a mark the tensors of one network."""
    return lambda name, tensor: mark.see(f"{part}.{name}", tensor)


def parts_of(
    inputs: DenoiseInputs, cache: RollingKVCache, batched_tokens: int = BATCHED_TOKENS
) -> list[DenoiseInputs]:
    """The same call, or one with each branch where the pictures do not fit one batch."""
    tokens = len(inputs.times) * cache.shape.tokens
    if len(inputs.branches) * tokens <= batched_tokens:
        return [inputs]
    return [
        replace(
            inputs,
            branches=(branch,),
            stage_branch=0 if inputs.stage_branch == place else None,
        )
        for place, branch in enumerate(inputs.branches)
    ]
