"""Which frames of a run stand on its contact sheet."""

from __future__ import annotations

import numpy as np
import pytest

from magi_rt.cli.render import SheetFrames
from magi_rt.frames import Frame
from magi_rt.media.contact_sheet import evenly

CHUNK = np.zeros((8, 4, 4, 3), dtype=np.uint8)


def shown(length: int, made: int, cells: int = 20) -> list[int]:
    """The sheet's frames of a video of some length, of which some were made."""
    sheet = SheetFrames(length, cells)
    for index in range(made):
        sheet.offer(Frame(CHUNK[index % 8], index, index // 8, "", index / 24))
    return [frame.index for frame in sheet.frames()]


@pytest.mark.parametrize("length", [1, 7, 20, 240, 1440])
def test_a_whole_video_is_shown_evenly(length: int) -> None:
    assert shown(length, length) == list(evenly(length, 20))


@pytest.mark.parametrize("made", [1, 2, 19, 20, 21, 100, 999, 5000])
def test_a_stopped_video_is_shown_from_its_first_frame_to_its_last(made: int) -> None:
    indices = shown(86_400, made)
    assert (indices[0], indices[-1]) == (0, made - 1)
    assert len(indices) == min(made, 20) and indices == sorted(set(indices))
    assert max(np.diff(indices), default=0) <= 3 * made / 20 + 1


def test_a_kept_frame_does_not_hold_its_chunk() -> None:
    sheet = SheetFrames(8, 20)
    sheet.offer(Frame(CHUNK[0], 0, 0, "", 0.0))
    (kept,) = sheet.frames()
    assert kept.pixels.base is None
