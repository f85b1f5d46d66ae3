"""Pictures: read one from a file, stretch some, write one as a file.

Pixels are always uint8 sRGB, [height, width, 3], top row first.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from magi_rt.errors import MagiError, MediaError, ShapeError
from magi_rt.whole_files import write_whole

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

MIN_SIDE = 2
"""Smallest height or width of a picture, in pixels: less holds no picture to start from."""

MAX_PIXELS = 64_000_000
"""Largest height * width that is decoded: a few kilobytes of PNG can claim terabytes."""


def read_image(path: str | Path) -> Pixels:
    """Read a picture file as uint8 [H, W, 3] sRGB.

    Grey becomes RGB, 16 bits become 8, transparency is laid over black (a transparent pixel
    sends no light), the EXIF orientation and the colour profile are applied, of an animation the
    first picture is taken. Raises MediaError for a file that is missing, no picture, cut short,
    smaller than 2x2 or larger than 64 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    check_readable(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_picture_size(str(path), image.width, image.height)
                return _upright_rgb(image)
    except MagiError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path} is not a picture that can be read; give a PNG, JPEG or WebP file",
            field="image",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{path} has more than {MAX_PIXELS} pixels; make it smaller first", field="image"
        ) from error
    except Exception as error:  # decoders of damaged files raise almost anything
        raise MediaError(
            f"{path} is damaged or cut short ({error}); save it again", field="image"
        ) from error


def picture_to_pixels(image: Image.Image) -> Pixels:
    """A Pillow picture as uint8 [H, W, 3] sRGB, by the rules of :func:`read_image`.

    Raises MediaError for a size or a pixel format that `read_image` refuses too.
    """
    _check_picture_size("the picture", image.width, image.height)
    try:
        return _upright_rgb(image)
    except MagiError:
        raise
    except Exception as error:  # closed, or read from a damaged file only now
        raise MediaError(
            f"the picture cannot be read ({error}); open it again", field="image"
        ) from error


def _named(value: Any) -> str:
    """A single number by its value, anything else without a shape by its type."""
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _other_way(value: Any, kind: str) -> str:
    """How the content of a file, as bytes or as an open file, becomes a picture or a video."""
    if not isinstance(value, bytes | bytearray | memoryview) and not hasattr(value, "read"):
        return ""
    if kind == "video":
        return "; write a file's content to a file first"
    return "; a file's content in memory opens with PIL.Image.open(io.BytesIO(data))"


def pixels_in_memory(value: Any, kind: str) -> Pixels:
    """Pixels given in memory as uint8: [H, W, 3] for an "image", [T, H, W, 3] for a "video".

    Takes uint8 0..255 or finite floats 0..1; sRGB, top row first.

    Raises:
        MediaError: another type, shape, channel order or range.
    """
    try:
        pixels = np.asarray(value)
    except Exception as error:  # ragged lists, and tensors that NumPy cannot hold or reach
        raise MediaError(
            f"{kind} is a {type(value).__name__} that NumPy cannot read ({error}); give an array",
            field=kind,
        ) from error
    wanted = "[H, W, 3]" if kind == "image" else "[T, H, W, 3]"
    shape = list(pixels.shape)
    if pixels.ndim == 0 or (isinstance(value, bytearray | memoryview) and pixels.ndim == 1):
        raise MediaError(
            f"{kind} is {_named(value)}; give a path or an array {wanted}{_other_way(value, kind)}",
            field=kind,
        )
    if pixels.ndim != (3 if kind == "image" else 4):
        raise MediaError(f"{kind} has shape {shape}; give {wanted}", field=kind)
    if shape[-1] != 3 and shape[-3] == 3:
        raise MediaError(
            f"{kind} has shape {shape}, channels first; give {wanted}: move axis {pixels.ndim - 3} "
            "to the end",
            field=kind,
        )
    if shape[-1] != 3:
        raise MediaError(
            f"{kind} has shape {shape} with {shape[-1]} channels; give {wanted} sRGB", field=kind
        )
    if min(shape[-3:-1]) < MIN_SIDE:
        raise MediaError(
            f"{kind} is {shape[-2]}x{shape[-3]} pixels; at least {MIN_SIDE}x{MIN_SIDE} are needed",
            field=kind,
        )
    return _as_bytes(pixels, kind)


