"""8-bit layers for weights of one's own: SmoothQuant, in the two published forms.

Peaks of what each layer is given are recorded while the model makes a few chunks; from them and
the weights follow the scales. All layers but the first and the last are turned; within them the
projections q, qx, k, v, fc1 (one scale each; smoothing is folded into the norm before them) and
linear_proj, fc2 (a smoothing vector each).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.dit_block import DiTBlock, FullSumLinear, LayerNorm, working_dtype
from magi_rt.models.fp8 import FP8_MAX, Fp8Linear, PerChannelFp8Linear, PerTensorFp8Linear

ALPHA = 0.45
"""How much of the activations' peaks is moved into the weights (paper A.1: searched 0.4 to 0.6)."""

SMALLEST = 1e-5  # peaks below are taken for this: a channel that is always 0 has no scale

LAYERS = (
    *(f"self_attention.linear_qkv.{name}" for name in ("q", "qx", "k", "v")),
    "self_attention.linear_proj",
    "mlp.linear_fc1",
    "mlp.linear_fc2",
)
"""What becomes 8-bit in a block."""

Peaks = dict[str, Tensor]
"""Name of a linear layer inside the network -> [in] float32, the largest |x| of each channel."""


@contextmanager
def recorded_peaks(dit: VideoDiT) -> Iterator[Peaks]:
    """Yields peaks that fill while the network runs inside; more prompts and times, truer peaks.

    Raises:
        OptionError: the network is 8-bit already, or packed for a processor.
    """
    peaks: Peaks = {}

    def see(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found = inputs[0].detach().float().abs()
        found = found.reshape(-1, found.shape[-1]).amax(dim=0)
        peaks[name] = torch.maximum(peaks[name], found) if name in peaks else found

    hooks = [
        layer.register_forward_pre_hook(partial(see, name)) for name, layer in _layers(dit).items()
    ]
    try:
        yield peaks
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def quantise_layers(dit: VideoDiT, peaks: Peaks, alpha: float = ALPHA) -> int:
    """Turn the inner layers of a network into 8-bit ones, in place; returns how many linears.

    A network that is refused stays as it was.

    Raises:
        OptionError: alpha is not in 0..1, a layer was not seen while peaks were recorded, or the
            network is 8-bit already or packed for a processor.
    """
    if not 0.0 <= alpha <= 1.0:
        raise OptionError(f"alpha is {alpha}; it must be 0 to 1", field="alpha")
    names = list(_layers(dit))
    for name in names:
        if name not in peaks:
            raise OptionError(
                f"layer {name} was given nothing while peaks were recorded; "
                "run the model inside recorded_peaks",
                field="peaks",
            )
    for index, block in _inner(dit):
        seen = {name: peaks[_full(index, name)].clamp(min=SMALLEST) for name in LAYERS}
        _turn(block, seen, alpha, working_dtype(dit.config))
        block.self_attention.quantised = True
    return len(names)


def _inner(dit: VideoDiT) -> list[tuple[int, DiTBlock]]:
    return list(enumerate(dit.blocks()))[1:-1]


def _full(index: int, name: str) -> str:
    return f"videodit_blocks.layers.{index}.{name}"


def _layers(dit: VideoDiT) -> dict[str, nn.Linear]:
    """All that become 8-bit, by their names in the network."""
    return {
        _full(index, name): _linear(block.get_submodule(name))
        for index, block in _inner(dit)
        for name in LAYERS
    }


def _turn(block: DiTBlock, seen: Peaks, alpha: float, dtype: torch.dtype) -> None:
    attention, mlp = block.self_attention, block.mlp
    qkv = attention.linear_qkv
    names = ("q", "qx", "k", "v")
    heads = [_linear(getattr(qkv, name)) for name in names]
    peak = seen["self_attention.linear_qkv.q"]
    for name, made in zip(names, _folded(qkv.layer_norm, heads, peak, alpha, dtype), strict=True):
        setattr(qkv, name, made)
    peak = seen["mlp.linear_fc1"]
    (mlp.linear_fc1,) = _folded(mlp.layer_norm, [_linear(mlp.linear_fc1)], peak, alpha, dtype)
    peak = seen["self_attention.linear_proj"]
    attention.linear_proj = _smoothed(_linear(attention.linear_proj), peak, alpha, dtype)
    mlp.linear_fc2 = _smoothed(_linear(mlp.linear_fc2), seen["mlp.linear_fc2"], alpha, dtype)


def _linear(layer: nn.Module) -> nn.Linear:
    if isinstance(layer, Fp8Linear):
        raise OptionError("these layers are 8-bit already; start from unquantised weights")
    if type(layer) not in (nn.Linear, FullSumLinear):
        raise OptionError(
            "this network is packed for a processor, so its layers are not seen one by one; open "
            "it on a GPU, or in an EagerExecutor of your own with packs = False"
        )
    assert isinstance(layer, nn.Linear)
    return layer


def _smoothing(peak: Tensor, weights: list[Tensor], alpha: float) -> Tensor:
    """[in]: activations are divided by it and the weights' columns multiplied."""
    columns = torch.stack([weight.abs().amax(dim=0) for weight in weights]).amax(dim=0)
    return peak**alpha / columns.clamp(min=SMALLEST) ** (1 - alpha)


def _folded(
    norm: LayerNorm, layers: list[nn.Linear], peak: Tensor, alpha: float, dtype: torch.dtype
) -> list[PerTensorFp8Linear]:
    """Layers that share one norm: the norm gives smoothed numbers, one scale serves them all."""
    weights = [layer.weight.float() for layer in layers]
    smooth = _smoothing(peak, weights, alpha)
    norm.weight.div_(smooth.to(norm.weight.dtype))
    norm.bias.div_(smooth.to(norm.bias.dtype))
    scale = (peak / smooth).amax() / FP8_MAX
    made = []
    for weight in weights:
        layer = PerTensorFp8Linear(weight.shape[1], weight.shape[0], dtype).to(weight.device)
        layer.input_scale.fill_(scale)
        made.append(layer)
        _fill(layer, weight * smooth)
    return made


def _smoothed(
    linear: nn.Linear, peak: Tensor, alpha: float, dtype: torch.dtype
) -> PerChannelFp8Linear:
    weight = linear.weight.float()
    smooth = _smoothing(peak, [weight], alpha)
    scale = (peak / smooth).amax() / FP8_MAX
    layer = PerChannelFp8Linear(weight.shape[1], weight.shape[0], dtype).to(weight.device)
    layer.input_scale.fill_(scale)
    layer.smooth_scale.copy_((smooth * scale)[None])
    _fill(layer, weight * smooth)
    return layer


def _fill(layer: Fp8Linear, weight: Tensor) -> None:
    scale = weight.abs().amax().clamp(min=SMALLEST) / FP8_MAX
    layer.weight_scale.fill_(scale)
    layer.weight.copy_((weight / scale).to(torch.float8_e4m3fn)[None])
