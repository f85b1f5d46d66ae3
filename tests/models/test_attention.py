"""Attention by every road gives the numbers of the definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from magi_rt.models import attention
from magi_rt.models.attention import (
    choose_attention,
    cpu_attention,
    flash_attention,
    fold_groups,
    has_flash_attention,
    matmul_attention,
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


def test_flash_attention_is_only_chosen_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(attention, "has_flash_attention", lambda: True)
    assert choose_attention(cuda, torch.bfloat16) is flash_attention
    assert choose_attention(cuda, torch.float32) is sdpa_attention
    assert choose_attention(cpu, torch.bfloat16) is cpu_attention
    monkeypatch.setattr(attention, "has_flash_attention", lambda: False)
    assert choose_attention(cuda, torch.bfloat16) is sdpa_attention


@pytest.mark.gpu
@pytest.mark.skipif(not has_flash_attention(), reason="flash-attn is not installed")
def test_flash_attention_gives_the_same_numbers() -> None:
    inputs = tuple(each.to("cuda", torch.bfloat16) for each in random_inputs(*SIZES[2]))
    out = flash_attention(*inputs).double().cpu()
    expected = by_definition(*(each.cpu() for each in inputs))
    assert torch.allclose(out, expected, atol=2e-2)
