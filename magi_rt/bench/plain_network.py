"""The denoiser the plain way, as the published code runs it: everything again in every call.

Text keys and values are computed per call and layer, gates per call and layer, the rotary table
for the whole history in every call, and the history of keys and values is one growing tensor per
layer that is joined with the call's own entries in every layer of every call.

A reference to measure against and to compare with; the runtime does not use it. It reads the
weights of a :class:`VideoDiT` and shares none of the ways that save work.

Letters in shapes: N batch, R ranges (chunks of the call), n tokens per range, S = R * n, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.dit_block import HEAD_GROUPS, DiTBlock, LayerNorm, ParallelAttention
from magi_rt.models.fp8 import PerTensorFp8Linear
from magi_rt.models.rotary import rotate


@dataclass(frozen=True)
class PlainCall:
    """One forward call.

    latents: [N, channels, R * chunk_width, H, W] float32.
    times: [N, R] float32.
    texts: caption rows [tokens, caption_channels] of every range of every batch item.
    drop: the modulation row, True for "text dropped".
    first_chunk: absolute number of range 0; so many finished chunks lie before it.
    widths: per range, how many chunks it may see, itself included.
    step_code: the step size told to distilled models.
    remember: range 0 is a finished chunk whose keys and values join the history.
    """

    latents: Tensor
    times: Tensor
    texts: Sequence[Sequence[Tensor]]
    drop: bool
    first_chunk: int
    widths: Sequence[int]
    step_code: float | None = None
    remember: bool = False


class PlainDenoiser:
    """Calls of one stream; holds its whole history, [tokens, groups, 2d] per layer.

    Raises:
        OptionError: the weights are quantised, which this reference does not compute.
    """

    def __init__(self, dit: VideoDiT, chunk_width: int) -> None:
        if any(isinstance(module, PerTensorFp8Linear) for module in dit.modules()):
            raise OptionError(
                "the plain implementation computes no quantised models; add --no-plain",
                field="model",
            )
        self.dit, self.chunk_width = dit, chunk_width
        attention = dit.blocks()[0].self_attention
        empty = torch.empty(
            0, attention.groups, 2 * attention.dim,
            dtype=dit.working_dtype, device=dit.rope.bands.device,
        )  # fmt: skip
        self.history = [empty] * len(dit.blocks())

    @torch.inference_mode()
    def velocity(self, call: PlainCall) -> Tensor:
        """[N, channels, T, H, W] float32; joins a finished chunk to the history when told so."""
        dit, ranges = self.dit, call.times.shape[1]
        hidden = dit.embed(call.latents, ranges)
        condition = dit.condition(call.times, call.drop, call.step_code)
        rope = self._rope(call)
        texts = [[dit.embed_text(rows) for rows in item] for item in call.texts]
        for layer, block in enumerate(dit.blocks()):
            own, text = self._attend(layer, block, hidden, rope, texts, call)
            gates = _gates(block, condition)
            hidden = _finish(block, hidden, _project(block.self_attention, own, text), gates)
        return dit.read_out(hidden, call.latents.shape)

    def _rope(self, call: PlainCall) -> Tensor:
        """The table of history and call, cut down to the call: [S, 2m]."""
        frames, height, width = call.latents.shape[2:]
        before = call.first_chunk * self.chunk_width
        whole = self.dit.rope_table(0, before + frames, height, width)
        return whole[len(whole) // (before + frames) * before :]

    def _attend(
        self,
        layer: int,
        block: DiTBlock,
        hidden: Tensor,
        rope: Tensor,
        texts: list[list[Tensor]],
        call: PlainCall,
    ) -> tuple[Tensor, Tensor]:
        """Outputs of self- and cross-attention, [N, R, n, heads, d] each."""
        attention, n = block.self_attention, hidden.shape[2]
        linear = attention.linear_qkv
        normed = _norm(linear.layer_norm, hidden).flatten(1, 2)
        heads = (attention.heads, attention.dim)
        q = _linear(linear.q, normed).unflatten(-1, heads)
        k = _linear(linear.k, normed).unflatten(-1, (attention.groups, -1))
        v = _linear(linear.v, normed).unflatten(-1, (attention.groups, -1))
        q = rotate(_norm(attention.q_layernorm, q.float()), rope).to(v.dtype)
        k = rotate(_norm(attention.k_layernorm, k.float()), rope).to(v.dtype)
        qx = _linear(linear.qx, normed).unflatten(-1, heads)
        qx = _norm(attention.q_layernorm_xattn, qx).unflatten(1, (-1, n))
        seen = self._seen(layer, torch.cat((k, v), dim=-1), n, call)
        own = _self_attention(q.unflatten(1, (-1, n)), seen, n, call)
        text = [
            torch.stack([_cross_attention(attention, *pair) for pair in zip(*item, strict=True)])
            for item in zip(qx, texts, strict=True)
        ]
        return own, torch.stack(text)

    def _seen(self, layer: int, entries: Tensor, n: int, call: PlainCall) -> Tensor:
        """The history, then the entries of the call: [N, (first_chunk + R) * n, groups, 2d]."""
        before = self.history[layer][: call.first_chunk * n]
        whole = torch.cat((before.expand(len(entries), *before.shape), entries), dim=1)
        if call.remember:
            self.history[layer] = whole[0, : (call.first_chunk + 1) * n].clone()
        return whole


def _self_attention(queries: Tensor, seen: Tensor, n: int, call: PlainCall) -> Tensor:
    """queries [N, R, n, heads, d], every range over its own run of the keys seen."""
    parts = []
    for j, width in enumerate(call.widths):
        stop = call.first_chunk + j + 1
        keys, values = seen[:, max(0, stop - width) * n : stop * n].chunk(2, dim=-1)
        parts.append(_attention(queries[:, j], keys, values))
    return torch.stack(parts, dim=1)


def _cross_attention(attention: ParallelAttention, queries: Tensor, text: Tensor) -> Tensor:
    """queries [n, heads, d] over the embedded rows [tokens, D] of one prompt."""
    pairs = _linear(attention.linear_kv_xattn, text).unflatten(-1, (attention.groups, -1))
    keys, values = pairs.chunk(2, dim=-1)
    keys = _norm(attention.k_layernorm_xattn, keys)
    return _attention(queries[None], keys[None], values[None])[0]


def _attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[N, S, heads, d] over [N, K, groups, d] -> [N, S, heads, d]."""
    out = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), enable_gqa=True
    )
    return out.transpose(1, 2)


