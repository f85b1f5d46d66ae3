"""Quiet copies are copies, whatever the format and the layout."""

from __future__ import annotations

import pytest
import torch

from magi_rt.models.quiet_copy import quiet_copy


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_part_of_a_ring_is_copied_as_pytorch_copies_it(dtype: torch.dtype) -> None:
    source = torch.randn(3, 5, 2, 7, 4).to(dtype)
    found, expected = torch.zeros_like(source), torch.zeros_like(source)
    assert quiet_copy(found[:, 1, :, 2:6], source[:, 4, :, 1:5]).shape == (3, 2, 4, 4)
    expected[:, 1, :, 2:6].copy_(source[:, 4, :, 1:5])
    assert torch.equal(found, expected) and found.any()


def test_another_format_is_rounded_as_pytorch_rounds_it() -> None:
    source = torch.randn(6)
    assert torch.equal(quiet_copy(torch.zeros(6, dtype=torch.bfloat16), source), source.bfloat16())


def test_weights_that_are_trained_can_be_copied_too() -> None:
    source = torch.nn.Parameter(torch.randn(6))
    assert torch.equal(quiet_copy(torch.zeros(6), source), source)
