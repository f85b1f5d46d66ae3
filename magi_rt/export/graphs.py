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

        latents: [1, channels, frames, H, W], those outside the network.
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
            "latents": (1, config.latent_channels, frames, self.height, self.width),
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
    """Neighbouring layers of the denoiser, for calls of one branch with any number of ranges.

    The first layer takes latents and the last gives the velocity. Between two graphs pass hidden
    states, [1, ranges, tokens of a chunk, D] in the working dtype. Keys and values of range 0 are
    always given; they are for those who stage them. ``export/chain.py`` tells all sizes.

    Its layers must be plain ones (not packed for a processor) to be exported.
    """

    def __init__(self, dit: VideoDiT, shape: DenoiserShape, layers: range) -> None:
        super().__init__()
        self.shape, self.layers = shape, layers
        self.begins, self.ends = layers.start == 0, layers.stop == shape.cache.layers
        self.blocks = nn.ModuleList(dit.blocks()[layers.start : layers.stop])
        edges: list[nn.Module] = [dit.x_embedder] if self.begins else []
        last = [dit.videodit_blocks.final_layernorm, dit.final_linear] if self.ends else []
        self.edges = nn.ModuleList([*edges, *last])
        self._dit = (dit,)  # in a tuple, so that only the modules above are parts of the graph

    def forward(
        self,
        state: Tensor,
        gates: Tensor,
        rope: Tensor,
        ring_keys: Tensor,
        ring_values: Tensor,
        visible: Tensor,
        text_keys: Tensor,
        text_values: Tensor,
        text_visible: Tensor,
    ) -> tuple[Tensor, ...]:
        """state: latents or hidden states -> velocity or hidden states, staged keys and values."""
        (dit,), shape, first = self._dit, self.shape, self.layers.start
        own = RingAttention(shape.cache.tokens, ring_keys, ring_values, visible, first)
        text = TextAttention(text_keys, text_values, text_visible, first)
        ranges = gates.shape[2]
        hidden = dit.embed(state, ranges) if self.begins else state
        for place, block in enumerate(self.blocks):
            hidden = block(hidden, gates[place], rope, own, text)
        staged = torch.stack(own.staged_keys), torch.stack(own.staged_values)
        if not self.ends:
            return hidden, *staged
        frames = ranges * shape.cache.frames_per_chunk
        size = (1, dit.config.latent_channels, frames, shape.height, shape.width)
        return dit.read_out(hidden, torch.Size(size)), *staged


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
    """Self-attention over the ring and the call's own tokens, told by a bias who sees what.

    The ranges of a call stand beside each other as a batch: within one, all tokens see the same,
    so the bias is one row of keys for each and no table of tokens by tokens is ever laid out.
    """

    def __init__(
        self, tokens: int, keys: Tensor, values: Tensor, visible: Tensor, first: int = 0
    ) -> None:
        """visible: [1, ranges, slots + ranges]; tokens: of a chunk; first: number of layer 0."""
        self.tokens, self.keys, self.values, self.first = tokens, keys, values, first
        wide = visible[0, :, :, None].expand(-1, -1, tokens)
        self.bias = wide.flatten(1)[:, None, None]
        self.staged_keys: list[Tensor] = []
        self.staged_values: list[Tensor] = []

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries [1, S, heads, d], keys and values [1, S, groups, d] -> [1, S, heads, d]."""
        ranges, here = self.bias.shape[0], layer - self.first
        own_keys, own_values = keys[0].transpose(0, 1), values[0].transpose(0, 1)
        self.staged_keys.append(own_keys[:, : self.tokens])
        self.staged_values.append(own_values[:, : self.tokens])
        found = biased_attention(
            queries[0].unflatten(0, (ranges, self.tokens)),
            _beside(self.keys[here], own_keys, ranges),
            _beside(self.values[here], own_values, ranges),
            self.bias,
        )
        return found.flatten(0, 1)[None]


def _beside(ring: Tensor, own: Tensor, ranges: int) -> Tensor:
    """Ring [slots, groups, n, d] and own [groups, S, d] -> [ranges, groups, slots * n + S, d]."""
    joined = torch.cat((ring.transpose(0, 1).flatten(1, 2), own), dim=1)
    return joined[None].expand(ranges, -1, -1, -1)


class TextAttention:
    """Cross-attention of every range to its own prompt, padded to the room."""

    def __init__(self, keys: Tensor, values: Tensor, visible: Tensor, first: int = 0) -> None:
        self.keys, self.values, self.first = keys, values, first
        self.bias = visible[:, None, None]

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        """queries [1, ranges, n, heads, d] -> [1, ranges, n, heads, d]."""
        here = layer - self.first
        return biased_attention(queries[0], self.keys[here], self.values[here], self.bias)[None]


def biased_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """queries [R, n, heads, d], keys, values [R, groups, K, d], bias [R, 1, 1, K]."""
    folded = fold_groups(queries, keys.shape[1])
    out = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias.to(queries.dtype))
    return unfold_groups(out, queries.shape[1])


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
