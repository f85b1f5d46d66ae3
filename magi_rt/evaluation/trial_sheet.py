"""The sheet of trials: what a world made of some prompts, above what the simulator did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magi_rt.evaluation.steering import Outcome
from magi_rt.evaluation.trials import ASKED, CHUNKS
from magi_rt.media.pictures import Pixels, resize, save_image

SHOWN = 2 * len(ASKED)
CELL, GAP, MARGIN, LETTERS = 112, 4, 18, 13
COLUMNS = 3
PAPER, WORDS, GOOD, BAD = (22, 23, 26), (225, 226, 230), (120, 205, 130), (240, 110, 90)


def trial_sheet(outcomes: Sequence[Outcome], path: Path | None = None) -> Pixels:
    """The first trials, block by block: the start, then the end of every chunk; the model's row
    above the simulator's. Returns uint8 [H, W, 3]; with ``path`` also writes it there as PNG.

    Raises:
        MediaError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = list(outcomes[:SHOWN])
    width = (1 + CHUNKS) * (CELL + GAP) - GAP
    height = 2 * LETTERS + 12 + 2 * CELL + GAP
    rows = max(1, -(-len(shown) // COLUMNS))
    size = (COLUMNS * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=LETTERS)
    for place, outcome in enumerate(shown):
        left = MARGIN + place % COLUMNS * (width + MARGIN)
        top = MARGIN + place // COLUMNS * (height + MARGIN)
        result = "obeyed" if outcome.model.obeyed else "not obeyed"
        colour = GOOD if outcome.model.obeyed else BAD
        pen.text((left, top), f'"{outcome.trial.prompt}"', font=font, fill=WORDS)
        under = f"{outcome.trial.name}, from {outcome.trial.standing}: {result}"
        pen.text((left, top + LETTERS + 4), under, font=font, fill=colour)
        picture = Image.fromarray(_block(outcome, width))
        sheet.paste(picture, (left, top + 2 * LETTERS + 12))
    pixels = np.array(sheet, dtype=np.uint8)
    if path is not None:
        save_image(pixels, path)
    return pixels


def _block(outcome: Outcome, width: int) -> Pixels:
    """uint8 [2 * CELL + GAP, width, 3]: start and chunk ends, model above simulator."""
    trial = outcome.trial
    start = trial.video[-1:]
    length = len(trial.truth) // CHUNKS
    truth = trial.truth[length - 1 :: length]
    block = np.full((2 * CELL + GAP, width, 3), PAPER, dtype=np.uint8)
    for row, pictures in enumerate(([*start, *outcome.seen], [*start, *truth])):
        for column, picture in enumerate(pictures):
            top, left = row * (CELL + GAP), column * (CELL + GAP)
            block[top : top + CELL, left : left + CELL] = resize(picture, CELL, CELL)
    return block
