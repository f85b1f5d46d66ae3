"""The networks again, written for runtimes on processors: fewer and larger operations.

A small world's call is a thousand small operations, and a runtime's cost for each adds up. Here the
projections that read the same rows are one product, norms of queries and keys are one, the heads'
interleaving is moved into the weights, and the history comes laid out as attention reads it. What
is computed is what :class:`magi_rt.models.dit.VideoDiT` computes in float32.

With bfloat16 products only the operands of matrix products are rounded, attention's among them;
hidden states, norms and what lasts in memory stay float32, which is closer to float32 than a
network in bfloat16 at the same speed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.config import ModelConfig
from magi_rt.export.graphs import DenoiserShape
from magi_rt.models.dit import VideoDiT
from magi_rt.models.dit_block import HEAD_GROUPS, DiTBlock, LayerNorm


@dataclass(frozen=True)
class LeanShape(DenoiserShape):
    """As :class:`DenoiserShape`, but the history is laid out at ``places``, each for one chunk.

    No call sees all of the ring: the slot that is written next, or the one that falls out with it,
    is nobody's.
    """

    places: int = 0

    @classmethod
    def of(cls, shape: DenoiserShape, places: int) -> LeanShape:
        given = {each.name: getattr(shape, each.name) for each in fields(DenoiserShape)}
        return cls(**given, places=places)

    @property
    def slots(self) -> int:
        """Chunks of history that the graph is given."""
        return self.places

    @property
    def name(self) -> str:
        return f"lean-{super().name}-{self.places}"


class Product(nn.Module):
    """x [..., in] -> [..., out] float32, its operands rounded to a number format first."""

    def __init__(self, weight: Tensor, dtype: torch.dtype, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.linear(x.to(self.weight.dtype), self.weight).float()
        return out if self.bias is None else out + self.bias


class Norm(nn.Module):
    """A layer norm over the last axis whose gain is added up."""

    def __init__(self, gain: Tensor, bias: Tensor, size: int, eps: float) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.register_buffer("gain", gain.detach().float())
        self.register_buffer("bias", bias.detach().float())

    gain: Tensor
    bias: Tensor

    @classmethod
    def of(cls, norm: LayerNorm) -> Norm:
        return cls(norm.weight + norm.offset, norm.bias, norm.weight.numel(), norm.eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.size,), self.gain, self.bias, self.eps)


class CentredNorm(nn.Module):
    """A layer norm over the last axis of what is centred already, see :func:`centred`."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.size, self.eps = size, eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.size,), eps=self.eps)


