"""Every format and row order against the plain way of making it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magi_rt.errors import ShapeError
from magi_rt.stream.formats import (
    check_picture,
    convert,
    decode_jpeg,
    encode_jpeg,
    payload_bytes,
    raw_pixels,
)
from magi_rt.stream.topics import RAW_FORMATS, ROWS
from magi_rt.stream.unpack import WireError
from tests.stream.support import HEADER, picture

ORDER = {"rgb8": [0, 1, 2], "rgba8": [0, 1, 2], "bgr8": [2, 1, 0], "bgra8": [2, 1, 0]}


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 3), (16, 24)])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("pixel_format", RAW_FORMATS)
def test_the_fast_way_makes_the_same_pixels_as_the_plain_way(
    pixel_format: str, rows: str, size: tuple[int, int]
) -> None:
    pixels = picture(*size)
    out = np.full(payload_bytes(*size, pixel_format), 7, dtype=np.uint8)
    convert(pixels, pixel_format, rows, out)
    made = out.reshape(*size, -1)
    plain = pixels if rows == "top" else pixels[::-1]
    assert np.array_equal(made[..., :3], plain[..., ORDER[pixel_format]])
    assert made.shape[2] == 3 or (made[..., 3] == 255).all()


def test_converting_leaves_the_picture_and_what_lies_beside_the_target_alone() -> None:
    pixels, around = picture(4, 6), np.full(4 * 6 * 4 + 32, 9, dtype=np.uint8)
    before = pixels.copy()
    for pixel_format in ("rgba8", "bgra8"):
        for rows in ROWS:
            convert(pixels, pixel_format, rows, around[16:-16])
    assert np.array_equal(pixels, before)
    assert (around[:16] == 9).all() and (around[-16:] == 9).all()


def test_a_read_only_picture_is_converted() -> None:
    pixels = picture()
    pixels.flags.writeable = False
    out = np.empty(48, dtype=np.uint8)
    convert(pixels, "bgra8", "bottom", out)
    assert np.array_equal(out.reshape(3, 4, 4)[::-1, :, 2::-1], pixels)


def test_a_jpeg_comes_back_nearly_as_it_was() -> None:
    smooth = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint8)
    data = encode_jpeg(smooth, 95)
    header = replace(HEADER, width=48, height=32, stride=0, format="jpeg", size=len(data))
    seen = decode_jpeg(header, data)
    assert seen.shape == (32, 48, 3)
    assert np.abs(seen.astype(int) - smooth).mean() < 8


def test_a_jpeg_of_another_size_than_its_header_says_is_refused_before_it_is_decoded() -> None:
    data = encode_jpeg(picture(32, 48), 50)
    header = replace(HEADER, width=32, height=48, stride=0, format="jpeg", size=len(data))
    with pytest.raises(WireError, match="its header says"):
        decode_jpeg(header, data)


@pytest.mark.parametrize("data", [b"", b"no picture", encode_jpeg(picture(32, 48), 50)[:200]])
def test_bytes_that_are_no_whole_jpeg_are_a_wire_error(data: bytes) -> None:
    header = replace(HEADER, width=48, height=32, stride=0, format="jpeg", size=max(1, len(data)))
    with pytest.raises(WireError):
        decode_jpeg(header, data)


def test_gaps_between_rows_are_left_out_of_the_picture() -> None:
    padded = np.zeros((3, 16), dtype=np.uint8)
    padded[:, :12] = picture().reshape(3, 12)
    header = replace(HEADER, stride=16, size=48)
    assert np.array_equal(raw_pixels(header, padded.tobytes()), picture())


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((3, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 16_385, 3), np.uint8),
        np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (16_384, 16_384, 3)),
    ],
)
def test_what_is_no_picture_is_refused_with_its_shape(pixels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=str(pixels.shape[0])):
        check_picture(pixels)
