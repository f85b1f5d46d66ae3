"""Charts of an evaluation, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from magi_rt.evaluation.play import Play
from magi_rt.evaluation.steering import Score
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import FRAME_RATE

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

Colour = tuple[int, int, int]

PAPER, WORDS, GRID = (252, 252, 250), (40, 42, 46), (222, 222, 218)
MODEL, OTHER, TRUE = (46, 110, 200), (240, 150, 40), (120, 124, 130)
WIDTH, LEFT, LETTERS = 900, 130, 13


class Series(NamedTuple):
    """One curve: values over time, ``None`` of them missing."""

    name: str
    colour: Colour
    values: NDArray[np.floating]


def steering_chart(rows: Sequence[Score]) -> Pixels:
    """Bars per kind: trained words, held-out words and the simulator, 0 to 100 %."""
    step, top = 46, 40
    page, pen = _page(top + step * len(rows) + 20)
    names = (("trained words", MODEL), ("held-out words", OTHER), ("simulator", TRUE))
    _legend(pen, names)
    span = WIDTH - LEFT - 60
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + share * span
        pen.line((x, top - 8, x, page.height - 14), fill=GRID)
    for place, row in enumerate(rows):
        y = top + place * step
        pen.text((10, y + 10), row.name, fill=WORDS, font=_font())
        for bar, (value, (_, colour)) in enumerate(
            zip((row.train, row.held_out, row.simulator), names, strict=True)
        ):
            if not math.isnan(value):
                edge = LEFT + value * span
                pen.rectangle((LEFT, y + 12 * bar, edge, y + 12 * bar + 9), fill=colour)
                pen.text((edge + 5, y + 12 * bar - 3), f"{100 * value:.0f}", fill=WORDS)
    return np.array(page, dtype=np.uint8)


def play_chart(played: Play) -> Pixels:
    """Over the time of play: things, sharpness, strength of colour and motion."""
    model, true = played.model, played.simulator
    panels = (
        ("things", model.counts.astype(float), true.counts.astype(float)),
        ("sharpness", model.looks.sharp, true.looks.sharp),
        ("colour strength", model.looks.chroma, true.looks.chroma),
        ("colours apart", model.looks.apart, true.looks.apart),
        ("motion", model.motion, true.motion),
    )
    height, top = 120, 36
    page, pen = _page(top + height * len(panels) + 10)
    _legend(pen, (("model", MODEL), ("simulator", TRUE)))
    seconds = len(model.counts) * played.frames_per_chunk / FRAME_RATE
    for place, (name, ours, theirs) in enumerate(panels):
        series = (Series("simulator", TRUE, theirs), Series("model", MODEL, ours))
        _curves(pen, name, series, top + place * height, height - 26, seconds)
    return np.array(page, dtype=np.uint8)


def _curves(
    pen: ImageDraw, name: str, series: Sequence[Series], top: int, height: int, seconds: float
) -> None:
    highest = max(float(np.nanmax(one.values)) for one in series) or 1.0
    span = WIDTH - LEFT - 20
    pen.text((10, top), name, fill=WORDS, font=_font())
    pen.text((10, top + 18), f"0 to {highest:.3g}", fill=TRUE)
    pen.line((LEFT, top + height, LEFT + span, top + height), fill=GRID)
    pen.text((LEFT + span - 40, top + height + 2), f"{seconds:.0f} s", fill=TRUE)
    for one in series:
        count = max(len(one.values) - 1, 1)
        points = [
            (LEFT + span * index / count, top + height * (1 - float(value) / highest))
            for index, value in enumerate(one.values)
            if not math.isnan(value)
        ]
        pen.line(points, fill=one.colour, width=2)


def _legend(pen: ImageDraw, names: Sequence[tuple[str, Colour]]) -> None:
    x = LEFT
    for name, colour in names:
        pen.rectangle((x, 10, x + 14, 22), fill=colour)
        pen.text((x + 20, 8), name, fill=WORDS, font=_font())
        x += 170


def _page(height: int) -> tuple[Image, ImageDraw]:
    from PIL import Image as Images
    from PIL import ImageDraw as Drawing

    page = Images.new("RGB", (WIDTH, height), PAPER)
    return page, Drawing.Draw(page)


def _font() -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size=LETTERS)