def _project(attention: ParallelAttention, own: Tensor, text: Tensor) -> Tensor:
    """Both outputs joined in interleaved head groups, then the float32 product: [N, R, n, D]."""
    groups = [part.unflatten(-2, (HEAD_GROUPS, -1)) for part in (own, text)]
    joined = torch.stack(groups, dim=-3).flatten(-4)
    weight = attention.linear_proj.weight
    assert isinstance(weight, Tensor)
    return F.linear(joined.float(), weight.float())


def _gates(block: DiTBlock, condition: Tensor) -> tuple[Tensor, Tensor]:
    """Condition [N, R, D/4] -> the attention gate and the MLP gate, [N, R, 1, D] float32 each."""
    raw = _linear(block.ada_modulate_layer.proj[0], F.silu(condition)).float().tanh()
    first, second = raw.unsqueeze(2).chunk(2, dim=-1)
    return first, second


def _finish(block: DiTBlock, hidden: Tensor, out: Tensor, gates: tuple[Tensor, Tensor]) -> Tensor:
    """Gate, post-norm and residual of the attention, then the same of the MLP."""
    dtype = hidden.dtype
    hidden = (hidden.float() + _norm(block.self_attn_post_norm, out * gates[0])).to(dtype)
    inner = _linear(block.mlp.linear_fc1, _norm(block.mlp.layer_norm, hidden))
    if block.mlp.gated:
        gate, value = inner.chunk(2, dim=-1)
        inner = F.silu(gate) * value
    else:
        inner = F.gelu(inner)
    out = _linear(block.mlp.linear_fc2, inner).float() * gates[1]
    return (hidden.float() + _norm(block.mlp_post_norm, out)).to(dtype)


def _norm(norm: LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight + norm.offset, norm.bias, norm.eps)


def _linear(module: nn.Module, x: Tensor) -> Tensor:
    """The product with a layer's weight, by PyTorch's own function."""
    weight, bias = module.weight, getattr(module, "bias", None)
    assert isinstance(weight, Tensor)
    return F.linear(x, weight, bias)
