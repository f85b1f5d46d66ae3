"""Randomness that follows from numbers, so that every step of a run can be drawn again."""

from __future__ import annotations

import torch


def seeded(*numbers: int) -> torch.Generator:
    """A generator that follows from a few numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 12_345) % (1 << 62)
    return torch.Generator().manual_seed(seed)
