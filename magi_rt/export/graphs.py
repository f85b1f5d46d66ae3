"""The networks as graphs: every tensor that a call needs comes in by name, and goes out by name.

A graph shares the weights of the network it is made from. What decides its shape is a
:class:`DenoiserShape`; nothing in it branches on data, so any exporter can trace it.

The history is the ring itself (:class:`magi_rt.models.kv_cache.RollingKVCache`): keys are stored
rotated, so the order of its slots means nothing to attention, and which slots a range may see is
told by a bias. Nothing is copied or put in order between calls or layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.config import ModelConfig
from magi_rt.models.attention import fold_groups, unfold_groups
from magi_rt.models.dit import VideoDiT
from magi_rt.models.kv_cache import CacheShape
from magi_rt.models.vae import ViTVAE

HIDDEN = -30000.0
"""Bias of what may not be seen: its weight is exactly 0, in every number format."""


@dataclass(frozen=True)
class DenoiserShape:
    """What a denoiser graph is made for.

    cache: sizes of the ring.
    branches, ranges: of the calls it answers.
    height, width: of the latents.
    text: room for every prompt, in tokens.
    stage: the branch whose keys and values of range 0 go out, ``None`` when none do.
    """

    cache: CacheShape
    branches: int
    ranges: int
    height: int
    width: int
    text: int
    stage: int | None = None

    @property
    def slots(self) -> int:
        """Slots of the ring, the staging slot included."""
        return self.cache.depth + 1

    @property
    def tokens(self) -> int:
        """Tokens of one call."""
        return self.ranges * self.cache.tokens

    @property
    def name(self) -> str:
        """A name for files: "denoiser-1x2-staged" has one branch and two ranges."""
        staged = "" if self.stage is None else "-staged"
        return f"denoiser-{self.branches}x{self.ranges}{staged}"

    def inputs(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Names and sizes of all inputs, in order. All are float32, the ring in the working dtype.

        latents: [1, channels, frames, H, W].
        gates: [layers, branches, ranges, 2, D].
        rope: [tokens, 2m].
        ring_keys, ring_values: [layers, slots, groups, tokens of a chunk, head_dim].
        visible: [branches, ranges, slots + ranges], 0 where a range sees a chunk, else ``HIDDEN``.
        text_keys, text_values: [layers, branches * ranges, groups, room, head_dim].
        text_visible: [branches * ranges, room], as ``visible``.
        """
        cache, places = self.cache, self.branches * self.ranges
        frames = self.ranges * cache.frames_per_chunk
        ring = (cache.layers, self.slots, cache.groups, cache.tokens, cache.head_dim)
        text = (cache.layers, places, cache.groups, self.text, cache.head_dim)
        return {
            "latents": (1, config.in_channels, frames, self.height, self.width),
            "gates": (config.num_layers, self.branches, self.ranges, 2, config.hidden_size),
            "rope": (self.tokens, 6 * config.rope_bands),
            "ring_keys": ring,
            "ring_values": ring,
            "visible": (self.branches, self.ranges, self.slots + self.ranges),
            "text_keys": text,
            "text_values": text,
            "text_visible": (places, self.text),
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        """velocity [branches, channels, frames, H, W]; with a stage also keys and values of range
        0, [layers, groups, tokens of a chunk, head_dim]."""
        return ("velocity",) if self.stage is None else ("velocity", "staged_keys", "staged_values")


class DenoiserGraph(nn.Module):
    """The whole denoiser as one graph; see :meth:`DenoiserShape.inputs` for what comes in.

    Its layers must be plain ones (not packed for a processor) to be exported.
    """

    def __init__(self, dit: VideoDiT, shape: DenoiserShape) -> None:
        super().__init__()
        self.dit, self.shape = dit, shape

    def forward(
        self,
        latents: Tensor,
        gates: Tensor,
        rope: Tensor,
        ring_keys: Tensor,
        ring_values: Tensor,
        visible: Tensor,
        text_keys: Tensor,
        text_values: Tensor,
        text_visible: Tensor,
    ) -> tuple[Tensor, ...]:
        own = RingAttention(self.shape, ring_keys, ring_values, visible)
        text = TextAttention(text_keys, text_values, text_visible)
        velocity = self.dit(latents, gates, rope, own, text)
        if self.shape.stage is None:
            return (velocity,)
        return velocity, torch.stack(own.staged_keys), torch.stack(own.staged_values)


class BlocksGraph(nn.Module):
    """Some layers of a large denoiser: hidden states in, hidden states out.

    Inputs as for :class:`DenoiserGraph`, for these layers only, with ``hidden``
    [branches, ranges, tokens of a chunk, D] in the working dtype instead of ``latents``; outputs
    ``hidden`` and, with a stage, keys and values of range 0 of these layers.
    """

    def __init__(self, dit: VideoDiT, shape: DenoiserShape, layers: range) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(dit.blocks()[layers.start : layers.stop])
        self.shape, self.first = shape, layers.start

    def forward(
        self,
        hidden: Tensor,
        gates: Tensor,
        rope: Tensor,
        ring_keys: Tensor,
        ring_values: Tensor,
        visible: Tensor,
        text_keys: Tensor,
        text_values: Tensor,
        text_visible: Tensor,
    ) -> tuple[Tensor, ...]:
        own = RingAttention(self.shape, ring_keys, ring_values, visible, self.first)
        text = TextAttention(text_keys, text_values, text_visible, self.first)
        for place, block in enumerate(self.blocks):
            hidden = block(hidden, gates[place], rope, own, text)
        if self.shape.stage is None:
            return (hidden,)
        return hidden, torch.stack(own.staged_keys), torch.stack(own.staged_values)


class EmbedGraph(nn.Module):
    """Latents [1, channels, frames, H, W] float32 -> hidden [branches, ranges, n, D]."""

    def __init__(self, dit: VideoDiT, shape: DenoiserShape) -> None:
        super().__init__()
        self.dit, self.shape = dit, shape

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.dit.embed(latents, self.shape.ranges)
        return hidden.expand(self.shape.branches, *hidden.shape[1:])


class ReadOutGraph(nn.Module):
    """Hidden [branches, ranges, n, D] -> velocity [branches, channels, frames, H, W] float32."""

    def __init__(self, dit: VideoDiT, shape: DenoiserShape) -> None:
        super().__init__()
        self.dit = dit
        self.size = torch.Size(shape.inputs(dit.config)["latents"])

    def forward(self, hidden: Tensor) -> Tensor:
        return self.dit.read_out(hidden, self.size)


class DecoderGraph(nn.Module):
    """The auto-encoder's decoder, of a whole chunk or of one tile.

    latents [1, Z, T, h, w] float32, unscaled -> "pixels": finished pictures [1, 4T, H, W, 3] uint8
    when ``finished``, else [1, 3, 4T, H, W] float32 about [-1, 1] for blending with other tiles.
    """

    def __init__(self, vae: ViTVAE, *, finished: bool) -> None:
        super().__init__()
        self.vae, self.finished = vae, finished

    def forward(self, latents: Tensor) -> Tensor:
        if self.finished:
            return self.vae.decode_pixels(latents)
        return self.vae.decode(latents)


class RingAttention:
    """Self-attention over the ring and the call's own tokens, told by a bias who sees what."""

    def __init__(
        self, shape: DenoiserShape, keys: Tensor, values: Tensor, visible: Tensor, first: int = 0
    ) -> None:
        self.shape, self.keys, self.values, self.first = shape, keys, values, first
        n, ranges, chunks = shape.cache.tokens, shape.ranges, shape.slots + shape.ranges
        wide = visible[:, :, None, :, None].expand(-1, -1, n, -1, n)
        self.bias = wide.reshape(shape.branches, 1, ranges * n, chunks * n)
        self.staged_keys: list[Tensor] = []
        self.staged_values: list[Tensor] = []

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries [B, S, heads, d], keys and values [B, S, groups, d] -> [B, S, heads, d]."""
        own_keys, own_values = keys.transpose(1, 2), values.transpose(1, 2)
        stage, n = self.shape.stage, self.shape.cache.tokens
        if stage is not None:
            self.staged_keys.append(own_keys[stage, :, :n])
            self.staged_values.append(own_values[stage, :, :n])
        here = layer - self.first
        return biased_attention(
            queries,
            torch.cat((self._history(self.keys[here]), own_keys), dim=2),
            torch.cat((self._history(self.values[here]), own_values), dim=2),
            self.bias,
        )

    def _history(self, ring: Tensor) -> Tensor:
        """[slots, groups, n, d] -> [branches, groups, slots * n, d]."""
        lined = ring.transpose(0, 1).flatten(1, 2)
        return lined[None].expand(self.shape.branches, -1, -1, -1)


class TextAttention:
    """Cross-attention of every range to its own prompt, padded to the room."""

    def __init__(self, keys: Tensor, values: Tensor, visible: Tensor, first: int = 0) -> None:
        self.keys, self.values, self.first = keys, values, first
        self.bias = visible[:, None, None, :]

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        """queries [B, R, n, heads, d] -> [B, R, n, heads, d]."""
        here = layer - self.first
        flat = queries.flatten(0, 1)
        found = biased_attention(flat, self.keys[here], self.values[here], self.bias)
        out: Tensor = found.unflatten(0, queries.shape[:2])
        return out


def biased_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """queries [B, S, heads, d], keys, values [B, groups, K, d], bias [B, 1, S or 1, K]."""
    groups, tokens = keys.shape[1], queries.shape[1]
    folded = fold_groups(queries, groups)
    if bias.shape[2] > 1:
        bias = bias.repeat(1, 1, queries.shape[2] // groups, 1)
    out = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias.to(queries.dtype))
    return unfold_groups(out, tokens)


def examples(
    sizes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, seed: int = 0
) -> dict[str, Tensor]:
    """Inputs to trace and compare a graph with: noise, and everything may be seen.

    The ring, prompts and hidden states are in the working dtype, the others in float32.
    """
    source = torch.Generator().manual_seed(seed)
    working = ("hidden", "ring_keys", "ring_values", "text_keys", "text_values")

    def make() -> Iterator[tuple[str, Tensor]]:
        for name, size in sizes.items():
            if name in ("visible", "text_visible"):
                yield name, torch.zeros(size)
            else:
                noise = torch.randn(size, generator=source)
                yield name, noise.to(dtype) if name in working else noise

    return dict(make())
