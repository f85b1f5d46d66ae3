"""Quantised linear layers of the published FP8 checkpoints (paper appendix A.1).

Activations are clamped, rounded to bfloat16 and then to float8 e4m3. GPUs with an FP8 matrix
product (compute capability 8.9 on) use it; elsewhere the product of the rounded numbers is computed
in float32. Every float8 value and every product of two is exact in float32, so both ways differ in
how sums are rounded only: by less than ``PRODUCT_TOLERANCE`` of the largest result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8_MAX = 448.0  # the largest finite e4m3fn number
PRODUCT_TOLERANCE = 2**-7
"""Largest difference of both ways, as a share of the largest result: two bfloat16 roundings."""
PART = 2**24
"""Numbers that are rounded at once; the two float32 copies of so many take 128 MiB."""
HARDWARE_MULTIPLE = 16  # both sides of a weight must be multiples of it for the hardware's product


def quantise(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale clamped to the e4m3 range and rounded, float8_e4m3fn of x's shape.

    Large activations are rounded in parts, so that no float32 copy of them is ever whole.
    """
    whole = x.numel() <= PART or torch.is_grad_enabled() or torch.compiler.is_compiling()
    if whole:
        return _rounded(x, scale)
    rows = x.reshape(-1, x.shape[-1])
    found = torch.empty(rows.shape, dtype=torch.float8_e4m3fn, device=x.device)
    some = max(1, PART // rows.shape[1])
    for first in range(0, len(rows), some):
        found[first : first + some] = _rounded(rows[first : first + some], scale)
    return found.view(x.shape)


def _rounded(x: Tensor, scale: Tensor) -> Tensor:
    scaled = (x.float() / scale).clamp(-FP8_MAX, FP8_MAX)
    return scaled.to(torch.bfloat16).to(torch.float8_e4m3fn)


def has_fp8_product(device: torch.device) -> bool:
    """True where FP8 products run in hardware, several times faster than the emulation."""
    if device.type != "cuda":
        return False
    properties = torch.cuda.get_device_properties(device)
    return (int(properties.major), int(properties.minor)) >= (8, 9)


def emulated_product(rounded: Tensor, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """float8 [..., in] by float8 [out, in], times a scale [] or [1] -> [..., out] in dtype."""
    return (F.linear(rounded.float(), weight.float()) * scale).to(dtype)


def hardware_product(rounded: Tensor, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The same by the device's own product; both sizes of the weight are multiples of 16.

    Sums are kept in full: the faster sums of Hopper GPUs lose bits that the emulation has.
    """
    flat = rounded.reshape(-1, rounded.shape[-1])
    one = torch.ones((), dtype=torch.float32, device=rounded.device)
    out: Tensor = torch._scaled_mm(
        flat, weight.t(), scale_a=scale.reshape(()).float(), scale_b=one, out_dtype=dtype,
        use_fast_accum=False,
    )  # fmt: skip
    return out.reshape(*rounded.shape[:-1], -1)


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
        weight = self.weight[0]
        whole = not any(side % HARDWARE_MULTIPLE for side in weight.shape)
        way = hardware_product if whole and has_fp8_product(rounded.device) else emulated_product
        return way(rounded, weight, input_scale * self.weight_scale, self.result_dtype)


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
