"""Sheets of pictures: what a world made, above what the simulator did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magi_rt.evaluation.beginnings import Opened
from magi_rt.evaluation.physics import Continued
from magi_rt.evaluation.steering import CELL, Outcome
from magi_rt.media.pictures import Pixels, resize, save_image

GAP, MARGIN, LETTERS = 3, 16, 13
WIDEST = 1700
"""Pixels that a sheet is wide at most, unless one block is wider."""
WORDY = 330
"""Pixels that half a caption takes at most."""
SHOWN = 40
"""Beginnings whose pictures are shown."""
PAPER, WORDS = (22, 23, 26), (225, 226, 230)
GOOD, BAD = (120, 205, 130), (240, 110, 90)


@dataclass(frozen=True)
class Block:
    """``title``, ``under`` in ``colour``, and rows of pictures, uint8 [rows, n, cell, cell, 3]."""

    title: str
    under: str
    colour: tuple[int, int, int]
    strip: Pixels


def beginning_sheet(found: Sequence[Opened], path: Path) -> None:
    """The ends of the first ``SHOWN`` first chunks, under their captions."""
    blocks = []
    for one in found[:SHOWN]:
        title, under = _halves(one.caption)
        colour = GOOD if one.model.right else BAD
        blocks.append(Block(title, under, colour, resize(one.end[None], CELL, CELL)[None]))
    save_image(sheet(blocks, least=WORDY), path)


def _halves(words: str) -> tuple[str, str]:
    """Words broken once, near their middle."""
    spaces = [at for at, letter in enumerate(words) if letter == " "]
    middle = min(spaces, key=lambda at: abs(at - len(words) // 2), default=len(words))
    return words[:middle], words[middle + 1 :]


def trial_sheet(outcomes: Sequence[Outcome], path: Path) -> None:
    """Trials of every kind: the start, then the end of every chunk; the model's row above the
    simulator's. MediaError when the file cannot be written."""
    blocks = [
        Block(
            title=f'"{outcome.prompt}"',
            under=f"{outcome.kind}: {'obeyed' if outcome.model.obeyed else 'not obeyed'}",
            colour=GOOD if outcome.model.obeyed else BAD,
            strip=outcome.strip,
        )
        for outcome in outcomes
        if outcome.strip is not None
    ]
    save_image(sheet(blocks), path)


def wordless_sheet(outcomes: Sequence[Outcome], path: Path) -> None:
    """The model's rows of the same trials without a word: can one tell what was asked?"""
    blocks = [
        Block(str(number), "", WORDS, outcome.strip[:1])
        for number, outcome in enumerate((o for o in outcomes if o.strip is not None), 1)
        if outcome.strip is not None
    ]
    save_image(sheet(blocks), path)


def physics_sheet(results: Sequence[Continued], path: Path) -> None:
    """Scenes: the last frame given, then some predicted ones; the model's above the true ones."""
    blocks = []
    for result in results:
        overlap = result.found["model"].how_much
        under = f"from {'a video' if result.start == 'video' else 'a picture'}"
        blocks.append(
            Block(
                title=f'"{result.prompt}"',
                under=f"{under}: weighted overlap {overlap:.2f}",
                colour=GOOD if overlap >= 0.3 else BAD,
                strip=result.strip,
            )
        )
    save_image(sheet(blocks), path)


def sheet(blocks: Sequence[Block], least: int = 0) -> Pixels:
    """uint8 [H, W, 3]: the blocks, as many side by side as fit, each ``least`` pixels wide."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = [_tiled(block.strip) for block in blocks] or [np.zeros((8, 8, 3), np.uint8)]
    width = max(least, *(picture.shape[1] for picture in pictures))
    height = 2 * LETTERS + 10 + max(picture.shape[0] for picture in pictures)
    columns = max(1, min(len(blocks), WIDEST // (width + MARGIN)))
    rows = max(1, -(-len(blocks) // columns))
    size = (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    page = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=LETTERS)
    for place, (block, picture) in enumerate(zip(blocks, pictures, strict=False)):
        left = MARGIN + place % columns * (width + MARGIN)
        top = MARGIN + place // columns * (height + MARGIN)
        pen.text((left, top), block.title, font=font, fill=WORDS)
        pen.text((left, top + LETTERS + 3), block.under, font=font, fill=block.colour)
        page.paste(Image.fromarray(picture), (left, top + 2 * LETTERS + 10))
    return np.array(page, dtype=np.uint8)


def _tiled(strip: Pixels) -> Pixels:
    """[rows, n, cell, cell, 3] -> one picture with gaps between the cells."""
    rows, count, cell = strip.shape[:3]
    step = cell + GAP
    page = np.full((rows * step - GAP, count * step - GAP, 3), PAPER, dtype=np.uint8)
    for row in range(rows):
        for column in range(count):
            top, left = row * step, column * step
            page[top : top + cell, left : left + cell] = strip[row, column]
    return page
