"""Attention by every road gives the numbers of the definition."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from magi_rt.errors import BackendError
from magi_rt.models import attention
from magi_rt.models.attention import (
    choose_attention,
    cpu_attention,
    describe_attention,
    flash_attention,
    flash_attention_3,
    fold_groups,
    has_package,
    matmul_attention,
    sage_attention,
    sdpa_attention,
    unfold_groups,
)

SIZES = [  # heads, groups, queries, keys, head width
    (8, 4, 6, 9, 16),
    (8, 8, 5, 5, 32),
    (24, 8, 3, 12, 64),
    (8, 1, 4, 1, 16),
    (16, 2, 1, 7, 8),
]


def random_inputs(
    heads: int, groups: int, queries: int, keys: int, dim: int, branches: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(heads * 100 + keys)
    return (
        torch.randn(branches, queries, heads, dim, generator=chance),
        torch.randn(branches, groups, keys, dim, generator=chance),
        torch.randn(branches, groups, keys, dim, generator=chance),
    )


def by_definition(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Every query head with the repeated keys of its group, in float64."""
    share = queries.shape[2] // keys.shape[1]
    q = queries.double().transpose(1, 2)
    k, v = (each.double().repeat_interleave(share, dim=1) for each in (keys, values))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return (weights @ v).transpose(1, 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("road", [matmul_attention, sdpa_attention, cpu_attention])
def test_folded_groups_give_what_repeated_keys_give(
    road: attention.Attention, size: tuple[int, int, int, int, int]
) -> None:
    inputs = random_inputs(*size)
    assert torch.allclose(road(*inputs).double(), by_definition(*inputs), atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_written_out_form_equals_the_fused_one(size: tuple[int, int, int, int, int]) -> None:
    inputs = random_inputs(*size)
    assert torch.allclose(matmul_attention(*inputs), sdpa_attention(*inputs), atol=2e-6)


@pytest.mark.parametrize("road", [matmul_attention, sdpa_attention])
def test_bfloat16_stays_within_its_rounding(road: attention.Attention) -> None:
    inputs = tuple(each.to(torch.bfloat16) for each in random_inputs(*SIZES[0]))
    out = road(*inputs)
    assert out.dtype is torch.bfloat16
    assert torch.allclose(out.double(), by_definition(*inputs), atol=2e-2)


def test_folding_and_unfolding_are_inverse() -> None:
    queries = random_inputs(*SIZES[0])[0]
    assert torch.equal(unfold_groups(fold_groups(queries, 4), 6), queries)


def test_large_scores_do_not_overflow() -> None:
    queries, keys, values = random_inputs(*SIZES[0])
    out = matmul_attention(queries * 1e4, keys, values)
    assert bool(torch.isfinite(out).all())


def test_on_cpus_the_form_follows_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for name in ("matmul_attention", "sdpa_attention"):
        monkeypatch.setattr(attention, name, lambda *inputs, name=name: used.append(name))
    inputs = random_inputs(8, 4, 6, 9, 16, branches=1)  # 8 heads x 6 x 9 = 432 weights
    for limit in (432, 431):
        monkeypatch.setattr(attention, "WRITTEN_OUT_WEIGHTS", limit)
        cpu_attention(*inputs)
    assert used == ["matmul_attention", "sdpa_attention"]


class Gpu:
    """A pretended GPU: its compute capability and the packages installed beside it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], *packages: str
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(attention, "has_package", lambda name: name in packages)
        monkeypatch.setattr(attention, "refusal", lambda name: "")


FLASH, FLASH_3 = "flash_attn", "flash_attn_interface"


@pytest.mark.parametrize(
    ("capability", "packages", "chosen"),
    [
        ((9, 0), (FLASH, FLASH_3), flash_attention_3),
        ((9, 0), (FLASH,), flash_attention),
        ((8, 9), (FLASH, FLASH_3), flash_attention),
        ((8, 9), (FLASH_3,), sdpa_attention),
        ((7, 5), (FLASH,), sdpa_attention),
        ((9, 0), ("sageattention",), sdpa_attention),
    ],
)
def test_the_fastest_attention_that_runs_here_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    packages: tuple[str, ...],
    chosen: attention.Attention,
) -> None:
    Gpu(monkeypatch, capability, *packages)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_attention(cuda, torch.bfloat16) is chosen
    assert choose_attention(cuda, torch.bfloat16, "sdpa") is sdpa_attention
    assert choose_attention(cuda, torch.float32) is sdpa_attention
    assert choose_attention(cpu, torch.bfloat16) is cpu_attention


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """What can be imported is remembered by the process; tests pretend."""
    attention.refusal.cache_clear()
    yield
    attention.refusal.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_a_flash_attention_that_cannot_be_imported_is_passed_over_and_the_reason_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "flash_attn.py").write_text("raise ImportError('undefined symbol: _ZN3c10')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    monkeypatch.setattr(attention, "has_package", lambda name: name == FLASH)
    chosen = choose_attention(torch.device("cuda"), torch.bfloat16)
    assert chosen is sdpa_attention
    said = describe_attention(chosen)
    assert said == "attention by PyTorch; flash_attn cannot be imported: undefined symbol: _ZN3c10"
    assert describe_attention(chosen, "sdpa") == "attention by PyTorch"


@pytest.mark.usefixtures("asked_anew")
def test_a_sage_attention_that_cannot_be_imported_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "has_package", lambda name: True)
    monkeypatch.setitem(sys.modules, "sageattention", types.ModuleType("sageattention"))
    with pytest.raises(BackendError, match=r"no attribute 'sageattn'.*attention='auto'"):
        choose_attention(torch.device("cuda"), torch.bfloat16, "sage")


def test_attention_that_changes_results_is_taken_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Gpu(monkeypatch, (8, 9), "sageattention")
    cuda = torch.device("cuda")
    assert choose_attention(cuda, torch.bfloat16, "sage") is sage_attention
    assert "change results" in describe_attention(sage_attention)
    with pytest.raises(BackendError, match="in float32; use attention='auto'"):
        choose_attention(cuda, torch.float32, "sage")
    with pytest.raises(BackendError, match="not on cpu"):
        choose_attention(torch.device("cpu"), torch.bfloat16, "sage")
    Gpu(monkeypatch, (8, 9))
    with pytest.raises(BackendError, match="pip install sageattention"):
        choose_attention(cuda, torch.bfloat16, "sage")


def test_an_unknown_attention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match="'auto', 'sdpa', 'sage'"):
        choose_attention(torch.device("cpu"), torch.float32, "quick")


def installed(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    """A package that is not there, with functions that compute the same by PyTorch."""
    module = types.ModuleType(name)
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, name, module)


def flash_kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The kernel's own layout: [B, S, heads, d] and [B, K, groups, d]."""
    share = q.shape[2] // k.shape[2]
    keys, values = (each.transpose(1, 2).repeat_interleave(share, dim=1) for each in (k, v))
    return torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), keys, values
    ).transpose(1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_queries_and_keys_reach_flash_attention_in_its_layout(
    size: tuple[int, int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, FLASH, flash_attn_func=flash_kernel)
    installed(monkeypatch, FLASH_3, flash_attn_func=lambda *each: (flash_kernel(*each), None))
    inputs = random_inputs(*size)
    for road in (flash_attention, flash_attention_3):
        assert torch.allclose(road(*inputs).double(), by_definition(*inputs), atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_queries_and_keys_reach_sage_attention_in_its_layout_and_width(
    size: tuple[int, int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(
        q: Tensor, k: Tensor, v: Tensor, *, tensor_layout: str, is_causal: bool, sm_scale: float
    ) -> Tensor:
        assert (tensor_layout, is_causal, q.shape[-1]) == ("HND", False, 64)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=sm_scale)

    installed(monkeypatch, "sageattention", sageattn=kernel)
    inputs = random_inputs(*size)
    assert torch.allclose(sage_attention(*inputs).double(), by_definition(*inputs), atol=2e-6)


def test_heads_too_wide_for_sage_attention_are_refused() -> None:
    with pytest.raises(BackendError, match="at most 128 numbers, these have 136"):
        sage_attention(*random_inputs(2, 2, 3, 3, 136))


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("road", "package", "tolerance"),
    [
        (sdpa_attention, "torch", 2e-2),
        (flash_attention, FLASH, 2e-2),
        (flash_attention_3, FLASH_3, 2e-2),
        (sage_attention, "sageattention", 6e-2),
    ],
)
def test_a_gpus_attention_gives_the_same_numbers(
    road: attention.Attention, package: str, tolerance: float
) -> None:
    if not has_package(package):
        pytest.skip(f"{package} is not installed")
    if road is flash_attention_3 and torch.cuda.get_device_capability()[0] != 9:
        pytest.skip("FlashAttention 3 needs compute capability 9.x")
    inputs = tuple(each.to("cuda", torch.bfloat16) for each in random_inputs(24, 8, 300, 700, 128))
    expected = by_definition(*(each.cpu() for each in inputs))
    assert torch.allclose(road(*inputs).double().cpu(), expected, atol=tolerance)
