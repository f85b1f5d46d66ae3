"""A first picture on its way to a server: whatever it is, as the bytes of a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from magi_rt.errors import MediaError
from magi_rt.stream.requests import IMAGE_BYTES


def picture_file(image: Any) -> bytes:
    """A picture as the bytes of a file that can be sent.

    Raises:
        MediaError: it cannot be read, or is too large.
    """
    data = image if isinstance(image, bytes) else _as_png(image)
    if not 1 <= len(data) <= IMAGE_BYTES:
        raise MediaError(
            f"the picture has {len(data):,} bytes; 1 to {IMAGE_BYTES:,} can be sent: make it "
            "smaller first",
            field="image",
        )
    return data


def _as_png(image: Any) -> bytes:
    from PIL import Image as Pictures

    from magi_rt.media.pictures import picture_to_pixels, pixels_in_memory, read_image

    if isinstance(image, str | Path):
        pixels = read_image(image)
    elif isinstance(image, Pictures.Image):
        pixels = picture_to_pixels(image)
    else:
        pixels = pixels_in_memory(image, "image")
    file = io.BytesIO()
    Pictures.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
