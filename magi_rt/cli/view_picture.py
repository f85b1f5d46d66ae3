"""The picture of `magi-rt view`: the frame, enlarged in whole pixels, above one line of text."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from magi_rt.cli.windows import GOOD_SIDE
from magi_rt.media.pictures import Pixels

LINE = 30
"""Height of the line in pixels."""

_PAPER, _INK = (22, 23, 26), (245, 245, 245)
_LETTERS = 16
_MARGIN = 8


def composed(pixels: Pixels, line: str) -> Pixels:
    """A frame, uint8 [H, W, 3] RGB, with a line of text below, both in RGB."""
    height, width, _ = pixels.shape
    scale = max(1, round(GOOD_SIDE / min(height, width)))
    large = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return np.concatenate([large, _written(line, width * scale)])


@lru_cache(maxsize=8)
def _written(line: str, width: int) -> Pixels:
    """One line on a strip; what is too long loses its end, or its beginning while one types."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, LINE), _PAPER)
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=_LETTERS)
    shown, typed = line, line.startswith("> ")
    while shown and pen.textlength(shown, font) > width - 2 * _MARGIN:
        cut = max(1, len(shown) // 16)
        shown = shown[cut:] if typed else shown[: -cut - 3] + "..."
    pen.text((_MARGIN, (LINE - _LETTERS) // 2 - 1), shown, font=font, fill=_INK)
    written = np.asarray(strip)
    written.flags.writeable = False
    return written
