"""A first picture on its way to a server, as the bytes of a file, and there as pixels again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from magi_rt.errors import MagiError, MediaError
from magi_rt.media.pictures import Pixels, picture_to_pixels, pixels_in_memory, read_image
from magi_rt.stream.requests import IMAGE_BYTES

_FILES = ("PNG", "JPEG", "WEBP")
"""Picture files that a server reads; each further decoder would be one more way in."""


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


def picture_pixels(data: bytes) -> Pixels:
    """The pixels of a PNG, JPEG or WebP file that came from somebody.

    Raises:
        MediaError: it is none, or cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # sizes are checked before anything is decoded
        return picture_to_pixels(Image.open(io.BytesIO(data), formats=_FILES))
    except MagiError:
        raise
    except UnidentifiedImageError as error:  # which tells where in memory the bytes lie
        raise MediaError(
            "the image is no PNG, JPEG or WebP file; send one of these", field="image"
        ) from error
    except Exception as error:  # decoders of damaged files raise almost anything
        raise MediaError(
            f"the image cannot be read ({error}); send a whole PNG, JPEG or WebP file",
            field="image",
        ) from error


def _as_png(image: Any) -> bytes:
    from PIL import Image as Pictures

    if isinstance(image, str | Path):
        pixels = read_image(image)
    elif isinstance(image, Pictures.Image):
        pixels = picture_to_pixels(image)
    else:
        pixels = pixels_in_memory(image, "image")
    file = io.BytesIO()
    Pictures.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
