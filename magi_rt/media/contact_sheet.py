"""The contact sheet: one PNG that tells a run at a glance, each picture with time and prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from magi_rt.errors import MediaError
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels, resize, save_image

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

_PAPER = (22, 23, 26)
_TIME = (240, 196, 92)
_FRESH = (245, 245, 245)
_HELD = (128, 132, 140)
_CAPTION_LINES = 3


@dataclass(frozen=True)
class SheetLook:
    """Sizes of a contact sheet in pixels: the longer side of a cell, gaps, letters."""

    cell: int = 240
    gap: int = 14
    letters: int = 15


def contact_sheet(
    frames: Sequence[Frame],
    path: str | Path | None = None,
    *,
    columns: int = 5,
    look: SheetLook | None = None,
) -> Pixels:
    """Lay frames out in rows, oldest first, each over its time and prompt.

    Small worlds are enlarged (bicubic), large ones reduced, to cells of one size. A prompt is
    bright where it first shows and dim while it holds. Returns uint8 [H, W, 3]; with `path`
    also writes it there as PNG. Raises MediaError for no frames, no columns or a full disk.
    """
    if not frames:
        raise MediaError("a contact sheet needs at least one frame", field="frames")
    if columns < 1:
        raise MediaError(f"columns is {columns}; a contact sheet needs at least 1", field="columns")
    sheet = _draw(frames, min(columns, len(frames)), look or SheetLook())
    if path is not None:
        save_image(sheet, path)
    return sheet


def _draw(frames: Sequence[Frame], columns: int, look: SheetLook) -> Pixels:
    from PIL import Image, ImageDraw, ImageFont

    width, height = _cell_size(frames[0].pixels, look.cell)
    font = ImageFont.load_default(size=look.letters)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    captions = [_wrapped(ruler, font, frame.prompt, width) for frame in frames]
    line = look.letters + 4
    pitch_x = width + look.gap
    pitch_y = height + 6 + line * (1 + max(map(len, captions))) + look.gap
    rows = -(-len(frames) // columns)
    size = (columns * pitch_x + look.gap, rows * pitch_y + look.gap)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, frame in enumerate(frames):
        left = look.gap + index % columns * pitch_x
        top = look.gap + index // columns * pitch_y
        sheet.paste(Image.fromarray(resize(frame.pixels, height, width)), (left, top))
        below = top + height + 6
        pen.text((left, below), clock(frame.time_s), font=font, fill=_TIME)
        held = index > 0 and frames[index - 1].prompt == frame.prompt
        for number, words in enumerate(captions[index]):
            corner = (left, below + line * (number + 1))
            pen.text(corner, words, font=font, fill=_HELD if held else _FRESH)
    return np.array(sheet, dtype=np.uint8)


def _cell_size(pixels: Pixels, longer: int) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    scale = longer / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def clock(time_s: float) -> str:
    """Seconds as "M:SS.s", for captions and tables."""
    tenths = round(time_s * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _wrapped(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    prompt: str,
    width: int,
) -> list[str]:
    """The prompt in at most three lines no wider than `width`; more ends in an ellipsis."""
    # a few hundred letters fill the lines at any size; measuring 4,000 would be slow
    words = prompt[:400].split()
    lines: list[str] = []
    while words and len(lines) < _CAPTION_LINES:
        line, words = _one_line(pen, font, words, width)
        lines.append(line)
    if words:
        lines[-1] = _ellipsis(pen, font, lines[-1], width)
    return lines or ["(no prompt)"]


def _one_line(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    words: list[str],
    width: int,
) -> tuple[str, list[str]]:
    taken = 1
    while taken < len(words) and pen.textlength(" ".join(words[: taken + 1]), font) <= width:
        taken += 1
    line = " ".join(words[:taken])
    if pen.textlength(line, font) > width:  # one word longer than the cell
        line = _ellipsis(pen, font, line, width)
    return line, words[taken:]


def _ellipsis(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: str,
    width: int,
) -> str:
    while line and pen.textlength(line + "...", font) > width:
        line = line[:-1]
    return line.rstrip() + "..."


def evenly(count: int, wanted: int) -> Sequence[int]:
    """`wanted` indices (or fewer) spread evenly over 0..count-1, first and last included."""
    if count <= wanted:
        return range(count)
    if wanted == 1:
        return [0]
    return [round(step * (count - 1) / (wanted - 1)) for step in range(wanted)]
