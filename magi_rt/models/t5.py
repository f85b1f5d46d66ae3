"""The encoder half of T5 v1.1 (Raffel et al. 2020; its gated GELU: Shazeer 2020).

Parameter names are those of the published checkpoints. Queries and keys are not scaled; positions
enter as biases of the attention, one table for all layers, which lies in the first one.

Letters in shapes: B texts, N tokens, E d_model, H heads, d d_kv.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.config import MOST_LAYERS
from magi_rt.errors import CheckpointError
from magi_rt.models.parameters import learned

ONLY = {"model_type": "t5", "feed_forward_proj": "gated-gelu"}
"""What a T5 v1.1 says of itself; the first T5 and its relatives compute otherwise."""


@dataclass(frozen=True)
class T5Config:
    """Sizes of the encoder, with the published key names.

    Attributes:
        d_kv: width of a head; the heads together need not be as wide as a row.
        d_ff: width of the feed-forward layers.
        relative_attention_num_buckets: rows of the position table, half for either direction.
        relative_attention_max_distance: tokens from which on all distances share one row.
        layer_norm_epsilon: added to the mean square.
    """

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_heads: int
    num_layers: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Reads the ``config.json`` of a T5 folder; keys of its decoder and of training are left.

        Raises:
            CheckpointError: it cannot be read, lacks a size, or describes another kind of model.
        """
        try:
            card = json.loads(path.read_text("utf-8"))
            kind = {key: card[key] for key in ONLY}
            sizes = {each.name: card[each.name] for each in fields(cls) if each.name in card}
            config = cls(**sizes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is not a readable T5 configuration ({error!r}); copy the whole "
                f"{path.parent.name} folder again",
                field="config.json",
            ) from error
        for key, value in kind.items():
            if value != ONLY[key]:
                raise CheckpointError(
                    f"{path} describes a model whose {key} is {value!r}; the text encoder must be "
                    f"a T5 v1.1, with {ONLY[key]!r}",
                    field=key,
                )
        config._check(path)
        return config

    def to_card(self) -> dict[str, Any]:
        """The content of a ``config.json``, as other readers of T5 folders want it."""
        roles = {"architectures": ["T5EncoderModel"], "is_encoder_decoder": False}
        ends = {"pad_token_id": 0, "eos_token_id": 1}
        return ONLY | roles | ends | {"dropout_rate": 0.0, "use_cache": False} | asdict(self)

    def _check(self, path: Path) -> None:
        limits: Mapping[str, float] = {"num_layers": MOST_LAYERS}
        for key, value in asdict(self).items():
            kinds = (int, float) if key == "layer_norm_epsilon" else (int,)
            most = limits.get(key, 2**24)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= most:
                raise CheckpointError(
                    f"{path} has a {key} of {value!r}; it must be above 0 and at most {most:g}",
                    field=key,
                )
        if self.relative_attention_num_buckets < 4 or self.relative_attention_num_buckets % 2:
            raise CheckpointError(
                f"{path} has {self.relative_attention_num_buckets} buckets of distances; an even "
                "number of at least 4 is needed",
                field="relative_attention_num_buckets",
            )
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 4:
            raise CheckpointError(
                f"{path} has a relative_attention_max_distance of "
                f"{self.relative_attention_max_distance}; it must be above a quarter of the "
                f"{self.relative_attention_num_buckets} buckets",
                field="relative_attention_max_distance",
            )


class T5Encoder(nn.Module):
    """Token numbers in, rows out; float32, without dropout."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = _Table(config.vocab_size, config.d_model, std=1.0)
        self.encoder = _Stack(config)

    @property
    def device(self) -> torch.device:
        return self.shared.weight.device

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Last hidden states, [B, N, E].

        Args:
            ids: [B, N] int64.
            mask: [B, N] bool, True for the tokens that may be looked at; None for all. Rows of a
                text without any are finite and mean nothing.
        """
        rows: Tensor = self.encoder(self.shared(ids), mask)
        return rows


