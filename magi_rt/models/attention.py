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

from magi_rt.errors import BackendError

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""queries [B, S, heads, d], keys and values [B, groups, K, d] -> [B, S, heads, d]"""

WRITTEN_OUT_WEIGHTS = 2**22  # attention weights of one call; 16 MiB in float32
SAGE_WIDTHS = (64, 128)
ATTENTIONS = ("auto", "sdpa", "sage")
"""What users can ask for; "sage" trades exact results for speed."""
KERNELS = {
    "flash_attn_interface": "flash_attn_func",
    "flash_attn": "flash_attn_func",
    "sageattention": "sageattn",
}
"""Package -> its function."""
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
    """FlashAttention 2; CUDA tensors in float16 or bfloat16, compute capability 8.0 or later."""
    return _flash("flash_attn", queries, keys, values)


def flash_attention_3(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """FlashAttention 3; CUDA tensors in float16 or bfloat16, compute capability 9.x only."""
    return _flash("flash_attn_interface", queries, keys, values)


def _flash(package: str, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    kernel = importlib.import_module(package).flash_attn_func
    found = kernel(queries, keys.transpose(1, 2), values.transpose(1, 2))
    out: Tensor = found[0] if isinstance(found, tuple) else found  # some releases add the sums
    return out


def sage_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """SageAttention: 8-bit products, so the numbers differ by about a hundredth. CUDA only.

    Its kernels know heads of 64 and 128 numbers; shorter ones are filled up with zeros.

    Raises:
        BackendError: heads are wider than ``SAGE_WIDTHS`` allow.
    """
    dim, folded = queries.shape[-1], fold_groups(queries, keys.shape[1])
    width = next((each for each in SAGE_WIDTHS if dim <= each), None)
    if width is None:
        raise BackendError(
            f"SageAttention computes heads of at most {SAGE_WIDTHS[-1]} numbers, these have {dim}; "
            "use attention='auto'",
            field="attention",
        )
    q, k, v = (F.pad(each, (0, width - dim)) for each in (folded, keys, values))
    kernel = importlib.import_module("sageattention").sageattn
    out: Tensor = kernel(q, k, v, tensor_layout="HND", is_causal=False, sm_scale=1 / math.sqrt(dim))
    return unfold_groups(out[..., :dim], queries.shape[1])


@cache
def has_package(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@cache
def refusal(package: str) -> str:
    """Why an installed kernel cannot be imported, "" when it can.

    A kernel built for another release of PyTorch is there and does not load.
    """
    try:
        getattr(importlib.import_module(package), KERNELS[package])
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        return " ".join(str(error).split())[:200] or repr(error)
    return ""


def _can_use(package: str) -> bool:
    return has_package(package) and not refusal(package)


def choose_attention(device: torch.device, dtype: torch.dtype, wish: str = "auto") -> Attention:
    """The fastest attention here that computes the same numbers within the dtype's rounding.

    Args:
        wish: one of ``ATTENTIONS``. "auto" never takes SageAttention, which changes results;
            "sdpa" is PyTorch's own on every device.

    Raises:
        BackendError: the wish is unknown, or cannot be had here.
    """
    if wish not in ATTENTIONS:
        raise BackendError(
            f"attention {wish!r} is unknown; use one of {', '.join(map(repr, ATTENTIONS))}",
            field="attention",
        )
    half = device.type == "cuda" and dtype in (torch.float16, torch.bfloat16)
    if wish == "sage":
        return _sage(device, dtype, half)
    if wish == "sdpa":
        return sdpa_attention
    capability = torch.cuda.get_device_capability(device) if half else (0, 0)
    if capability[0] == 9 and _can_use("flash_attn_interface"):
        return flash_attention_3
    if capability >= (8, 0) and _can_use("flash_attn"):
        return flash_attention
    return cpu_attention if device.type == "cpu" else sdpa_attention


def _sage(device: torch.device, dtype: torch.dtype, half: bool) -> Attention:
    if not half:
        raise BackendError(
            f"SageAttention runs on CUDA devices in bfloat16, not on {device} in "
            f"{str(dtype).removeprefix('torch.')}; use attention='auto'",
            field="attention",
        )
    if not has_package("sageattention"):
        raise BackendError(
            "SageAttention is not installed; pip install sageattention, or use attention='auto'",
            field="attention",
        )
    if why := refusal("sageattention"):
        raise BackendError(
            f"SageAttention cannot be imported ({why}); install a release for this PyTorch, or use "
            "attention='auto'",
            field="attention",
        )
    return sage_attention


def describe_attention(attention: Attention, wish: str = "auto") -> str:
    """A sentence on what attention computes, what that does to results, and what was passed over.

    Args:
        wish: what :func:`choose_attention` was asked for.
    """
    said: dict[Attention, str] = {
        flash_attention: "attention by FlashAttention 2",
        flash_attention_3: "attention by FlashAttention 3",
        sage_attention: "attention by SageAttention, whose 8-bit products change results slightly",
    }
    if attention is not sdpa_attention or wish != "auto":
        return said.get(attention, "attention by PyTorch")
    flash = [name for name in KERNELS if name.startswith("flash") and has_package(name)]
    passed = [f"{name} cannot be imported: {refusal(name)}" for name in flash if refusal(name)]
    return "; ".join(("attention by PyTorch", *passed))