class LeanBlock(nn.Module):
    """One block of the denoiser; shapes as in ``models/dit_block.py``, S = R * n tokens."""

    def __init__(self, block: DiTBlock, shape: LeanShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        own = block.self_attention
        self.heads, self.groups, self.dim = own.heads, own.groups, own.dim
        qkv = own.linear_qkv
        self.before = Norm.of(qkv.layer_norm)
        normed = [centred(_weight(each), self.dim) for each in (qkv.q, qkv.k, qkv.qx)]
        self.qkv = Product(torch.cat((*normed, _weight(qkv.v))), dtype)
        norms = (own.q_layernorm, own.k_layernorm, own.q_layernorm_xattn)
        counts = (self.heads, self.groups, self.heads)
        gains = [(norm.weight + 1).expand(n, -1) for norm, n in zip(norms, counts, strict=True)]
        biases = [norm.bias.expand(n, -1) for norm, n in zip(norms, counts, strict=True)]
        self.head_norm = CentredNorm(self.dim, own.q_layernorm.eps)
        self.register_buffer("head_gain", torch.cat(gains).detach().float())
        self.register_buffer("head_bias", torch.cat(biases).detach().float())
        self.project = Product(_own_then_text(_weight(own.linear_proj)), dtype)
        self.after = Norm.of(block.self_attn_post_norm)
        self.mlp_before, self.mlp_after = (
            Norm.of(block.mlp.layer_norm),
            Norm.of(block.mlp_post_norm),
        )
        self.gated = block.mlp.gated
        self.fc1 = Product(_weight(block.mlp.linear_fc1), dtype)
        self.fc2 = Product(_weight(block.mlp.linear_fc2), dtype)

    head_gain: Tensor
    head_bias: Tensor

    def forward(
        self,
        hidden: Tensor,
        gates: tuple[Tensor, Tensor],
        turn: tuple[Tensor, Tensor],
        history: tuple[Tensor, Tensor],
        masks: list[Tensor],
        text: tuple[Tensor, Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """hidden [B, S, D] -> hidden, and the call's own keys and values [B, S, groups, d]."""
        heads, groups = self.heads, self.groups
        flat = self.qkv(self.before(hidden)).unflatten(2, (2 * (heads + groups), self.dim))
        normed = self.head_norm(flat[:, :, : 2 * heads + groups]) * self.head_gain + self.head_bias
        turned = _turn(normed[:, :, : heads + groups], *turn)
        keys, values = turned[:, :, heads:], flat[:, :, 2 * heads + groups :]
        own = self._own(turned[:, :, :heads], keys, values, history, masks)
        told = self._told(normed[:, :, heads + groups :], text)
        mixed = torch.cat((own, told), dim=1).transpose(1, 2).flatten(2)
        hidden = hidden + self.after(self.project(mixed) * gates[0])
        inner = self.fc1(self.mlp_before(hidden))
        if self.gated:
            gate, value = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * value
        else:
            inner = F.gelu(inner)
        return hidden + self.mlp_after(self.fc2(inner) * gates[1]), keys, values

    def _own(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        history: tuple[Tensor, Tensor],
        masks: list[Tensor],
    ) -> Tensor:
        """-> [B, heads, S, d]; every range asks the history and the call up to itself."""
        shape, n = self.shape, self.shape.cache.tokens
        batch = (shape.branches, -1, -1, -1)
        all_keys = torch.cat((history[0].expand(batch), keys.transpose(1, 2)), dim=2)
        all_values = torch.cat((history[1].expand(batch), values.transpose(1, 2)), dim=2)
        parts = []
        for place, mask in enumerate(masks):
            end = (shape.slots + place + 1) * n
            asked = queries[:, place * n : (place + 1) * n].transpose(1, 2)
            folded = asked.reshape(shape.branches, self.groups, -1, self.dim)
            found = self._attend(folded, all_keys[:, :, :end], all_values[:, :, :end], mask)
            parts.append(found.reshape(shape.branches, self.heads, n, self.dim))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _told(self, queries: Tensor, text: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """-> [B, heads, S, d]; every range asks its own prompt."""
        shape, n = self.shape, self.shape.cache.tokens
        places = shape.branches * shape.ranges
        asked = queries.reshape(places, n, self.heads, self.dim).transpose(1, 2)
        folded = asked.reshape(places, self.groups, -1, self.dim)
        found = self._attend(folded, *text)
        split = found.reshape(shape.branches, shape.ranges, self.heads, n, self.dim)
        return split.transpose(1, 2).flatten(2, 3)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        q, k, v, bias = (each.to(self.dtype) for each in (queries, keys, values, mask))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).float()


class LeanDenoiser(nn.Module):
    """The whole denoiser.

    Inputs are those of ``DenoiserGraph`` but for the history, [layers, 1, groups, places * n, d],
    and for ``visible``, which is over places.
    Outputs: velocity, and with a stage the new keys and values [layers, groups, n, d].
    """

    def __init__(self, dit: VideoDiT, shape: LeanShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape, self.config = shape, dit.config
        self.embed = Product(dit.x_embedder.weight.flatten(1), torch.float32)
        self.layers = nn.ModuleList(LeanBlock(block, shape, dtype) for block in dit.blocks())
        self.final_norm = Norm.of(dit.videodit_blocks.final_layernorm)
        self.final = Product(dit.final_linear.linear.weight, torch.float32)

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
        shape = self.shape
        hidden = self._embed(latents)
        masks = [
            visible[:, place, : shape.slots + place + 1, None]
            .expand(-1, -1, shape.cache.tokens)
            .flatten(1)[:, None, None]
            for place in range(shape.ranges)
        ]
        turn, text_mask = _tables(rope, self.config.head_dim), text_visible[:, None, None]
        keys, values = [], []
        for place, block in enumerate(self.layers):
            pair = (self._gate(gates[place, :, :, 0]), self._gate(gates[place, :, :, 1]))
            history = (ring_keys[place], ring_values[place])
            text = (text_keys[place], text_values[place], text_mask)
            hidden, new_keys, new_values = block(hidden, pair, turn, history, masks, text)
            keys.append(new_keys)
            values.append(new_values)
        velocity = self._read_out(hidden)
        if shape.stage is None:
            return (velocity,)
        first, n = shape.stage, shape.cache.tokens
        staged = [
            torch.stack([x[first, :n] for x in each]).transpose(1, 2) for each in (keys, values)
        ]
        return velocity, *staged

    def _gate(self, gate: Tensor) -> Tensor:
        """[B, R, D] -> [B, 1, D], or [B, S, D] where ranges differ."""
        if self.shape.ranges == 1:
            return gate
        return gate[:, :, None].expand(-1, -1, self.shape.cache.tokens, -1).flatten(1, 2)

    def _embed(self, latents: Tensor) -> Tensor:
        x = latents * self.config.x_rescale_factor
        if self.config.half_channel_vae:
            x = torch.cat((x, x), dim=1)
        p, shape = self.config.patch_size, self.shape
        x = x.unflatten(4, (-1, p)).unflatten(3, (-1, p))
        patches = x.permute(0, 2, 3, 5, 1, 4, 6).reshape(1, shape.tokens, -1)
        tokens: Tensor = self.embed(patches)
        return tokens.expand(shape.branches, -1, -1)

    def _read_out(self, hidden: Tensor) -> Tensor:
        shape, p = self.shape, self.config.patch_size
        flat: Tensor = self.final(self.final_norm(hidden))
        grid = (shape.branches, -1, shape.height // p, shape.width // p, p, p)
        out = flat.reshape(*grid, flat.shape[-1] // p**2).permute(0, 6, 1, 2, 4, 3, 5)
        pictures = out.flatten(5, 6).flatten(3, 4)
        return pictures[:, : self.config.latent_channels] / self.config.x_rescale_factor


def lean_sizes(config: ModelConfig, shape: LeanShape) -> dict[str, tuple[int, ...]]:
    """Names and sizes of a :class:`LeanDenoiser`'s inputs, in order; all are float32."""
    sizes, cache = shape.inputs(config), shape.cache
    line = (cache.layers, 1, cache.groups, shape.slots * cache.tokens, cache.head_dim)
    return {**sizes, "ring_keys": line, "ring_values": line}


def _tables(rope: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Factors of every channel, [S, 1, d] each: of itself, and of the one it turns with."""
    sin, cos = rope[:, None].chunk(2, dim=-1)
    rest = torch.zeros(rope.shape[0], 1, dim - 2 * sin.shape[-1])
    return torch.cat((cos, cos, rest + 1), dim=-1), torch.cat((-sin, sin, rest), dim=-1)


def _turn(x: Tensor, itself: Tensor, other: Tensor) -> Tensor:
    """x [B, S, heads, d] turned in pairs (``models/rotary.py``)."""
    m = 3 * (x.shape[-1] // 8)
    swapped = torch.cat((x[..., m : 2 * m], x[..., :m], x[..., 2 * m :]), dim=-1)
    return x * itself + swapped * other


def centred(rows: Tensor, dim: int) -> Tensor:
    """Rows [heads * dim, ...] of a projection less the mean of their head's.

    Every head of the projection has mean zero then, so its layer norm needs no mean.
    """
    split = rows.detach().double().unflatten(0, (-1, dim))
    out: Tensor = (split - split.mean(dim=1, keepdim=True)).flatten(0, 1).to(rows.dtype)
    return out


def _own_then_text(weight: Tensor) -> Tensor:
    """Columns of the output projection, from interleaved head groups to own heads, then text."""
    split = weight.unflatten(1, (HEAD_GROUPS, 2, -1))
    out: Tensor = split.transpose(1, 2).flatten(1)
    return out


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
