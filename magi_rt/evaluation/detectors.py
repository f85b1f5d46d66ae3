"""What can be read off a toybox picture without knowing the truth behind it.

Every detector takes ``frames``, uint8 [F, H, W, 3] sRGB (an array or a tensor on the CPU), and
answers per frame. Positions are pixels, x to the right and y down. They were tuned on drawn frames
and are robust to the dimming at night and to the softness of decoded ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magi_rt.errors import ShapeError

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

HUES = {
    "red": (335.0, 14.0),
    "green": (80.0, 180.0),
    "blue": (195.0, 248.0),
    "yellow": (40.0, 80.0),
    "purple": (248.0, 320.0),
    "orange": (14.0, 40.0),
}
"""From hue to hue, in degrees; between purple and red, and green and blue, nothing is named."""
WEATHERS = ("clear", "rain", "snow")
DAY_FROM = 100.0
"""Brightness of the wall (0..255) between night, about 25, and day, about 190."""
VIVID, VIVID_BLUE = (40.0, 40.0), (66.0, 84.0)
"""Least difference of the largest and smallest channel, at night and by day; the wall and the
rain are bluish themselves, so blue asks for more."""
LEAST_OBJECT = 25
"""Pixels (of a 64 x 64 picture) below which a colour counts as absent."""
LEAST_WEATHER = 14
"""Pixels (of a 64 x 64 picture) that differ from the wall before it rains or snows."""
DROP_CONTRAST = (22.0, 24.0)
"""Least difference from the wall of a drop or flake at night, by day."""
INSIDE = (5, 57)
"""Rows and columns (of 64) that certainly show wall."""


def as_frames(frames: Any) -> NDArray[np.uint8]:
    """The frames as an array; ShapeError unless they are uint8 [F, H, W, 3]."""
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise ShapeError(
            f"frames are {array.dtype} {list(array.shape)}; pass uint8 [F, H, W, 3]", field="frames"
        )
    return array


def brightness(frames: Any) -> Floats:
    """[F] in 0..255: the median luminance, which is that of the wall."""
    return np.median(_luminance(as_frames(frames)), axis=(1, 2)).astype(np.float32)


def is_day(frames: Any) -> Mask:
    """[F]: day, rather than night."""
    return brightness(frames) > DAY_FROM


def colour_masks(frames: Any) -> Mask:
    """[F, 6, H, W]: the pixels of every named colour, in the order of ``HUES``."""
    array = as_frames(frames)
    hue, chroma = _hue_and_chroma(array)
    day = _daylight(array)[:, None, None]
    masks = []
    for name, (start, end) in HUES.items():
        night_least, day_least = VIVID_BLUE if name == "blue" else VIVID
        vivid = chroma > night_least + (day_least - night_least) * day
        within = (hue >= start) & (hue < end) if start < end else (hue >= start) | (hue < end)
        masks.append(vivid & within)
    return np.stack(masks, 1)


def colour_mass(frames: Any) -> NDArray[np.int64]:
    """[F, 6]: how many pixels each named colour covers, in the order of ``HUES``."""
    return np.asarray(colour_masks(frames).sum((2, 3)), dtype=np.int64)


def colour_centres(frames: Any) -> Floats:
    """[F, 6, 2]: centre (x, y) of each named colour, nan where it is absent."""
    return _centres(colour_masks(frames))


def mass_centre(frames: Any) -> Floats:
    """[F, 2]: centre (x, y) of all objects together, nan where there are none."""
    return _centres(_any_colour(frames))


def motion(frames: Any, start: int, stop: int) -> Floats:
    """[2]: how far (x, y) the objects' common centre moved from frame ``start`` to ``stop``."""
    array = as_frames(frames)
    first, last = mass_centre(array[[start, stop]])
    return np.asarray(last - first, dtype=np.float32)


def weather(frames: Any) -> NDArray[np.int64]:
    """[F]: 0 clear, 1 rain, 2 snow, as in ``WEATHERS``.

    Drops are told from the wall row by row; by day rain is darker and snow lighter than the
    wall, at night both are lighter and rain is bluish.
    """
    array = as_frames(frames)
    height, width = array.shape[1:3]
    rows = slice(round(INSIDE[0] * height / 64), round(INSIDE[1] * height / 64))
    columns = slice(round(INSIDE[0] * width / 64), round(INSIDE[1] * width / 64))
    hidden = _grown(_any_colour(array), max(2, round(2 * height / 64)))
    wall = array[:, rows, columns].astype(np.float32)
    seen = np.where(hidden[:, rows, columns, None], np.nan, wall)
    with np.errstate(all="ignore"):
        usual = _row_medians(seen)
    over = np.nan_to_num(seen - usual)
    day = _daylight(array)[:, None, None]
    light = over.mean(-1)
    blue = over[..., 2] - over[..., 0]
    least = DROP_CONTRAST[0] + (DROP_CONTRAST[1] - DROP_CONTRAST[0]) * day
    bluish = blue > 0.25 * np.abs(light)
    snow = (light > least) & ~bluish
    rain = np.where(day > 0.5, light < -least, (light > least) & bluish)
    counts = np.stack([rain.sum((1, 2)), snow.sum((1, 2))], 1)
    enough = counts.max(1) >= LEAST_WEATHER * height * width / 64**2
    return np.where(enough, counts.argmax(1) + 1, 0)


def _any_colour(frames: Any) -> Mask:
    """[F, H, W]: the pixels of all objects."""
    return np.asarray(colour_masks(frames).any(1), dtype=np.bool_)


def _row_medians(seen: Floats) -> Floats:
    """Median per row and channel of what is not nan; the picture's median where a row has none."""
    filled = np.where(np.isnan(seen), np.inf, seen)
    ordered = np.sort(filled, axis=2)
    count = (~np.isnan(seen)).sum(2, keepdims=True)
    row = np.take_along_axis(ordered, (count // 2).clip(max=seen.shape[2] - 1), 2)
    spare = np.median(np.where(np.isinf(row), 0.0, row), axis=1, keepdims=True)
    return np.where(count < 6, spare, row).astype(np.float32)


def _luminance(array: NDArray[np.uint8]) -> Floats:
    """[F, H, W]: Rec. 601 weights on the sRGB values."""
    return array.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _daylight(array: NDArray[np.uint8]) -> Floats:
    """[F] in 0..1, from the wall's brightness."""
    return np.clip((brightness(array) - 30) / 140, 0, 1).astype(np.float32)


def _hue_and_chroma(array: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Hue in degrees and chroma (largest less smallest channel), both [F, H, W]."""
    red, green, blue = np.moveaxis(array.astype(np.float32), -1, 0)
    top = np.maximum(np.maximum(red, green), blue)
    chroma = top - np.minimum(np.minimum(red, green), blue)
    safe = np.maximum(chroma, 1)
    hue = np.where(
        top == red,
        (green - blue) / safe % 6,
        np.where(top == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return (60 * hue).astype(np.float32), chroma


def _centres(masks: Mask) -> Floats:
    """[..., H, W] -> [..., 2]: the mean position of a mask's pixels, nan where they are few."""
    height, width = masks.shape[-2:]
    mass = masks.sum((-2, -1)).astype(np.float32)
    x = masks.sum(-2) @ (np.arange(width, dtype=np.float32) + 0.5)
    y = masks.sum(-1) @ (np.arange(height, dtype=np.float32) + 0.5)
    centre = np.stack([x, y], -1) / np.maximum(mass, 1)[..., None]
    enough = mass >= LEAST_OBJECT * height * width / 64**2
    return np.where(enough[..., None], centre, np.nan).astype(np.float32)


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
