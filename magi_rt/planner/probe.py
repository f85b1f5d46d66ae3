"""The processor of this machine as a chip: one second of the model's own kind of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from magi_rt.free_memory import free_in_main
from magi_rt.planner.chips import CPU, Chip
from magi_rt.planner.work import Subject, forward

if TYPE_CHECKING:
    from torch import Tensor

PROBE_S = 1.0
TOKENS = 128
"""Most tokens that a probe works on, so that a large model's layer stays within the second."""

UNKNOWN_GIB = 2.0**20
"""Memory where it is not known: everything fits."""

SMALL = 36
"""Passes over the hidden state that a layer makes besides: norms, rotation, gates, copies."""


def this_cpu(subject: Subject, *, seconds: float = PROBE_S) -> Chip:
    """Measures one layer of the model's width, in float32, and takes its rate for all.

    Raises:
        ImportError: PyTorch is not installed.
    """
    rate, threads = _layer_rate(subject, seconds)
    return Chip(
        CPU, rate, rate, 0.0, 0.0, bandwidth=1e15, memory_gib=memory_gib() or UNKNOWN_GIB,
        share=1.0, decoder_share=1.0,
        source=f"{rate / 1e9:.0f} GFLOP/s in layers of this width, {threads} threads",
    )  # fmt: skip


def memory_gib() -> float | None:
    """Memory that is free now, GiB; all there is on macOS, ``None`` where no system tells."""
    free = free_in_main()
    return None if free is None else free / 2**30


def _layer_rate(subject: Subject, seconds: float) -> tuple[float, int]:
    """FLOP/s of one layer with its norms and its attention, and the threads it ran with."""
    import torch
    from torch.nn import functional as F

    product = _product()
    model, own = subject.config.model, subject.config.runtime
    tokens = min(TOKENS, subject.tokens(own.video_size_h, own.video_size_w))
    wide, heads = model.hidden_size, model.num_attention_heads
    inner = model.ffn_hidden_size * (2 if model.gated_linear_unit else 1)
    groups = model.num_query_groups * model.head_dim
    shapes = [(2 * wide + 2 * groups, wide), (wide, 2 * wide), (inner, wide)]
    shapes.append((wide, model.ffn_hidden_size))
    products = [product(torch.full(shape, 0.01)) for shape in shapes]
    hidden = torch.ones(tokens, wide)

    def layer() -> None:
        out = products[0](F.layer_norm(hidden, (wide,)))
        q = out[:, :wide].reshape(1, tokens, heads, -1).transpose(1, 2)
        seen = F.scaled_dot_product_attention(q, q, q).transpose(1, 2).reshape(tokens, -1)
        text = F.scaled_dot_product_attention(q, q, q).transpose(1, 2).reshape(tokens, -1)
        both = products[1](torch.cat((seen, text), dim=1))
        between = hidden + F.layer_norm(both * both, (wide,))
        up = F.gelu(products[2](F.layer_norm(between, (wide,))))
        down = products[3](up[:, : model.ffn_hidden_size])
        between.add_(F.layer_norm(down * down, (wide,)))
        for _ in range(SMALL):
            between.mul_(1.0)

    each = forward(model, tokens, 2, 0).total / model.num_layers
    with torch.inference_mode():
        layer()
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            layer()
            count += 1
        return count * each / (time.perf_counter() - begun), torch.get_num_threads()


def _product() -> Callable[[Tensor], Callable[[Tensor], Tensor]]:
    """How this build of PyTorch multiplies with a weight best: packed by oneDNN, where it can."""
    import torch
    from torch.nn import functional as F

    if not (
        torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    ):
        return lambda weight: lambda x: F.linear(x, weight)

    def packed(weight: Tensor) -> Callable[[Tensor], Tensor]:
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")

    return packed