def distance_buckets(length: int, config: T5Config, device: torch.device | None = None) -> Tensor:
    """The row of the position table for every query and key: [length, length] int64.

    Half the rows are for keys behind the query, half for those before it. Of each half, the nearer
    half have a distance of their own, and the others grow logarithmically to the longest.
    """
    half = config.relative_attention_num_buckets // 2
    exact = half // 2
    place = torch.arange(length, device=device)
    offset = place[None, :] - place[:, None]
    distance = offset.abs()
    growth = torch.log(distance.clamp(min=1).float() / exact)
    growth = growth / math.log(config.relative_attention_max_distance / exact)
    far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offset > 0)


class _Table(nn.Module):
    """Rows by number, as nn.Embedding, which draws values even where there are none."""

    def __init__(self, rows: int, width: int, std: float) -> None:
        super().__init__()
        self.weight = learned(rows, width, fill=lambda table: table.normal_(std=std))

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


def _matrix(width: int, out: int, std: float) -> nn.Linear:
    """A linear map without bias and with Mesh TensorFlow's values before training."""
    matrix = nn.Linear(width, out, bias=False)
    matrix.weight = learned(out, width, fill=lambda weight: weight.normal_(std=std))
    return matrix


class _SelfAttention(nn.Module):
    def __init__(self, config: T5Config, first: bool) -> None:
        super().__init__()
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q = _matrix(width, inner, std=(width * config.d_kv) ** -0.5)
        self.k = _matrix(width, inner, std=width**-0.5)
        self.v = _matrix(width, inner, std=width**-0.5)
        self.o = _matrix(inner, width, std=inner**-0.5)
        if first:
            rows = config.relative_attention_num_buckets
            self.relative_attention_bias = _Table(rows, config.num_heads, std=width**-0.5)

    def forward(self, rows: Tensor, bias: Tensor) -> Tensor:
        """[B, N, E] and what is added to the scores, [B or 1, H, N, N]."""
        q, k, v = (
            part(rows).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        seen = (q @ k.transpose(-1, -2) + bias).softmax(dim=-1) @ v
        out: Tensor = self.o(seen.transpose(1, 2).flatten(2))
        return out


class _AttentionLayer(nn.Module):
    def __init__(self, config: T5Config, first: bool) -> None:
        super().__init__()
        self.SelfAttention = _SelfAttention(config, first)
        self.layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, rows: Tensor, bias: Tensor) -> Tensor:
        out: Tensor = rows + self.SelfAttention(self.layer_norm(rows), bias)
        return out


class _GatedGelu(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        width, inner = config.d_model, config.d_ff
        self.wi_0 = _matrix(width, inner, std=width**-0.5)
        self.wi_1 = _matrix(width, inner, std=width**-0.5)
        self.wo = _matrix(inner, width, std=inner**-0.5)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.wo(F.gelu(self.wi_0(rows), approximate="tanh") * self.wi_1(rows))
        return out


class _FeedForwardLayer(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = _GatedGelu(config)
        self.layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = rows + self.DenseReluDense(self.layer_norm(rows))
        return out


class _Block(nn.Module):
    def __init__(self, config: T5Config, first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([_AttentionLayer(config, first), _FeedForwardLayer(config)])

    def forward(self, rows: Tensor, bias: Tensor) -> Tensor:
        out: Tensor = self.layer[1](self.layer[0](rows, bias))
        return out


class _Stack(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.block = nn.ModuleList(_Block(config, layer == 0) for layer in range(config.num_layers))
        self.final_layer_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, rows: Tensor, mask: Tensor | None) -> Tensor:
        bias = self._bias(rows.shape[1], rows.device)
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], torch.finfo(bias.dtype).min)
        for block in self.block:
            rows = block(rows, bias)
        out: Tensor = self.final_layer_norm(rows)
        return out

    def _bias(self, length: int, device: torch.device) -> Tensor:
        """The position biases of all heads, [1, H, N, N]."""
        first: Any = self.block[0]
        table = first.layer[0].SelfAttention.relative_attention_bias
        biases: Tensor = table(distance_buckets(length, self.config, device))
        return biases.permute(2, 0, 1)[None]
