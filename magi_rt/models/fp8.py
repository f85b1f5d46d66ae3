"""Quantised linear layers of the published FP8 checkpoints (paper appendix A.1).

Activations are clamped, rounded to bfloat16 and then to float8 e4m3. On hardware without an FP8
matrix product the product of the rounded numbers is computed in float32: the same numbers, since
every float8 value and every product of two is exact in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8_MAX = 448.0  # the largest finite e4m3fn number


def quantise(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale clamped to the e4m3 range and rounded, float8_e4m3fn of x's shape."""
    scaled = (x.float() / scale).clamp(-FP8_MAX, FP8_MAX)
    return scaled.to(torch.bfloat16).to(torch.float8_e4m3fn)


class Fp8Linear(nn.Module):
    """What both published forms share: an e4m3 weight with one scale, no bias.

    weight: [1, out, in] float8_e4m3fn; weight_scale: [1] float32.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, inputs: int, outputs: int, result_dtype: torch.dtype) -> None:
        super().__init__()
        self.result_dtype = result_dtype
        self.weight = _frozen(torch.zeros(1, outputs, inputs, dtype=torch.float8_e4m3fn))
        self.weight_scale = _frozen(torch.ones(1))

    def product(self, rounded: Tensor, input_scale: Tensor) -> Tensor:
        """The matrix product of two float8 tensors times both scales, in the result dtype."""
        out = F.linear(rounded.float(), self.weight[0].float())
        return (out * input_scale * self.weight_scale).to(self.result_dtype)


class PerTensorFp8Linear(Fp8Linear):
    """q, qx, k, v and fc1: activations divided by ``input_scale``.

    input_scale: [in] float32. The published product reads only its first entry.
    """

    input_scale: Tensor

    def __init__(self, inputs: int, outputs: int, result_dtype: torch.dtype) -> None:
        super().__init__(inputs, outputs, result_dtype)
        self.input_scale = _frozen(torch.ones(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        rounded = quantise(x, self.input_scale)
        return self.product(rounded, self.input_scale[0])


class PerChannelFp8Linear(Fp8Linear):
    """linear_proj and fc2: activations divided by a SmoothQuant vector folded into the weight.

    input_scale: [1] float32; smooth_scale: [1, in] float32.
    """

    input_scale: Tensor
    smooth_scale: Tensor

    def __init__(self, inputs: int, outputs: int, result_dtype: torch.dtype) -> None:
        super().__init__(inputs, outputs, result_dtype)
        self.input_scale = _frozen(torch.ones(1))
        self.smooth_scale = _frozen(torch.ones(1, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        rounded = quantise(x, self.smooth_scale)
        return self.product(rounded, self.input_scale)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
