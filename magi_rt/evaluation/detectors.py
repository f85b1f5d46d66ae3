"""What can be read off a toybox picture without knowing the truth behind it.

Every detector takes ``frames``, uint8 [F, H, W, 3] sRGB (an array or a tensor on the CPU), and
answers per frame. Pictures are measured at ``SIDE`` pixels a side, whatever their size, which is
the room's own unit; x goes to the right and y down. They were tuned on drawn frames by day, at dusk
and at night, and are robust to the softness of decoded ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.errors import ShapeError
from magi_rt.media.pictures import resize
from magi_rt.training.worlds import toybox_render as drawn
from magi_rt.training.worlds.toybox_scene import HIGH

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 64
"""Pixels a side of the pictures that are measured; the room is as many units wide."""
HUES = {
    "red": (335.0, 12.0),
    "green": (85.0, 180.0),
    "blue": (195.0, 252.0),
    "yellow": (42.0, 85.0),
    "purple": (252.0, 325.0),
    "orange": (12.0, 42.0),
}
"""From hue to hue, in degrees; between purple and red, and green and blue, nothing is named."""
WEATHERS = ("clear", "rain", "snow")
LEAST_CHROMA, LEAST_SATURATION = 48.0, 0.45
"""Least difference of the largest and smallest channel, and its least share of the largest: more
than walls, drops and the blends at edges have, less than things have at night."""
LEAST_BLUE = 72.0
"""Least chroma of blue things, which at night is over 100: rain is bluish too."""
LEAST_OBJECT = 30
"""Pixels below which a colour counts as absent; the smallest thing covers 113."""
LEAST_COVER = 0.35
"""How much of a pixel a drop or flake must cover to be counted."""
LEAST_WEATHER = 14.0
"""Counted pixels before it rains or snows."""
INSIDE = (5, 57)
"""Rows and columns that certainly show wall."""
MOST_APART = 8.0
"""Grey levels by which a wall may differ from the nearest drawn one: decoded walls differ by 2."""
LEVELS = 21
"""Levels of light that walls are compared with, from night to day."""


def as_frames(frames: Any) -> NDArray[np.uint8]:
    """The frames as an array; ShapeError unless they are uint8 [F, H, W, 3]."""
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise ShapeError(
            f"frames are {array.dtype} {list(array.shape)}; pass uint8 [F, H, W, 3]", field="frames"
        )
    return array


def small(frames: Any) -> NDArray[np.uint8]:
    """The frames at SIDE pixels a side: means of whole blocks where they fit, else stretched."""
    array = as_frames(frames)
    height, width = array.shape[1:3]
    if (height, width) == (SIDE, SIDE):
        return array
    if height % SIDE or width % SIDE:
        return np.asarray(resize(array, SIDE, SIDE), dtype=np.uint8)
    down, across = height // SIDE, width // SIDE
    blocks = array.reshape(len(array), SIDE, down, SIDE, across, 3)
    total = blocks.sum((2, 4), dtype=np.uint32)
    means = (total + down * across // 2) // (down * across)
    return np.asarray(means, dtype=np.uint8)


def brightness(frames: Any) -> Floats:
    """[F] in 0..255: the median luminance, which is that of the wall."""
    grey = small(frames).astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.median(grey, axis=(1, 2)).astype(np.float32)


def colour_masks(frames: Any) -> Mask:
    """[F, 6, SIDE, SIDE]: the pixels of every named colour, in the order of ``HUES``."""
    hue, chroma, top = _hue_chroma_top(small(frames))
    vivid = (chroma >= LEAST_CHROMA) & (chroma >= LEAST_SATURATION * top)
    masks = []
    for name, (start, end) in HUES.items():
        within = (hue >= start) & (hue < end) if start < end else (hue >= start) | (hue < end)
        masks.append(vivid & within & (chroma >= (LEAST_BLUE if name == "blue" else 0)))
    return np.stack(masks, 1)


def centres(masks: Mask) -> Floats:
    """[..., H, W] -> [..., 2]: mean (x, y) of a mask's pixels, nan where they are few."""
    height, width = masks.shape[-2:]
    mass = masks.sum((-2, -1)).astype(np.float32)
    x = masks.sum(-2) @ (np.arange(width, dtype=np.float32) + 0.5)
    y = masks.sum(-1) @ (np.arange(height, dtype=np.float32) + 0.5)
    centre = np.stack([x, y], -1) / np.maximum(mass, 1)[..., None]
    return np.where((mass >= LEAST_OBJECT)[..., None], centre, np.nan).astype(np.float32)


