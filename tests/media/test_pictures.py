"""Pictures: what is read, what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from magi_rt.errors import MediaError, ShapeError
from magi_rt.media.pictures import (
    picture_to_pixels,
    pixels_in_memory,
    read_image,
    resize,
    save_image,
)


def test_an_rgb_png_comes_back_pixel_for_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_image(pixels, tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)


def profile(gamma: float, description: str = "", space: bytes = b"RGB ") -> bytes:
    """An ICC profile with a plain gamma: of the colours of Display P3, or of grey (b"GRAY")."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    def xyz(*numbers: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*numbers)

    curve = struct.pack(">4sIIH2x", b"curv", 0, 1, round(gamma * 256))
    words = description.encode() + b"\0"
    told = struct.pack(">4sII", b"desc", 0, len(words)) + words
    tags = {
        b"desc": told.ljust(len(told) + 79 + -len(words) % 4, b"\0"),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {
            b"rXYZ": xyz(0.51512, 0.2412, -0.00105),
            b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
            b"bXYZ": xyz(0.1571, 0.06657, 0.78407),
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        }
    table, body, place = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x", place + len(body), 0x02400000, b"mntr", space, b"XYZ ", b"acsp"
    )
    return (head + fixed(0.9642, 1.0, 0.8249)).ljust(128, b"\0") + table + body


@pytest.mark.parametrize(("mode", "space"), [("RGB", b"RGB "), ("L", b"GRAY")])
def test_a_profile_is_heeded_whatever_it_is_called(tmp_path: Path, mode: str, space: bytes) -> None:
    linear = profile(1.0, "GIMP built-in Linear sRGB", space)
    own = ImageCms.ImageCmsProfile(io.BytesIO(linear))
    assert "Linear sRGB" in ImageCms.getProfileDescription(own)
    Image.new(mode, (4, 4), (55, 55, 55)[: len(mode)]).save(
        tmp_path / "linear.png", icc_profile=linear
    )
    assert np.abs(read_image(tmp_path / "linear.png").astype(int) - 128).max() <= 2


def test_a_display_p3_red_is_read_as_the_srgb_red_it_shows(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 4), (234, 51, 35))  # sRGB's (255, 0, 0) in Display P3
    red.save(tmp_path / "p3.png", icc_profile=profile(2.2))
    red.save(tmp_path / "broken.png", icc_profile=b"no profile")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    red.save(tmp_path / "srgb.png", icc_profile=srgb.tobytes())
    shown = read_image(tmp_path / "p3.png").astype(int)
    assert np.abs(shown - (255, 0, 0)).max() <= 8
    for name in ("broken.png", "srgb.png"):
        assert read_image(tmp_path / name)[0, 0].tolist() == [234, 51, 35]


def test_a_grey_picture_becomes_rgb(tmp_path: Path) -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))


def test_sixteen_bit_grey_keeps_its_upper_eight_bits(tmp_path: Path) -> None:
    deep = np.array([[0, 255], [256, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[..., 0].tolist() == [[0, 0], [1, 255]]


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[..., 0] = 200
    rgba[0, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    red = read_image(tmp_path / "rgba.png")
    assert red[0, 0].tolist() == [200, 0, 0]
    assert red[1, 0].tolist() == [0, 0, 0]


def test_a_palette_picture_with_a_transparent_colour_is_read(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "palette.png", transparency=0)
    pixels = read_image(tmp_path / "palette.png")
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 1].tolist() == [0, 255, 0]


def test_the_orientation_a_camera_wrote_down_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((4, 8, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_a_jpeg_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake.jpg").write_text("this is a letter, not a picture")
    with pytest.raises(MediaError, match="not a picture that can be read"):
        read_image(tmp_path / "fake.jpg")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(MediaError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, format=kind)
    (tmp_path / "cut").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(MediaError, match="damaged or cut short"):
        read_image(tmp_path / "cut")


def test_a_picture_of_one_pixel_is_refused(tmp_path: Path) -> None:
    save_image(np.zeros((1, 1, 3), dtype=np.uint8), tmp_path / "dot.png")
    with pytest.raises(MediaError, match=r"1x1 pixels.*at least 2x2"):
        read_image(tmp_path / "dot.png")


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_small_file_that_claims_a_giant_picture_is_refused(tmp_path: Path, side: int) -> None:
    def piece(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + check

    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    parts = [b"\x89PNG\r\n\x1a\n", piece(b"IHDR", header), piece(b"IDAT", b""), piece(b"IEND", b"")]
    (tmp_path / "giant.png").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="make it smaller first"):
        read_image(tmp_path / "giant.png")


def test_a_picture_in_memory_follows_the_same_rules() -> None:
    grey = Image.fromarray(np.full((3, 5), 7, dtype=np.uint8))
    assert picture_to_pixels(grey).tolist() == [[[7, 7, 7]] * 5] * 3
    with pytest.raises(MediaError, match="at least 2x2"):
        picture_to_pixels(Image.new("RGB", (1, 9)))


@pytest.mark.parametrize("given", [b"\x89PNG", bytearray(b"\x89PNG"), io.BytesIO(b"\x89PNG")])
def test_the_content_of_a_file_is_told_how_to_become_a_picture(given: object) -> None:
    name = type(given).__name__
    with pytest.raises(MediaError, match=rf"image is {name}; give a path .*io.BytesIO\(data\)"):
        pixels_in_memory(given, "image")
    with pytest.raises(MediaError, match=rf"video is {name}; give a path .*to a file first"):
        pixels_in_memory(given, "video")


@pytest.mark.parametrize(("given", "named"), [(3, "3"), (0.5, "0.5"), (object(), "object")])
def test_what_is_no_picture_is_named(given: object, named: str) -> None:
    with pytest.raises(MediaError, match=rf"image is {named}; give a path or an array [^;]*$"):
        pixels_in_memory(given, "image")


def test_resize_stretches_without_cropping() -> None:
    halves = np.zeros((4, 8, 3), dtype=np.uint8)
    halves[:, 4:] = 255
    tall = resize(halves, 16, 6)
    assert tall.shape == (16, 6, 3)
    assert (tall[:, 0] < 20).all() and (tall[:, -1] > 235).all()


def test_resize_takes_a_whole_video() -> None:
    video = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    assert resize(video, 8, 6).shape == (3, 8, 6, 3)
    assert resize(video, 4, 4) is video


def test_resize_refuses_channels_first_and_empty_sizes() -> None:
    with pytest.raises(ShapeError, match=r"must be uint8 \[\.\.\., H, W, 3\]"):
        resize(np.zeros((3, 4, 8), dtype=np.uint8), 8, 8)
    with pytest.raises(ShapeError, match="is empty"):
        resize(np.zeros((4, 8, 3), dtype=np.uint8), 0, 8)
