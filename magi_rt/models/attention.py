"""Attention of one range of queries over one contiguous range of keys.

Every attention of the model has this form, so no mask is ever needed: a range sees a contiguous
run of cached and current tokens. Grouped heads are folded into the query axis instead of
repeating keys, which is exact because nothing is masked.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""queries [B, S, heads, d], keys and values [B, groups, K, d] -> [B, S, heads, d]"""

WRITTEN_OUT_WEIGHTS = 2**22  # attention weights of one call; 16 MiB in float32
FEW_KEYS = 48  # PyTorch's softmax over so short a last axis is slow; over the first it is not


def fold_groups(queries: Tensor, groups: int) -> Tensor:
    """[B, S, heads, d] -> [B, groups, (heads / groups) * S, d]."""
    batch, tokens, heads, dim = queries.shape
    per_group = queries.reshape(batch, tokens, groups, heads // groups, dim)
    return per_group.permute(0, 2, 3, 1, 4).reshape(batch, groups, -1, dim)


def unfold_groups(folded: Tensor, tokens: int) -> Tensor:
    """The inverse of :func:`fold_groups`: -> [B, S, heads, d]."""
    batch, groups, _, dim = folded.shape
    per_group = folded.reshape(batch, groups, -1, tokens, dim)
    return per_group.permute(0, 3, 1, 2, 4).reshape(batch, tokens, -1, dim)


def sdpa_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """PyTorch's scaled dot product attention, on every device."""
    folded = fold_groups(queries, keys.shape[1])
    out = F.scaled_dot_product_attention(folded, keys, values)
    return unfold_groups(out, queries.shape[1])


def matmul_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Two matrix products around a softmax: the definition, written out.

    On CPUs it beats PyTorch's fused form at the sizes of a small world, by about two in bfloat16.
    """
    folded = fold_groups(queries, keys.shape[1]) * (1 / math.sqrt(queries.shape[-1]))
    if keys.shape[2] < FEW_KEYS:
        columns = (keys @ folded.transpose(-1, -2)).softmax(dim=-2, dtype=torch.float32)
        weights = columns.transpose(-1, -2)
    else:
        weights = (folded @ keys.transpose(-1, -2)).softmax(dim=-1, dtype=torch.float32)
    return unfold_groups(weights.to(values.dtype) @ values, queries.shape[1])


def cpu_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The written-out form while its weights fit the processor's caches, else the fused form."""
    weights = queries.shape[0] * queries.shape[1] * queries.shape[2] * keys.shape[2]
    small = weights <= WRITTEN_OUT_WEIGHTS
    return (matmul_attention if small else sdpa_attention)(queries, keys, values)


def flash_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """FlashAttention's own kernel; CUDA tensors in float16 or bfloat16."""
    kernel = importlib.import_module("flash_attn").flash_attn_func
    out: Tensor = kernel(queries, keys.transpose(1, 2), values.transpose(1, 2))
    return out


@cache
def has_flash_attention() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def choose_attention(device: torch.device, dtype: torch.dtype) -> Attention:
    """The fastest attention here that computes the same numbers within the dtype's rounding."""
    half = dtype in (torch.float16, torch.bfloat16)
    if device.type == "cuda" and half and has_flash_attention():
        return flash_attention
    if device.type == "cpu":
        return cpu_attention
    return sdpa_attention
