"""How much of a picture survives the auto-encoder: PSNR and SSIM on simulated video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.errors import ShapeError
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.trials import joined, rows_of
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.film import film
from magi_rt.training.worlds.toybox import Toybox

Numbers = NDArray[np.float64]

TAPS, SIGMA = 11, 1.5
"""Window of the structural similarity, as published: 11 taps of a Gaussian of 1.5 pixels."""
STABLE = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Reconstruction:
    """Means over clips: ``psnr`` in dB, ``ssim`` of the luminance, up to 1; ``frames`` compared."""

    psnr: float
    ssim: float
    frames: int


def reconstruct(opened: OpenedModel, clips: int, seed: int) -> Reconstruction:
    """Encodes and decodes one chunk of each of ``clips`` simulated clips."""
    length = opened.frames_per_chunk
    world = Toybox(opened.size)
    made = film(
        world, clips, 1, torch.Generator().manual_seed(seed), frames_per_chunk=length, split="all"
    )
    values = []
    for row in range(clips):
        pixels = world.render(joined([rows_of(state, [row]) for state in made.frames]))
        back = opened.encoded_and_decoded(pixels.numpy())
        values.append((psnr(back, pixels.numpy()), float(ssim(back, pixels.numpy()).mean())))
    mean_psnr, mean_ssim = np.mean(values, axis=0)
    return Reconstruction(float(mean_psnr), float(mean_ssim), clips * length)


def psnr(one: Pixels, two: Pixels) -> float:
    """Peak signal to noise in dB of uint8 pixels of the same shape; infinite for equal ones."""
    if one.shape != two.shape:
        raise ShapeError(f"pixels of {list(one.shape)} against {list(two.shape)}; cut them alike")
    error = float(np.square(one.astype(np.float64) - two.astype(np.float64)).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim(one: Pixels, two: Pixels) -> Numbers:
    """Structural similarity [F] of the luminance of frames, uint8 [F, H, W, 3] (Wang 2004)."""
    weights = np.array([0.299, 0.587, 0.114])
    first, second = one @ weights, two @ weights
    mean_1, mean_2 = _smooth(first), _smooth(second)
    spread_1 = _smooth(first * first) - mean_1**2
    spread_2 = _smooth(second * second) - mean_2**2
    shared = _smooth(first * second) - mean_1 * mean_2
    alike = (2 * mean_1 * mean_2 + STABLE[0]) / (mean_1**2 + mean_2**2 + STABLE[0])
    structure = (2 * shared + STABLE[1]) / (spread_1 + spread_2 + STABLE[1])
    return np.asarray((alike * structure).mean((1, 2)))


def _smooth(planes: Numbers) -> Numbers:
    """[F, H, W] -> [F, H - 10, W - 10]: the Gaussian window where it fits whole."""
    taps = np.exp(-((np.arange(TAPS) - TAPS // 2) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    for axis in (1, 2):
        length = planes.shape[axis] - TAPS + 1
        parts = [w * planes.take(range(k, k + length), axis) for k, w in enumerate(taps)]
        planes = np.sum(parts, axis=0)
    return planes
