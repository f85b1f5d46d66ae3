"""FP8 products: the emulation is exact, the hardware's way stays within its stated tolerance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from magi_rt.models import fp8
from magi_rt.models.fp8 import (
    PRODUCT_TOLERANCE,
    Fp8Linear,
    PerChannelFp8Linear,
    PerTensorFp8Linear,
    emulated_product,
    hardware_product,
    has_fp8_product,
    quantise,
)

HERE = [
    pytest.param("cpu", id="cpu"),
    pytest.param("cuda", id="cuda", marks=pytest.mark.gpu),
]


def operands(rows: int, inputs: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(rows)
    x = torch.randn(2, rows, inputs, generator=chance)
    weight = torch.randn(outputs, inputs, generator=chance).to(torch.float8_e4m3fn)
    return quantise(x, torch.tensor(0.05)), weight, torch.tensor([0.013])


def filled(kind: type[Fp8Linear], inputs: int = 64, outputs: int = 48) -> Fp8Linear:
    chance = torch.Generator().manual_seed(3)
    layer = kind(inputs, outputs, torch.bfloat16)
    weight = torch.randn(1, outputs, inputs, generator=chance)
    layer.weight = torch.nn.Parameter(weight.to(torch.float8_e4m3fn), requires_grad=False)
    layer.weight_scale.fill_(0.02)
    for name, scale in layer.named_parameters():
        if name in ("input_scale", "smooth_scale"):
            scale.fill_(0.05)
    return layer


def far(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


def test_the_emulation_is_the_product_of_the_rounded_numbers() -> None:
    rounded, weight, scale = operands(7, 64, 48)
    exact = rounded.double() @ weight.double().t() * scale.double()
    assert far(emulated_product(rounded, weight, scale, torch.float32), exact) < 1e-6


def test_activations_beyond_the_range_become_its_ends_and_not_none() -> None:
    x = torch.tensor([1e6, -1e6, 44.0, -46.0, float("inf")])
    assert quantise(x, torch.tensor(0.1)).float().tolist() == [448, -448, 448, -448, 448]


def test_activations_are_rounded_to_bfloat16_on_their_way() -> None:
    # just above the middle of 1 and 1.125; bfloat16 has the middle, which goes to the even 1
    x = torch.tensor([1.0625 + 2**-10, 1.0625 + 2**-6])
    assert quantise(x, torch.tensor(1.0)).float().tolist() == [1.0, 1.125]


def test_every_channel_has_its_own_scale_and_the_product_the_published_one() -> None:
    chance = torch.Generator().manual_seed(4)
    x, own = torch.randn(3, 64, generator=chance), 0.02 + torch.rand(64, generator=chance)
    tensor, channel = filled(PerTensorFp8Linear), filled(PerChannelFp8Linear)
    tensor.get_parameter("input_scale").copy_(own)
    channel.get_parameter("smooth_scale").copy_(own)
    for layer, scale in ((tensor, own[0]), (channel, torch.tensor(0.05))):
        rounded = quantise(x, own).float()
        expected = rounded @ layer.weight[0].float().t() * scale * 0.02
        assert far(layer(x), expected) < PRODUCT_TOLERANCE, type(layer)


@pytest.mark.parametrize("place", HERE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [(7, 64, 48), (33, 256, 128)])
def test_the_hardware_gives_what_the_emulation_gives(
    size: tuple[int, int, int], dtype: torch.dtype, place: str
) -> None:
    if place == "cuda" and not has_fp8_product(torch.device("cuda")):
        pytest.skip("this GPU has no FP8 product")
    rounded, weight, scale = (each.to(place) for each in operands(*size))
    found = hardware_product(rounded, weight, scale, dtype)
    expected = emulated_product(rounded, weight, scale, torch.float32)
    assert (found.dtype, found.shape) == (dtype, expected.shape)
    assert far(found, expected) < PRODUCT_TOLERANCE


@pytest.mark.parametrize("kind", [PerTensorFp8Linear, PerChannelFp8Linear])
def test_a_layer_uses_the_hardware_where_there_is_some(
    kind: type[Fp8Linear], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = filled(kind), torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    emulated = layer(x)
    calls: list[torch.dtype] = []

    def counted(rounded: Tensor, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        calls.append(dtype)
        return hardware_product(rounded, weight, scale, dtype)

    monkeypatch.setattr(fp8, "has_fp8_product", lambda device: True)
    monkeypatch.setattr(fp8, "hardware_product", counted)
    assert far(layer(x), emulated) < PRODUCT_TOLERANCE
    assert calls == [torch.bfloat16]


def test_weights_that_the_hardware_cannot_take_are_emulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = filled(PerTensorFp8Linear, inputs=24, outputs=20)
    monkeypatch.setattr(fp8, "has_fp8_product", lambda device: True)
    monkeypatch.delattr(fp8, "hardware_product")
    assert layer(torch.ones(3, 24)).shape == (3, 20)


class Largest(TorchDispatchMode):
    """Keeps how many numbers the largest float32 result inside has."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype == torch.float32:
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize("shape", [(2, 50, 64), (100, 64), (1, 1, 7, 640)])
@pytest.mark.parametrize("scale", ["one", "row"])
def test_large_activations_are_rounded_in_parts_to_the_same_numbers(
    shape: tuple[int, ...], scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = torch.Generator().manual_seed(2)
    x = (100 * torch.randn(shape, generator=chance)).to(torch.bfloat16)
    by = torch.rand(1, shape[-1], generator=chance) + 0.1 if scale == "row" else torch.tensor([0.3])
    whole = quantise(x, by)
    monkeypatch.setattr(fp8, "PART", 1000)
    with torch.inference_mode(), Largest() as copies:
        parts = quantise(x, by)
    assert parts.dtype == torch.float8_e4m3fn and parts.shape == x.shape
    assert torch.equal(parts.float(), whole.float())
    assert 0 < copies.numbers <= 1000


def test_a_processor_has_no_fp8_product_of_its_own() -> None:
    assert not has_fp8_product(torch.device("cpu"))


@pytest.mark.parametrize(
    ("capability", "there"), [((8, 6), False), ((8, 9), True), ((9, 0), True), ((12, 0), True)]
)
def test_cards_have_an_fp8_product_from_compute_capability_8_9_on(
    capability: tuple[int, int], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    major, minor = capability
    card = SimpleNamespace(major=major, minor=minor)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    assert has_fp8_product(torch.device("cuda")) is there
