"""From RGB pictures to what readers asked for, and JPEG back to pixels."""

from __future__ import annotations

import io
import sys

import numpy as np
import numpy.typing as npt

from magi_rt.errors import ShapeError
from magi_rt.stream.topics import BYTES_PER_PIXEL
from magi_rt.stream.unpack import WireError
from magi_rt.stream.wire import MAX_PAYLOAD_BYTES, MAX_SIDE, FrameHeader

Bytes = npt.NDArray[np.uint8]
"""Any array of uint8."""

_NATIVE = np.dtype("=u4")
_SWAPPED = _NATIVE.newbyteorder("S")
_OPAQUE = np.uint32(0xFF000000 if sys.byteorder == "little" else 0x000000FF)


def check_picture(pixels: Bytes) -> None:
    """Raise ShapeError unless pixels are [H, W, 3] uint8 that fit into a frame in every format."""
    shape = pixels.shape
    fits = pixels.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3
    if not (fits and 1 <= shape[0] <= MAX_SIDE and 1 <= shape[1] <= MAX_SIDE):
        raise ShapeError(
            f"pixels are {list(shape)} {pixels.dtype}; a frame takes [H, W, 3] uint8 with sides "
            f"from 1 to {MAX_SIDE:,}",
            field="pixels",
        )
    if 4 * shape[0] * shape[1] > MAX_PAYLOAD_BYTES:
        raise ShapeError(
            f"pixels are {list(shape)}; a frame has at most {MAX_PAYLOAD_BYTES // 4:,} of them",
            field="pixels",
        )


def payload_bytes(height: int, width: int, pixel_format: str) -> int:
    """Bytes of a frame without gaps between its rows; not for JPEG."""
    return height * width * BYTES_PER_PIXEL[pixel_format]


def convert(pixels: Bytes, pixel_format: str, rows: str, out: Bytes) -> None:
    """Writes a picture in a raw format.

    Args:
        pixels: [H, W, 3] uint8 RGB, top row first, without gaps.
        rows: ``top`` or ``bottom``: the row that comes first in ``out``.
        out: uint8 [:func:`payload_bytes`], without gaps; written whole.
    """
    height, width, _ = pixels.shape
    turned = pixels[::-1] if rows == "bottom" else pixels
    if pixel_format == "rgb8":
        out.reshape(pixels.shape)[:] = turned
    elif pixel_format == "bgr8":
        for channel in range(3):
            out.reshape(pixels.shape)[..., channel] = turned[..., 2 - channel]
    else:
        _add_alpha(pixels, turned, pixel_format == "bgra8", out.reshape(height, width, 4))


def _add_alpha(pixels: Bytes, turned: Bytes, swap: bool, out: Bytes) -> None:
    """Four bytes are read for three; alpha replaces the fourth. 50 times faster than by channels.

    Read are a pixel and its right neighbour's first byte, or, with red and blue swapped, its left
    neighbour's last byte and the pixel, backwards: one pixel of each row has no such neighbour.
    """
    height, width, _ = pixels.shape
    row = 3 * width
    first = row * (height - 1) if turned is not pixels else 0
    fours = np.ndarray(
        (height, width - 1),
        _SWAPPED if swap else _NATIVE,
        pixels.data,
        first + 2 if swap else first,
        (-row if turned is not pixels else row, 3),
    )
    edge = 0 if swap else -1
    inner = out[:, 1:] if swap else out[:, :-1]
    np.bitwise_or(fours, _OPAQUE, out=inner.view(np.uint32)[..., 0])
    out[:, edge, :3] = turned[:, edge, ::-1] if swap else turned[:, edge]
    out[:, edge, 3] = 255


def encode_jpeg(pixels: Bytes, quality: int) -> bytes:
    """A JPEG of [H, W, 3] uint8 RGB.

    Args:
        quality: 1 .. 100.
    """
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality)
    return target.getvalue()


def decode_jpeg(header: FrameHeader, data: bytes | memoryview) -> Bytes:
    """[H, W, 3] uint8 RGB of a JPEG, top row first.

    Raises:
        WireError: it is no JPEG, is damaged, or has another size than its header says.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            # looked at before decoding: a small file can claim a huge picture
            if picture.size != (header.width, header.height):
                raise WireError(
                    f"the JPEG has {picture.size} pixels, its header says "
                    f"{(header.width, header.height)}",
                    field="width",
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise WireError(f"the JPEG cannot be read ({error})", field="size") from error


def raw_pixels(header: FrameHeader, data: bytes | memoryview | Bytes) -> Bytes:
    """[H, W, C] uint8 view of a raw payload, rows as sent; gaps between rows are left out."""
    channels = BYTES_PER_PIXEL[header.format]
    flat = data if isinstance(data, np.ndarray) else np.frombuffer(data, dtype=np.uint8)
    rows = flat.reshape(header.height, header.stride)[:, : header.width * channels]
    return rows.reshape(header.height, header.width, channels)
