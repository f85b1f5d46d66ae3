"""8-bit layers as graphs show them to builders: QuantizeLinear, DequantizeLinear, MatMul.

The rounding is the published one (``models/fp8.py``): activations are divided in float32, rounded
to bfloat16, then to float8. So QuantizeLinear has scale 1, and the scale of the activations stands
in DequantizeLinear, where builders fold it into the product. Scales and sums are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from magi_rt.models.fp8 import Fp8Linear, PerChannelFp8Linear, PerTensorFp8Linear, quantise

QDQ_OPSET = 20  # the version of the two operators that is written; newer graphs may hold it


class QdqLinear(nn.Module):
    """One published layer with its quantisation spelled out.

    weight: [in, out] float8_e4m3fn, turned so that the product needs no transposition.
    weight_scale, input_scale: [] float32, the factors of the two dequantisations.
    divisor: [] or [in] float32, what activations are divided by.
    """

    weight: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    divisor: Tensor
    one: Tensor
    zero: Tensor

    def __init__(self, linear: Fp8Linear) -> None:
        super().__init__()
        self.result_dtype = linear.result_dtype
        scale, divisor = _scales(linear)
        same = bool(torch.all(divisor == divisor[0]))
        turned = linear.weight[0].T.contiguous()
        self.weight = nn.Parameter(turned, requires_grad=False)
        self.register_buffer("weight_scale", linear.weight_scale.reshape(()).float())
        self.register_buffer("input_scale", scale.clone())
        self.register_buffer("divisor", divisor[0].clone() if same else divisor.clone())
        self.register_buffer("one", torch.ones((), device=scale.device))
        self.register_buffer("zero", torch.zeros((), device=scale.device).to(torch.float8_e4m3fn))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] in the result dtype."""
        if torch.onnx.is_in_onnx_export():
            rounded = self._rounded_in_graph(x)
            weight = _symbolic("DequantizeLinear", (self.weight, self.weight_scale), self.weight)
        else:
            rounded = quantise(x, self.divisor).float() * self.input_scale
            weight = self.weight.float() * self.weight_scale
        return torch.matmul(rounded, weight).to(self.result_dtype)

    def _rounded_in_graph(self, x: Tensor) -> Tensor:
        wide = (x.float() / self.divisor).to(torch.bfloat16).float()
        eight = _symbolic("QuantizeLinear", (wide, self.one, self.zero), wide, torch.float8_e4m3fn)
        return _symbolic("DequantizeLinear", (eight, self.input_scale), wide)


def _symbolic(
    name: str, inputs: tuple[Tensor, ...], like: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """One ONNX operator, written into the graph as it is."""
    out: Tensor = torch.onnx.ops.symbolic(
        name, inputs, dtype=dtype, shape=like.shape, version=QDQ_OPSET
    )
    return out


def _scales(linear: Fp8Linear) -> tuple[Tensor, Tensor]:
    """The one scale of the product, and what the layer divides its activations by."""
    if isinstance(linear, PerTensorFp8Linear):
        return linear.input_scale[0].detach().float(), linear.input_scale.detach().float()
    assert isinstance(linear, PerChannelFp8Linear)
    return linear.input_scale.detach().float()[0], linear.smooth_scale.detach().float()[0]


@contextmanager
def spelled_out(network: nn.Module) -> Iterator[int]:
    """Inside, every 8-bit layer of the network is its :class:`QdqLinear`; yields how many are.

    The network itself is changed for that time, and as it was afterwards.
    """
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, Fp8Linear)
    ]
    try:
        for parent, name, child in places:
            setattr(parent, name, QdqLinear(child))
        yield len(places)
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
