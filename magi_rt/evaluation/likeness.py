"""Do pictures look as the simulator's do? Counts of things, colours and sharpness.

A picture is compared with those of many drawn rooms: how far its colours lie from the nearest of
them, and how sharp it is next to those nearest ones. Other drawn rooms say what is usual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.evaluation import detectors
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox import Toybox

Numbers = NDArray[np.float64]

BINS = 16
NEAREST = 8
"""Pictures of the bank that a picture's sharpness is compared with."""
BANK, HELD_OUT = 720, 180
"""Drawn rooms to compare with, and those that say what is usual."""
USUAL = (1.0, 99.0)
"""Percentiles of the simulator's own pictures that bound what is usual."""
SEED = 20_26


@dataclass(frozen=True)
class Looks:
    """Of F frames, float64 [F]: ``apart``, the distance of colours from the nearest drawn picture,
    0..2; ``sharp``, sharpness in shares of that of the nearest ones; ``chroma``, how strong the
    things' colours are, 0..255."""

    apart: Numbers
    sharp: Numbers
    chroma: Numbers


@dataclass(frozen=True)
class Bank:
    """Drawn rooms as histograms [BANK, 3 * BINS] and sharpness [BANK]."""

    histograms: Numbers
    sharpness: Numbers

    @classmethod
    def drawn(cls, size: int) -> tuple[Bank, Looks]:
        """From pictures of ``size`` pixels a side, always the same rooms; and how others look."""
        world = Toybox(size)
        rooms = world.sample(BANK + HELD_OUT, torch.Generator().manual_seed(SEED))
        rooms = world.apply(rooms, [_paced(row) for row in range(BANK + HELD_OUT)])
        pictures = detectors.small(world.render(rooms))
        bank = cls(colour_histograms(pictures[:BANK]), sharpness(pictures[:BANK]))
        return bank, bank.looks(pictures[BANK:])

    def looks(self, frames: Pixels) -> Looks:
        """How frames, uint8 [F, H, W, 3], look."""
        pictures = detectors.small(frames)
        apart = np.abs(colour_histograms(pictures)[:, None] - self.histograms).sum(2) / 3
        nearest = np.argsort(apart, axis=1)[:, :NEAREST]
        usual = self.sharpness[nearest].mean(1)
        top, bottom = pictures.max(-1).astype(float), pictures.min(-1).astype(float)
        things = detectors.colour_masks(pictures).any(1)
        strength = ((top - bottom) * things).sum((1, 2)) / np.maximum(things.sum((1, 2)), 1)
        return Looks(apart.min(1), sharpness(pictures) / usual, strength)


def _paced(row: int) -> Clauses:
    """In a tenth of the rooms time goes slowly, in another it stands still: the floor shows it."""
    pace = {0: "slow", 5: "freeze"}.get(row % 10)
    return () if pace is None else (Meaning("pace", pace),)


def as_usual(looks: Looks, *known: Looks) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[F]: colours, and sharpness, within what the simulator's ``known`` pictures show."""
    most_apart = np.percentile(np.concatenate([one.apart for one in known]), USUAL[1])
    least, most = np.percentile(np.concatenate([one.sharp for one in known]), USUAL)
    return looks.apart <= most_apart, (looks.sharp >= least) & (looks.sharp <= most)


def count_things(frames: Pixels) -> NDArray[np.int64]:
    """[F]: connected patches of one named colour that are large enough to be a thing."""
    masks = detectors.colour_masks(frames)
    frames_count, colours, height, width = masks.shape
    flat = masks.reshape(-1, height, width)
    names = np.arange(1, height * width + 1).reshape(height, width)
    labels = np.where(flat, names, 0)
    while True:
        spread = labels.copy()
        spread[:, 1:] = np.maximum(spread[:, 1:], labels[:, :-1])
        spread[:, :-1] = np.maximum(spread[:, :-1], labels[:, 1:])
        spread[:, :, 1:] = np.maximum(spread[:, :, 1:], labels[:, :, :-1])
        spread[:, :, :-1] = np.maximum(spread[:, :, :-1], labels[:, :, 1:])
        spread = np.where(flat, spread, 0)
        if np.array_equal(spread, labels):
            break
        labels = spread
    sizes = [np.bincount(label[label > 0]) for label in labels]
    found = np.array([int((size >= detectors.LEAST_OBJECT).sum()) for size in sizes])
    return np.asarray(found.reshape(frames_count, colours).sum(1), dtype=np.int64)


def colour_histograms(pictures: Pixels) -> Numbers:
    """[F, 3 * BINS]: shares of each channel's levels, a level between two bins shared by both."""
    place = pictures.reshape(len(pictures), -1, 3).astype(np.float64) / 255 * (BINS - 1)
    low = np.floor(place).astype(int).clip(max=BINS - 2)
    high_share = place - low
    histograms = np.zeros((len(pictures), 3, BINS))
    for index in range(len(pictures)):
        for channel in range(3):
            bins, share = low[index, :, channel], high_share[index, :, channel]
            row = np.bincount(bins, 1 - share, BINS) + np.bincount(bins + 1, share, BINS)
            histograms[index, channel] = row / len(bins)
    return histograms.reshape(len(pictures), 3 * BINS)


def sharpness(frames: Pixels) -> Numbers:
    """[F]: mean absolute Laplacian of the luminance, grey levels, over the inner pixels."""
    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * middle).mean((1, 2)), dtype=np.float64)
