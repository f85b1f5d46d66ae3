"""Contact sheets: one picture that tells a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magi_rt.errors import MediaError
from magi_rt.frames import Frame
from magi_rt.media.contact_sheet import clock, contact_sheet, evenly
from magi_rt.media.pictures import read_image


def a_frame(prompt: str, index: int, side: int = 64) -> Frame:
    pixels = np.full((side, side, 3), 40 + index % 200, dtype=np.uint8)
    return Frame(pixels, index=index, chunk=index // 8, prompt=prompt, time_s=index / 24)


def test_a_contact_sheet_shows_every_frame_in_rows(tmp_path: Path) -> None:
    frames = [a_frame("night falls" if index > 3 else "", index) for index in range(7)]
    sheet = contact_sheet(frames, tmp_path / "sheet.png", columns=3)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png"), sheet)
    for index, frame in enumerate(frames):
        column, row = index % 3, index // 3
        pitch_y = (sheet.shape[0] - 14) // 3
        centre = sheet[14 + row * pitch_y + 120, 14 + column * 254 + 120]
        assert centre.tolist() == frame.pixels[0, 0].tolist()


def test_a_contact_sheet_writes_the_prompt_under_its_picture() -> None:
    def with_caption(prompt: str) -> bytes:
        return contact_sheet([a_frame(prompt, 0)]).tobytes()

    assert with_caption("rain") != with_caption("snow")


@pytest.mark.parametrize(
    "prompt", ["", "word " * 800, "W" * 4000, "snow \N{SNOWMAN} \N{GRINNING FACE}", "two\nlines"]
)
def test_a_contact_sheet_takes_any_prompt(prompt: str) -> None:
    assert contact_sheet([a_frame(prompt, 0)]).shape[1] == 240 + 2 * 14


def test_a_contact_sheet_of_a_wide_world_keeps_its_proportions() -> None:
    wide = Frame(np.zeros((720, 1280, 3), dtype=np.uint8), index=0, chunk=0, prompt="", time_s=0)
    sheet = contact_sheet([wide])
    assert (sheet[14 : 14 + 135, 14 : 14 + 240] == 0).all()


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(MediaError, match="at least one frame"):
        contact_sheet([])
    with pytest.raises(MediaError, match="at least 1"):
        contact_sheet([a_frame("", 0)], columns=0)


def test_evenly_keeps_the_first_and_the_last() -> None:
    assert list(evenly(3, 5)) == [0, 1, 2]
    assert list(evenly(9, 3)) == [0, 4, 8]
    assert list(evenly(9, 1)) == [0]


def test_the_clock_counts_minutes_and_tenths() -> None:
    assert [clock(0), clock(3.04), clock(59.99), clock(61.5)] == [
        "0:00.0",
        "0:03.0",
        "1:00.0",
        "1:01.5",
    ]
