"""PSNR and SSIM by their definitions, and of a model."""

from __future__ import annotations

import numpy as np
import pytest

from magi_rt.errors import ShapeError
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.reconstruction import psnr, reconstruct, ssim

RANDOM = np.random.default_rng(3)
FRAMES = RANDOM.integers(0, 236, (2, 32, 40, 3), dtype=np.uint8)


def test_equal_pictures_are_perfectly_alike() -> None:
    assert psnr(FRAMES, FRAMES) == np.inf
    assert ssim(FRAMES, FRAMES) == pytest.approx(1)


def test_psnr_counts_the_squared_error() -> None:
    assert psnr(FRAMES + 10, FRAMES) == pytest.approx(20 * np.log10(25.5))


def test_ssim_falls_with_noise_but_hardly_with_brightness() -> None:
    noisy = np.clip(FRAMES + RANDOM.normal(0, 60, FRAMES.shape), 0, 255).astype(np.uint8)
    assert (ssim(FRAMES + 10, FRAMES) > 0.95).all()
    assert (ssim(noisy, FRAMES) < 0.9).all()


def test_pictures_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="cut them alike"):
        psnr(FRAMES, FRAMES[:1])


def test_a_models_auto_encoder_is_measured_on_whole_chunks() -> None:
    opened = OpenedModel.open("dummy")
    found = reconstruct(opened, 2, seed=0)
    assert found.frames == 2 * opened.frames_per_chunk
    assert 0 < found.psnr < 60 and found.ssim < 1
