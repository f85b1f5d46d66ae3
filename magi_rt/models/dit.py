"""The denoiser: noisy latents, times, prompts and history in, velocity out.

Parameter names are those of the published checkpoints. The module computes; who may attend to
what is decided by the two attention callables given to :meth:`VideoDiT.forward`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.config import ModelConfig
from magi_rt.models import rotary
from magi_rt.models.dit_block import CrossAttend, DiTBlock, LayerNorm, SelfAttend
from magi_rt.models.inputs import TextContext
from magi_rt.models.parameters import learned
from magi_rt.models.special_tokens import NULL_TOKENS

FREQUENCIES = 256  # sinusoids of the timestep embedding

FLOAT32_ISLANDS = (
    "x_embedder.",
    "t_embedder.",
    "y_embedder.",
    "rope.",
    "final_layernorm.",
    "final_linear.",
    ".q_layernorm.",
    ".k_layernorm.",
    "_post_norm.",
)
"""Name parts of the parameters that stay float32 in every working dtype (paper's runtime)."""


def is_float32_island(name: str) -> bool:
    return any(part in f".{name}" or name.startswith(part) for part in FLOAT32_ISLANDS)


def timestep_features(times: Tensor) -> Tensor:
    """Cosines then sines of 1000 t at 128 frequencies, [..., 256] float32."""
    half = FREQUENCIES // 2
    steps = torch.arange(half, dtype=torch.float32, device=times.device)
    frequencies = torch.exp(-math.log(10000.0) * steps / half)
    turn = 1000.0 * (times.float()[..., None] * frequencies)
    return torch.cat((turn.cos(), turn.sin()), dim=-1)


class TimestepEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, times: Tensor, feature_dtype: torch.dtype) -> Tensor:
        """[...] -> [..., width] float32; the sinusoids are rounded to the working dtype first."""
        features = timestep_features(times).to(feature_dtype).float()
        out: Tensor = self.mlp(features)
        return out