def _as_bytes(pixels: npt.NDArray[Any], kind: str) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise MediaError(
            f"{kind} holds {pixels.dtype}; give uint8 0..255 or floats 0..1", field=kind
        )
    if not np.isfinite(pixels).all():
        raise MediaError(f"{kind} holds NaN or infinity; every pixel must be finite", field=kind)
    least, most = float(pixels.min(initial=0.0)), float(pixels.max(initial=0.0))
    if least < 0 or most > 1:
        raise MediaError(
            f"{kind} holds floats from {least:g} to {most:g}; they must be within 0..1 "
            "(divide by 255?)",
            field=kind,
        )
    return np.rint(pixels * 255.0).astype(np.uint8)


def check_readable(path: Path, kind: str) -> None:
    """Raise MediaError unless `path` is a file that may be read; `kind` names it to the person."""
    if not path.exists():
        raise MediaError(f"{kind} {path} does not exist; check the name", field=kind)
    if not path.is_file():
        raise MediaError(f"{kind} {path} is a folder; name a file in it", field=kind)
    if not os.access(path, os.R_OK):
        raise MediaError(f"{kind} {path} may not be read; check its permissions", field=kind)


def _check_picture_size(name: str, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise MediaError(
            f"{name} is {width}x{height} pixels; a picture needs at least "
            f"{MIN_SIDE}x{MIN_SIDE}, better 64x64",
            field="image",
        )
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} is {width}x{height} pixels, more than {MAX_PIXELS}; make it smaller first",
            field="image",
        )


def _upright_rgb(image: Image.Image) -> Pixels:
    from PIL import Image as Images
    from PIL import ImageOps

    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise MediaError(
            "the picture holds float pixels of unknown range; save it with 8 or 16 bits",
            field="image",
        )
    if image.mode == "I" or image.mode.startswith("I;"):
        wide = np.clip(np.asarray(image.convert("I")), 0, 65535)
        return np.repeat((wide >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        black = Images.new("RGBA", over.size, (0, 0, 0, 255))
        image = Images.alpha_composite(black, over)
    return np.array(_in_srgb(image, profile), dtype=np.uint8)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in the colours that the picture's own profile means; one that is unusable is ignored."""
    from PIL import ImageCms

    plain = image.convert("RGB")
    if not profile:
        return plain
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        told = ImageCms.getProfileDescription(own)
        if "sRGB" in told and "linear" not in told.lower():
            return plain
        given = image if image.mode in ("CMYK", "L") else plain
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(given, own, srgb, outputMode="RGB") or plain
    except (ImageCms.PyCMSError, OSError, ImportError):  # a Pillow may be built without profiles
        return plain


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Stretch uint8 [H, W, 3] or [T, H, W, 3] to the given height and width, bicubic.

    A plain stretch: nothing is cropped and the proportions are not kept, as the published
    model does with a first picture. Pixels that already fit are returned as they are. Raises
    ShapeError for other shapes or sizes below one.
    """
    from PIL import Image

    if pixels.ndim not in (3, 4) or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ShapeError(
            f"pixels are {pixels.dtype} {list(pixels.shape)}; they must be uint8 [..., H, W, 3]",
            field="pixels",
        )
    if min(height, width) < 1:
        raise ShapeError(f"size {height}x{width} is empty; both sides must be positive")
    if pixels.shape[-3:-1] == (height, width):
        return pixels
    if pixels.ndim == 4:
        stretched = np.empty((len(pixels), height, width, 3), dtype=np.uint8)
        for index, picture in enumerate(pixels):
            stretched[index] = resize(picture, height, width)
        return stretched
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def save_image(pixels: Pixels, path: str | Path) -> None:
    """Write uint8 [H, W, 3] sRGB as a PNG file, whole or not at all; MediaError when it cannot."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    write_whole(path, lambda stream: image.save(stream, format="PNG"))
