"""Where a model runs and in which number format, with the reason as a sentence."""

from __future__ import annotations

import torch

from magi_rt.backends.choose import check_device
from magi_rt.config import MagiConfig
from magi_rt.errors import BackendError
from magi_rt.models.fp8 import has_fp8_product


def choose_device(wish: str) -> torch.device:
    """ "auto" takes the first GPU when there is one.

    Raises:
        BackendError: the device is unknown or not in this machine.
    """
    check_device(wish)
    if wish == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(wish)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(
            f"device {wish!r} is not in this machine, which has {torch.cuda.device_count()} "
            "GPUs that PyTorch can use; use device='cpu' or 'auto'",
            field="device",
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def choose_dtype(wish: str, config: MagiConfig, device: torch.device) -> tuple[torch.dtype, str]:
    """The working dtype and why; FP8 weights say openly how their products are computed."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    own = config.model.params_dtype.removeprefix("torch.")
    dtype = named[own if wish == "auto" else wish]
    why = "as the model is configured" if wish == "auto" else "as asked for"
    reason = f"PyTorch on {device} in {str(dtype).removeprefix('torch.')}, {why}"
    if config.engine.fp8_quant:
        reason += (
            "; FP8 products run in hardware"
            if has_fp8_product(device)
            else "; FP8 products are emulated exactly, by float32 products of the rounded numbers"
        )
    return dtype, reason