class CaptionEmbedder(nn.Module):
    """Caption rows for cross-attention, and the two learned rows that say "text" or "no text"."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rows, channels = config.caption_max_length, config.caption_channels
        self.null_caption_embedding = learned(
            rows, channels, fill=lambda table: table.normal_(std=channels**-0.5)
        )
        self.y_proj_xattn = nn.Sequential(nn.Linear(channels, config.hidden_size), nn.SiLU())
        self.y_proj_adaln = nn.Sequential(nn.Linear(channels, config.gate_hidden))

    def modulation(self, drop: bool) -> Tensor:
        """[D/4] float32: row -1 of the null caption when the text is dropped, else row -2."""
        out: Tensor = self.y_proj_adaln(self.null_caption_embedding[-1 if drop else -2])
        return out


class RotaryBands(nn.Module):
    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.bands = learned(
            head_dim // 8, fill=lambda bands: bands.copy_(rotary.initial_bands(head_dim))
        )


class Blocks(nn.Module):
    def __init__(self, config: ModelConfig, fp8: bool) -> None:
        super().__init__()
        last = config.num_layers - 1
        self.layers = nn.ModuleList(
            DiTBlock(config, layer, quantised=fp8 and 0 < layer < last)
            for layer in range(config.num_layers)
        )
        self.final_layernorm = LayerNorm(config.hidden_size, config.layernorm_epsilon, offset=1.0)


class FinalLinear(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        outputs = config.patch_size**2 * config.t_patch_size * config.out_channels
        self.linear = nn.Linear(config.hidden_size, outputs, bias=False)


class VideoDiT(nn.Module):
    """The published diffusion transformer, both families.

    Args:
        config: sizes and family switches.
        fp8: the quantised layout: all layers but the first and the last hold e4m3 weights.
    """

    def __init__(self, config: ModelConfig, fp8: bool = False) -> None:
        super().__init__()
        self.config = config
        patch = (config.t_patch_size, config.patch_size, config.patch_size)
        self.x_embedder = nn.Conv3d(
            config.in_channels, config.hidden_size, patch, stride=patch, bias=False
        )
        self.t_embedder = TimestepEmbedder(config.gate_hidden)
        self.y_embedder = CaptionEmbedder(config)
        self.rope = RotaryBands(config.head_dim)
        self.videodit_blocks = Blocks(config, fp8)
        self.final_linear = FinalLinear(config)

    @property
    def working_dtype(self) -> torch.dtype:
        """The dtype of the hidden state: that of the parameters outside the float32 islands."""
        return self._block(0).self_attention.linear_kv_xattn.weight.dtype

    def _block(self, layer: int) -> DiTBlock:
        block = self.videodit_blocks.layers[layer]
        assert isinstance(block, DiTBlock)
        return block

    def blocks(self) -> list[DiTBlock]:
        return [self._block(layer) for layer in range(self.config.num_layers)]

    def embed(self, latents: Tensor, ranges: int) -> Tensor:
        """Latents [B, channels, T, H, W] float32 -> tokens [B, R, n, D] in the working dtype."""
        x = latents.float() * self.config.x_rescale_factor
        if self.config.half_channel_vae:
            x = torch.cat((x, x), dim=1)
        p = self.config.patch_size
        batch, channels, frames, height, width = x.shape
        x = x.reshape(batch, channels, frames, height // p, p, width // p, p)
        patches = x.permute(0, 2, 3, 5, 1, 4, 6).reshape(batch, ranges, -1, channels * p * p)
        tokens = F.linear(patches, self.x_embedder.weight.flatten(1))
        return tokens.to(self.working_dtype)

    def condition(self, times: Tensor, drop: bool, step_code: float | None = None) -> Tensor:
        """times [...] -> [..., D/4] in the working dtype."""
        dtype = self.working_dtype
        out = self.t_embedder(times, dtype)
        if step_code is not None:
            out = out + self.t_embedder(torch.full_like(times, step_code), dtype)
        result: Tensor = (out + self.y_embedder.modulation(drop)).to(dtype)
        return result

    def gates(self, condition: Tensor) -> Tensor:
        """[..., D/4] -> [layers, ..., 2, D] float32."""
        return torch.stack([block.ada_modulate_layer(condition) for block in self.blocks()])

    def null_text(self) -> Tensor:
        """The rows that stand for "no text", [min(50, caption_max_length), caption_channels]."""
        return self.y_embedder.null_caption_embedding[:NULL_TOKENS]

    def embed_text(self, rows: Tensor) -> Tensor:
        """Caption rows [..., tokens, caption_channels] -> [..., tokens, D] in the working dtype."""
        out: Tensor = self.y_embedder.y_proj_xattn(rows.float())
        return out.to(self.working_dtype)

    def text_context(self, rows: Tensor) -> TextContext:
        """Cross-attention keys and values of one prompt in every layer."""
        text = self.embed_text(rows)
        pairs = [block.self_attention.text_keys_values(text) for block in self.blocks()]
        keys = torch.stack([k.transpose(0, 1) for k, _ in pairs])
        values = torch.stack([v.transpose(0, 1) for _, v in pairs])
        return TextContext(keys, values)

    def rope_table(self, first_frame: int, frames: int, height: int, width: int) -> Tensor:
        """Rotary table for a latent grid, [frames * (H/2) * (W/2), 2m] float32."""
        p = self.config.patch_size
        return rotary.table(self.rope.bands, first_frame, frames, height // p, width // p)

    def forward(
        self,
        latents: Tensor,
        gates: Tensor,
        rope: Tensor,
        self_attend: SelfAttend,
        cross_attend: CrossAttend,
    ) -> Tensor:
        """Velocity of every branch.

        Args:
            latents: [B, channels, T, H, W] float32.
            gates: [layers, B, R, 2, D] float32 from :meth:`gates`.
            rope: [R * n, 2m] float32.

        Returns:
            [B, channels, T, H, W] float32.
        """
        hidden = self.embed(latents, ranges=gates.shape[2])
        hidden = hidden.expand(gates.shape[1], *hidden.shape[1:])
        for block, gate in zip(self.blocks(), gates, strict=True):
            hidden = block(hidden, gate, rope, self_attend, cross_attend)
        return self.read_out(hidden, latents.shape)

    def read_out(self, hidden: Tensor, shape: torch.Size) -> Tensor:
        """Final norm, projection and un-patching in float32."""
        normed = self.videodit_blocks.final_layernorm(hidden.float())
        flat = self.final_linear.linear(normed)
        _, channels, frames, height, width = shape
        p = self.config.patch_size
        grid = flat.reshape(flat.shape[0], frames, height // p, width // p, p, p, -1)
        out = grid.permute(0, 6, 1, 2, 4, 3, 5).reshape(flat.shape[0], -1, frames, height, width)
        result: Tensor = out[:, :channels] / self.config.x_rescale_factor
        return result
