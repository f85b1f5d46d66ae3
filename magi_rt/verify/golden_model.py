"""The models of golden cases: a weight case becomes an executor of a chosen kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.backends.base import EngineInfo
from magi_rt.backends.devices import choose_device
from magi_rt.backends.eager import EagerExecutor
from magi_rt.config import MagiConfig, RuntimeConfig
from magi_rt.errors import BackendError, OptionError
from magi_rt.models.dit import VideoDiT, is_float32_island
from magi_rt.models.fp8 import PerChannelFp8Linear, PerTensorFp8Linear
from magi_rt.models.vae import VAEConfig, ViTVAE
from magi_rt.verify.goldens import Check, GoldenCase, relative_error, relative_l2

CPU = torch.device("cpu")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BFLOAT16_NOISE = 16.0
"""How many bfloat16 roundings (2**-9) a result in bfloat16 may be away from the float32 golden."""


@dataclass(frozen=True)
class Setting:
    """What computes the denoiser's cases.

    backend: the executor, one of ``EXECUTORS``.
    dtype: its working number format.
    device: where it runs.
    """

    backend: str = "eager"
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU

    @classmethod
    def named(cls, backend: str, dtype: str, device: str = "cpu") -> Setting:
        """From the words of a user.

        Raises:
            BackendError: the backend or the device is not there.
            OptionError: the dtype is unknown.
        """
        if backend not in EXECUTORS:
            raise BackendError(
                f"backend {backend!r} cannot compute golden cases; use {_spelled(EXECUTORS)}",
                field="backend",
            )
        if dtype not in DTYPES:
            raise OptionError(f"dtype {dtype!r} is unknown; use {_spelled(DTYPES)}", field="dtype")
        return cls(backend, DTYPES[dtype], choose_device(device))

    def compare(self, name: str, actual: Tensor, expected: Tensor, tolerance: float) -> Check:
        """A float32 result against ``tolerance``; a bfloat16 one against its rounding noise."""
        actual = actual.to(expected.device)
        if self.dtype is torch.float32:
            return Check(name, relative_error(actual, expected), tolerance)
        return Check(name, relative_l2(actual, expected), BFLOAT16_NOISE * 2**-9)


FLOAT32 = Setting()


def build_dit(weights: GoldenCase, dtype: torch.dtype = torch.float32) -> VideoDiT:
    """The denoiser of a weight case, in one working dtype with its float32 islands."""
    with torch.device("meta"):
        dit = VideoDiT(weights.model, fp8=weights.engine.fp8_quant)
    state = {
        name: value if value.dtype is torch.float8_e4m3fn else value.to(_role(name, dtype))
        for name, value in weights.tensors.items()
    }
    dit.load_state_dict(state, strict=True, assign=True)
    for module in dit.modules():
        if isinstance(module, PerTensorFp8Linear | PerChannelFp8Linear):
            module.result_dtype = dtype
    return dit.requires_grad_(False).eval()


def _role(name: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if is_float32_island(name) or name.endswith("_scale") else dtype


def golden_executor(case: GoldenCase, setting: Setting = FLOAT32) -> EagerExecutor:
    """The executor of a case's model; its auto-encoder has no weights."""
    return EXECUTORS[setting.backend](case, setting)


def _eager(case: GoldenCase, setting: Setting) -> EagerExecutor:
    smallest = VAEConfig(
        video_size=16, video_length=4, patch_size=8, patch_length=4, in_chans=3, z_chans=16,
        double_z=True, embed_dim=256, depth=1, num_heads=1, mlp_ratio=1, qkv_bias=True,
        ln_in_attn=True, conv_last_layer=True,
    )  # fmt: skip
    with torch.device("meta"):
        vae = ViTVAE(smallest)
    dit = build_dit(case.weight_case(), setting.dtype).to(setting.device)
    dtype = str(setting.dtype).removeprefix("torch.")
    threads = torch.get_num_threads()
    info = EngineInfo("eager", str(setting.device), dtype, threads, "a golden model")
    return EagerExecutor(golden_config(case), dit, vae, None, info)


EXECUTORS: dict[str, Callable[[GoldenCase, Setting], EagerExecutor]] = {"eager": _eager}
"""The executors that golden cases can be computed with."""


def golden_config(case: GoldenCase) -> MagiConfig:
    """The case's configuration; cases of a single forward have no sampling settings."""
    engine = case.engine
    if "runtime_config" in case.meta:
        return MagiConfig(case.model, case.runtime, engine)
    branches = 1 if engine.fp8_quant or engine.distill else 3
    return MagiConfig(case.model, RuntimeConfig(cfg_number=branches), engine)


def _spelled(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
