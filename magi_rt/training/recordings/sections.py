"""Which frames of a folder's clips are for training, and which are held out for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import SPLITS

WHOLE_FILES_FROM = 10
"""From so many clips on every tenth is held out whole; with fewer, the last tenth of each. Clips
shorter than ``SHORTEST`` do not count, and train."""
SHORTEST = 64
"""Frames of the longest window that training draws: 8 chunks of 8. No section is cut shorter."""


@dataclass(frozen=True)
class Section:
    """Frames ``first`` to ``end`` - 1, at 24 per second, of clip number ``clip``."""

    clip: int
    first: int
    end: int


def sections(frames: Sequence[int], split: str) -> list[Section]:
    """The sections of a split, for clips of so many frames each, in a fixed order.

    With few clips, those too short to be cut in two train whole; when none can be cut, the last of
    several is held out. OptionError for an unknown split.
    """
    if split not in SPLITS:
        raise OptionError(f"split is {split!r}; use one of {', '.join(SPLITS)}", field="split")
    whole = [Section(clip, 0, count) for clip, count in enumerate(frames)]
    if split == "all":
        return whole
    training, held_out = _divided(whole)
    return training if split == "train" else held_out


def _divided(whole: Sequence[Section]) -> tuple[list[Section], list[Section]]:
    long = [one for one in whole if one.end >= SHORTEST]
    if len(long) >= WHOLE_FILES_FROM:
        held_out = long[WHOLE_FILES_FROM - 1 :: WHOLE_FILES_FROM]
        apart = {one.clip for one in held_out}
        return [one for one in whole if one.clip not in apart], held_out
    training, held_out = [], []
    for one in whole:
        cut = one.end - max(SHORTEST, one.end // 10)
        if cut < SHORTEST:
            training.append(one)
        else:
            training.append(Section(one.clip, 0, cut))
            held_out.append(Section(one.clip, cut, one.end))
    if not held_out and len(training) > 1:
        held_out.append(training.pop())
    return training, held_out
