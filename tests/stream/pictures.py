"""Small picture files for requests."""

from __future__ import annotations

import io

from PIL import Image


def png(colour: tuple[int, int, int], side: int = 32) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()
