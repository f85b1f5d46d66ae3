"""Attention over neighbouring branches at once is attention over each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.backends.ranges import CrossAttention
from magi_rt.models.attention import matmul_attention
from magi_rt.models.inputs import Branch, TextContext


def text(seed: int, tokens: int) -> TextContext:
    chance = torch.Generator().manual_seed(seed)
    size = (2, 4, tokens, 8)  # layers, groups, tokens, head width
    return TextContext(torch.randn(size, generator=chance), torch.randn(size, generator=chance))


def test_branches_that_share_a_prompt_get_what_each_would_get_alone() -> None:
    null, words, more = text(0, 5), text(1, 3), text(2, 7)
    branches = tuple(
        Branch(texts, (1, 1), drop=False) for texts in ((null, words), (null, more), (null, more))
    )
    queries = torch.randn(3, 2, 6, 8, 8, generator=torch.Generator().manual_seed(3))
    calls: list[Tensor] = []

    def counted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        calls.append(q)
        return matmul_attention(q, k, v)

    found = CrossAttention(branches, counted)(1, queries)
    assert len(calls) == 3  # the null text for all, then two prompts
    for b, branch in enumerate(branches):
        for j, told in enumerate(branch.texts):
            alone = matmul_attention(queries[b, j][None], told.keys[1][None], told.values[1][None])
            assert torch.allclose(found[b, j], alone[0], atol=1e-6)