def sky(frames: Any, masks: Mask) -> tuple[Floats, NDArray[np.int64]]:
    """Light [F] in 0..1 (night to day) and weather [F], an index of ``WEATHERS``; nan and -1 for
    pictures of which no wall is at all like the room's.

    The wall's rows, without the things (``masks`` as of :func:`colour_masks`), are compared with
    those drawn at many levels of light. What differs from them is measured in drops and flakes of
    that light: which of the two explains it better, and whether there is enough of it.
    """
    inside = slice(*INSIDE)
    hidden = _grown(np.asarray(masks.any(1)), 2)[:, inside, inside]
    seen = small(frames)[:, inside, inside].astype(np.float32)
    rows = _row_medians(np.where(hidden[..., None], np.nan, seen))
    walls, rain, snow = _drawn_skies()
    apart = np.abs(rows[:, None] - walls[None]).mean((2, 3))
    level = apart.argmin(1)
    over = np.where(hidden[..., None], 0.0, seen - rows[:, :, None])
    kinds = [_explained(over, (kind - walls)[level]) for kind in (rain, snow)]
    (by_rain, rain_left), (by_snow, snow_left) = kinds
    wet = (by_rain > LEAST_COVER) & (rain_left < snow_left)
    white = (by_snow > LEAST_COVER) & (snow_left <= rain_left)
    counts = np.stack([wet.sum((1, 2)), white.sum((1, 2))], 1)
    weather = np.where(counts.max(1) >= LEAST_WEATHER, counts.argmax(1) + 1, 0)
    known = apart.min(1) <= MOST_APART
    light = np.where(known, level / (LEVELS - 1), np.nan)
    return light.astype(np.float32), np.where(known, weather, -1)


def _explained(over: Floats, kind: Floats) -> tuple[Floats, Floats]:
    """How much [F, h, w] of a drop's colour over the wall [F, h, 3] explains, and what is left."""
    way = kind[:, :, None]
    cover = (over * way).sum(-1) / np.maximum((way * way).sum(-1), 1)
    left = np.abs(over - cover[..., None] * way).sum(-1)
    return cover, left


@cache
def _drawn_skies() -> tuple[Floats, Floats, Floats]:
    """Of LEVELS levels of light: the wall's rows [L, h, 3], colours of rain and snow [L, 1, 3]."""
    light = torch.linspace(0, 1, LEVELS)
    top, foot, rain, snow = (
        drawn._mixed(colours, light).numpy()
        for colours in (drawn.SKY, drawn.WALL, drawn.RAIN, drawn.SNOW)
    )
    low = ((np.arange(*INSIDE) + 0.5) / HIGH[1])[None, :, None]
    walls = top[:, None] * (1 - low) + foot[:, None] * low
    return walls.astype(np.float32), rain[:, None], snow[:, None]


def _row_medians(seen: Floats) -> Floats:
    """[F, h, 3]: median per row of what is not nan, from rows near by where few pixels are."""
    ordered = np.sort(np.where(np.isnan(seen), np.inf, seen), axis=2)
    count = (~np.isnan(seen)).sum(2, keepdims=True)
    row = np.take_along_axis(ordered, (count // 2).clip(max=seen.shape[2] - 1), 2)[:, :, 0]
    good = count[:, :, 0, 0] >= 8
    index = np.arange(row.shape[1])
    for frame in range(len(row)):
        known = np.flatnonzero(good[frame])
        if 0 < len(known) < len(index):
            for channel in range(3):
                values = row[frame, known, channel]
                row[frame, :, channel] = np.interp(index, known, values)
        elif not len(known):
            row[frame] = 0.0
    return row.astype(np.float32)


def _hue_chroma_top(array: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Hue in degrees, chroma (largest less smallest channel) and largest, all [F, H, W]."""
    red, green, blue = np.moveaxis(array.astype(np.float32), -1, 0)
    top = np.maximum(np.maximum(red, green), blue)
    chroma = top - np.minimum(np.minimum(red, green), blue)
    safe = np.maximum(chroma, 1)
    hue = np.where(
        top == red,
        (green - blue) / safe % 6,
        np.where(top == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return (60 * hue).astype(np.float32), chroma, top


def _grown(masks: Mask, by: int) -> Mask:
    """Masks [F, H, W] widened by so many pixels in every direction."""
    for axis in (1, 2):
        grown = masks.copy()
        for shift in range(1, by + 1):
            ahead = [slice(None)] * 3
            behind = [slice(None)] * 3
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            grown[tuple(ahead)] |= masks[tuple(behind)]
            grown[tuple(behind)] |= masks[tuple(ahead)]
        masks = grown
    return masks
