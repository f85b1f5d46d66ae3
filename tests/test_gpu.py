"""On a GPU the world is the same world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magi_rt.world import World

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use"),
]


def frames(folder: Path, device: str, dtype: str) -> np.ndarray:
    world = World.open(folder, seed=5, steps=8, window=2, device=device, dtype=dtype)
    shown = [*world.advance("a red ball"), *world.advance("night falls", at="now")]
    return np.stack([frame.pixels for frame in shown]).astype(np.int16)


def test_a_gpu_shows_what_the_cpu_shows(talking_model: Path) -> None:
    difference = frames(talking_model, "cuda", "float32") - frames(talking_model, "cpu", "float32")
    assert int(np.abs(difference).max()) <= 2


def test_a_gpu_repeats_itself_bit_for_bit(talking_model: Path) -> None:
    first = frames(talking_model, "cuda", "bfloat16")
    assert np.array_equal(first, frames(talking_model, "cuda", "bfloat16"))


def test_a_gpu_in_bfloat16_stays_near_float32(talking_model: Path) -> None:
    difference = frames(talking_model, "cuda", "bfloat16") - frames(talking_model, "cpu", "float32")
    assert float(np.abs(difference).mean()) < 8
