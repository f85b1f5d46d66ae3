"""One transformer block of the denoiser, and the small layers it is made of.

Self- and cross-attention read the same normalised input and share one output projection; the
timestep acts only through two output gates kept in [-1, 1]; every branch is normalised again
after its gate (paper 2.2.2). Precision: the hidden state is in the working dtype, and the parts
marked float32 below are computed in float32 whatever that dtype is.

Letters in shapes: B branches, R ranges (chunks of this call), n tokens per range, D hidden size.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.config import ModelConfig
from magi_rt.models.fp8 import PerChannelFp8Linear, PerTensorFp8Linear
from magi_rt.models.rotary import rotate

HEAD_GROUPS = 8  # self and cross outputs are interleaved in this many head groups


class SelfAttend(Protocol):
    """queries [B, S, heads, d], keys and values [B, S, groups, d] -> [B, S, heads, d]."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor: ...


class CrossAttend(Protocol):
    """queries [B, R, n, heads, d] of all ranges -> [B, R, n, heads, d]."""

    def __call__(self, layer: int, queries: Tensor) -> Tensor: ...


class LayerNorm(nn.Module):
    """LayerNorm whose gain is ``weight + offset``; the zero-centred form has offset 1."""

    def __init__(self, size: int, eps: float, offset: float = 0.0) -> None:
        super().__init__()
        self.eps, self.offset = eps, offset
        self.weight = nn.Parameter(torch.full((size,), 1.0 - offset))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        gain = self.weight + self.offset if self.offset else self.weight
        return F.layer_norm(x, (x.shape[-1],), gain, self.bias, self.eps)


class FullSumLinear(nn.Linear):
    """A product without bias whose sums are not rounded: float32 results, also of 16-bit weights.

    It is a module, so that what it is given can be watched like every other layer's.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] float32."""
        if self.weight.dtype == torch.float32:
            return super().forward(x)
        return float32_product(x, self.weight)


class Modulation(nn.Module):
    """Condition -> the attention gate and the MLP gate."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(config.gate_hidden, 2 * config.hidden_size))

    def forward(self, condition: Tensor) -> Tensor:
        """[..., D/4] working dtype -> [..., 2, D] float32 in [-1, 1]."""
        raw = self.proj(F.silu(condition)).float()
        out: Tensor = raw.tanh().unflatten(-1, (2, -1))
        return out


class QKVProjection(nn.Module):
    """The shared pre-norm and the four projections that read it."""

    def __init__(self, config: ModelConfig, quantised: bool) -> None:
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads * config.head_dim
        groups = config.num_query_groups * config.head_dim
        self.layer_norm = LayerNorm(width, config.layernorm_epsilon)
        self.q = _linear(config, width, heads, quantised)
        self.qx = _linear(config, width, heads, quantised)
        self.k = _linear(config, width, groups, quantised)
        self.v = _linear(config, width, groups, quantised)

    def forward(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """normed: [..., D] -> q, k, v and the cross-attention's q, each [..., heads * d]."""
        return self.q(normed), self.k(normed), self.v(normed), self.qx(normed)


