"""Noise is a function of seed and chunk number."""

from __future__ import annotations

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.sampling.noise import chunk_noise

SHAPE = (16, 2, 8, 8)
FIRST_OF_1234 = [0.6130579, -0.5139154, 0.2117798, 0.8815483]


def test_the_same_seed_and_chunk_give_the_same_noise_in_any_order() -> None:
    later = chunk_noise(5, 9, SHAPE)
    chunk_noise(5, 0, SHAPE)
    assert torch.equal(chunk_noise(5, 9, SHAPE), later)


def test_other_seeds_and_other_chunks_give_other_noise() -> None:
    noise = chunk_noise(5, 9, SHAPE)
    assert not torch.equal(chunk_noise(6, 9, SHAPE), noise)
    assert not torch.equal(chunk_noise(5, 10, SHAPE), noise)
    assert not torch.equal(chunk_noise(9, 5, SHAPE), noise)


def test_the_noise_is_standard_normal_float32() -> None:
    noise = chunk_noise(1, 0, (16, 6, 32, 32))
    assert noise.dtype is torch.float32
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)


def test_the_first_numbers_of_a_seed_never_change() -> None:
    # Recorded runs are repeated from their seed, so these belong to the file formats.
    first = chunk_noise(1234, 0, (4,)).tolist()
    assert first == pytest.approx(FIRST_OF_1234, abs=1e-6)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_outside_its_range_is_refused(seed: int) -> None:
    with pytest.raises(OptionError, match="outside 0"):
        chunk_noise(seed, 0, SHAPE)