class ParallelAttention(nn.Module):
    """Self-attention over the stream and cross-attention over the prompt, side by side.

    The quantised projections emit bfloat16 whatever the working dtype, so a quantised layer
    attends between bfloat16 numbers: its queries, keys, values and both outputs are rounded.
    """

    def __init__(self, config: ModelConfig, quantised: bool) -> None:
        super().__init__()
        width, dim, eps = config.hidden_size, config.head_dim, config.layernorm_epsilon
        self.heads, self.groups, self.dim = (
            config.num_attention_heads,
            config.num_query_groups,
            dim,
        )
        self.linear_qkv = QKVProjection(config, quantised)
        self.linear_kv_xattn = nn.Linear(width, 2 * self.groups * dim, bias=False)
        joined = 2 * self.heads * dim
        self.quantised = quantised
        self.linear_proj: nn.Module = (
            PerChannelFp8Linear(joined, width, working_dtype(config))
            if quantised
            else FullSumLinear(joined, width)
        )
        self.q_layernorm = LayerNorm(dim, eps, offset=1.0)
        self.k_layernorm = LayerNorm(dim, eps, offset=1.0)
        self.q_layernorm_xattn = LayerNorm(dim, eps, offset=1.0)
        self.k_layernorm_xattn = LayerNorm(dim, eps, offset=1.0)

    def text_keys_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """text: [..., tokens, D] working dtype -> keys, values [..., tokens, groups, d]."""
        joined = self.linear_kv_xattn(text).unflatten(-1, (self.groups, 2 * self.dim))
        keys, values = joined.chunk(2, dim=-1)
        return self.k_layernorm_xattn(keys), values

    def queries_keys_values(
        self, normed: Tensor, rope: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """normed: [B, S, D] -> q, k, v and the queries of the cross-attention.

        Queries are [B, S, heads, d], keys and values [B, S, groups, d]. q and k are rotated; their
        norm and rotation are float32.
        """
        heads = [
            self._emitted(each).unflatten(-1, (-1, self.dim)) for each in self.linear_qkv(normed)
        ]
        q, k, v, text_q = heads
        q = rotate(self.q_layernorm(q.float()), rope).to(v.dtype)
        k = rotate(self.k_layernorm(k.float()), rope).to(v.dtype)
        text_q = self.q_layernorm_xattn(text_q)
        return self._emitted(q), self._emitted(k), v, self._emitted(text_q)

    def _emitted(self, x: Tensor) -> Tensor:
        """x as the attention of a quantised layer emits it: bfloat16 numbers in x's dtype."""
        return x.to(torch.bfloat16).to(x.dtype) if self.quantised else x

    def project(self, own: Tensor, text: Tensor) -> Tensor:
        """Join both outputs [B, S, heads, d] in interleaved head groups -> [B, S, D] float32."""
        pair = torch.stack(
            (own.unflatten(2, (HEAD_GROUPS, -1)), text.unflatten(2, (HEAD_GROUPS, -1))), dim=3
        )
        out: Tensor = self.linear_proj(self._emitted(pair.flatten(2)))
        return out.float()


class MLP(nn.Module):
    """Pre-norm, then GELU (4.5B family) or a gated SiLU (24B family)."""

    def __init__(self, config: ModelConfig, quantised: bool) -> None:
        super().__init__()
        width, inner, self.gated = (
            config.hidden_size,
            config.ffn_hidden_size,
            config.gated_linear_unit,
        )
        self.layer_norm = LayerNorm(width, config.layernorm_epsilon)
        outputs = 2 * inner if self.gated else inner
        self.linear_fc1 = _linear(config, width, outputs, quantised)
        self.linear_fc2: nn.Module = (
            PerChannelFp8Linear(inner, width, working_dtype(config))
            if quantised
            else nn.Linear(inner, width, bias=False)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.linear_fc1(self.layer_norm(hidden))
        if self.gated:
            gate, value = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * value
        else:
            inner = F.gelu(inner)
        out: Tensor = self.linear_fc2(inner)
        return out


class DiTBlock(nn.Module):
    """hidden -> hidden; gate, then post-norm, then residual, for attention and for the MLP."""

    def __init__(self, config: ModelConfig, layer: int, quantised: bool) -> None:
        super().__init__()
        self.layer = layer
        width, eps = config.hidden_size, config.layernorm_epsilon
        self.ada_modulate_layer = Modulation(config)
        self.self_attention = ParallelAttention(config, quantised)
        self.self_attn_post_norm = LayerNorm(width, eps, offset=1.0)
        self.mlp = MLP(config, quantised)
        self.mlp_post_norm = LayerNorm(width, eps, offset=1.0)

    def forward(
        self,
        hidden: Tensor,
        gates: Tensor,
        rope: Tensor,
        self_attend: SelfAttend,
        cross_attend: CrossAttend,
    ) -> Tensor:
        """hidden: [B, R, n, D]; gates: [B, R, 2, D] float32; rope: [R * n, 2m] float32."""
        queries, keys, values, text_queries = self.before(hidden, rope)
        own = self_attend(self.layer, queries, keys, values)
        text = cross_attend(self.layer, text_queries.unflatten(1, hidden.shape[1:3]))
        return self.after(hidden, gates, own, text)

    def before(self, hidden: Tensor, rope: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What both attentions ask and offer, see ``ParallelAttention.queries_keys_values``."""
        attention = self.self_attention
        return attention.queries_keys_values(
            attention.linear_qkv.layer_norm(hidden).flatten(1, 2), rope
        )

    def after(self, hidden: Tensor, gates: Tensor, own: Tensor, text: Tensor) -> Tensor:
        """Both answers added to hidden, then the MLP.

        own: [B, S, heads, d]; text: [B, R, n, heads, d].
        """
        attention_gate, mlp_gate = gates.unsqueeze(2).unbind(3)
        out = self.self_attention.project(own, text.flatten(1, 2)).unflatten(1, hidden.shape[1:3])
        hidden = self._add(hidden, out * attention_gate, self.self_attn_post_norm)
        out = self.mlp(hidden).float()
        return self._add(hidden, out * mlp_gate, self.mlp_post_norm)

    @staticmethod
    def _add(hidden: Tensor, gated: Tensor, norm: LayerNorm) -> Tensor:
        """Normalise and add in float32, then back to the working dtype."""
        out: Tensor = (hidden.float() + norm(gated)).to(hidden.dtype)
        return out


def float32_product(x: Tensor, weight: Tensor) -> Tensor:
    """[..., in] by [out, in], both 16-bit, summed up and returned in float32: [..., out].

    Products of 16-bit numbers are exact in float32, so a GPU's 16-bit matrix product that does not
    round its result gives the same numbers, many times faster than float32 operands.
    """
    if x.device.type == "cuda" and not torch.is_grad_enabled():
        flat: Tensor = torch.mm(x.flatten(0, -2), weight.t(), out_dtype=torch.float32)
        return flat.reshape(*x.shape[:-1], -1)
    return F.linear(x.float(), weight.float())


def working_dtype(config: ModelConfig) -> torch.dtype:
    """The configured dtype of the hidden state."""
    return torch.float32 if config.params_dtype == "torch.float32" else torch.bfloat16


def _linear(config: ModelConfig, inputs: int, outputs: int, quantised: bool) -> nn.Module:
    if quantised:
        return PerTensorFp8Linear(inputs, outputs, working_dtype(config))
    return nn.Linear(inputs, outputs, bias=False)
