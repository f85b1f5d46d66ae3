"""A world that starts from a picture or a video, and the pixels it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from magi_rt.backends.dummy import DummyExecutor
from magi_rt.errors import MediaError, OptionError
from magi_rt.media import video_reader
from magi_rt.media.video_reader import read_video
from magi_rt.media.video_writer import VideoWriter
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.world import World
from tests.support import small_config, write_model
from tests.world.kit import dummy_world, same_pixels, story

Pixels = npt.NDArray[np.uint8]


def picture(
    height: int = 32, width: int = 32, colour: tuple[int, int, int] = (200, 40, 40)
) -> Pixels:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def clip(frames: int, height: int = 32, width: int = 32) -> Pixels:
    return np.stack([picture(height, width, (4 * k, 200 - 4 * k, 90)) for k in range(frames)])


def test_a_world_begins_with_its_first_picture() -> None:
    frames = dummy_world(image=picture()).advance()
    assert len(frames) == 8
    red, green, blue = frames[0].pixels.mean(axis=(0, 1))
    assert red > green + 30 and red > blue + 30
    assert not np.array_equal(frames[0].pixels, dummy_world().advance()[0].pixels)


def test_opening_reads_the_chunks_of_a_video_into_the_memory_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    denoise = DummyExecutor.denoise

    def counted(self: DummyExecutor, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        read.append(inputs.first_chunk)
        return denoise(self, inputs, cache)

    monkeypatch.setattr(DummyExecutor, "denoise", counted)
    dummy_world(video=clip(20))
    assert read == [0, 1]


def test_bytes_floats_pil_and_files_are_the_same_picture(tmp_path: Path) -> None:
    pixels = picture()
    Image.fromarray(pixels).save(tmp_path / "red.png")
    expected = dummy_world(image=pixels).advance("left")
    ways: list[Any] = [
        pixels / 255.0,
        (pixels / 255.0).astype(np.float32),
        Image.fromarray(pixels),
        tmp_path / "red.png",
        str(tmp_path / "red.png"),
    ]
    for way in ways:
        assert same_pixels(dummy_world(image=way).advance("left"), expected)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA", "1"])
def test_pictures_of_other_modes_are_taken(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(picture()).convert(mode)
    image.save(tmp_path / "other.png")
    from_file = dummy_world(image=tmp_path / "other.png").advance()
    assert same_pixels(from_file, dummy_world(image=image).advance())


def test_a_picture_of_another_size_is_stretched_and_that_is_said() -> None:
    world = dummy_world(image=picture(50, 100))
    assert world.notes == [
        "the picture of 100x50 pixels was stretched to 32x32 (width x height), nothing cropped"
    ]
    assert dummy_world(image=picture()).notes == []


REFUSED_PICTURES: list[tuple[Any, str]] = [
    (picture(1, 1), "1x1"),
    (picture().transpose(2, 0, 1), "channels first.*move axis 0"),
    (picture()[:, :, 0], r"shape \[32, 32\]"),
    (np.zeros((32, 32, 4), np.uint8), "4 channels"),
    (np.zeros((1, 32, 32, 3), np.uint8), r"give \[H, W, 3\]"),
    (np.full((32, 32, 3), np.nan), "NaN"),
    (np.full((32, 32, 3), np.inf, np.float32), "infinity"),
    (picture().astype(np.float32), "divide by 255"),
    (picture() / 255.0 - 0.5, "within 0..1"),
    (picture().astype(np.int64), "int64"),
    (np.zeros((0, 32, 3), np.uint8), "32x0"),
    (np.array([["a"]]), "shape"),
    ([[[1, 2, 3]], [[1, 2]]], "NumPy cannot read"),
    (torch.zeros(32, 32, 3, dtype=torch.bfloat16), "NumPy cannot read"),
    (torch.zeros(32, 32, 3, requires_grad=True), "NumPy cannot read"),
    (torch.zeros(32, 32, 3, device="meta"), "NumPy cannot read"),
    (SimpleNamespace(convert=None, width=32, height=32), "cannot be read"),
    (b"picture", r"io\.BytesIO"),
    ("missing.png", "does not exist"),
    (3, "image is 3; give a path"),
]


def test_a_closed_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    opened = Image.open(tmp_path / "a.png")
    opened.close()
    with pytest.raises(MediaError, match="open it again"):
        dummy_world(image=opened)


@pytest.mark.parametrize(("image", "words"), REFUSED_PICTURES)
def test_pixels_that_are_no_picture_are_refused(image: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        dummy_world(image=image)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake.jpg").write_text("not a picture")
    with pytest.raises(MediaError, match=r"fake\.jpg"):
        dummy_world(image=tmp_path / "fake.jpg")


def test_a_video_is_continued() -> None:
    world = dummy_world(video=clip(16))
    frames = world.advance("left")
    assert [frame.index for frame in frames] == list(range(8))
    assert world.notes == ["the world continues after the first 16 frames (0.67 s) of the video"]
    assert not np.array_equal(frames[0].pixels, dummy_world().advance("left")[0].pixels)


def test_a_video_that_ends_inside_a_chunk_leaves_a_shorter_first_chunk() -> None:
    world = dummy_world(video=clip(12))
    counts = [len(world.advance()) for _ in range(3)]
    assert counts == [4, 8, 8]
    assert world.advance()[0].index == 20


def test_at_most_32_frames_of_a_video_are_used() -> None:
    assert same_pixels(
        story(dummy_world(video=clip(50)), None, None),
        story(dummy_world(video=clip(32)), None, None),
    )


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (clip(7), "7 frames at 24 per second.*is 8"),
        (clip(8).transpose(0, 3, 1, 2), "channels first.*move axis 1"),
        (picture(), r"give \[T, H, W, 3\]"),
        (clip(8, 1, 1), "1x1"),
        ("missing.mp4", "does not exist"),
    ],
)
def test_pixels_that_are_no_video_are_refused(video: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        dummy_world(video=video)


def test_a_world_starts_from_a_picture_or_a_video_not_from_both() -> None:
    with pytest.raises(OptionError, match="both"):
        dummy_world(image=picture(), video=clip(8))


def test_a_world_begun_anew_is_the_one_that_would_be_opened_so() -> None:
    world = dummy_world(image=picture())
    made = story(world, "rain", "snow")
    begun = world.anew()
    assert begun.rewindable == 0, "nothing lies before a beginning"
    assert same_pixels(story(begun, "rain", "snow"), made)
    green = picture(colour=(10, 200, 10))
    other = dummy_world(seed=9, image=green)
    assert same_pixels(story(world.anew(seed=9, image=green), "rain"), story(other, "rain"))
    assert world.chunks == 2, "the first world is where it was"


def test_a_new_beginning_after_a_restore_has_the_snapshots_seed_and_picture() -> None:
    world, other = dummy_world(seed=1, image=picture()), dummy_world(seed=2)
    made = story(world, "rain")
    other.restore(world.snapshot())
    assert same_pixels(story(other.anew(), "rain"), made)
    assert other.anew().log == world.anew().log
    green = picture(colour=(10, 200, 10))
    expected = story(dummy_world(seed=5, image=green), "rain")
    assert same_pixels(story(other.anew(seed=5, image=green), "rain"), expected)


def test_starting_from_a_large_video_holds_one_frame_at_full_size_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=24, height=128, width=192) as writer:
        for level in range(0, 200, 10):
            writer.write(np.full((128, 192, 3), level, np.uint8))
    whole = read_video(tmp_path / "a.mp4", fps=24, limit=32)
    held: list[int] = []
    read = video_reader.read_video

    def watched(*given: Any, **options: Any) -> Any:
        pixels = read(*given, **options)
        held.append(sum(frame.shape[0] > 32 for frame in pixels))
        return pixels

    monkeypatch.setattr(video_reader, "read_video", watched)
    world = dummy_world(video=tmp_path / "a.mp4")
    assert max(held) == 1
    same = dummy_world(video=whole)
    assert world.notes == same.notes and "192x128 pixels was stretched" in world.notes[1]
    assert same_pixels(world.advance(), same.advance())


def test_a_world_is_not_begun_anew_from_a_seed_or_picture_that_is_none() -> None:
    world = dummy_world()
    with pytest.raises(OptionError, match="seed"):
        world.anew(seed=-1)
    with pytest.raises(MediaError):
        world.anew(image="nowhere.png")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"image": "typo.png"}, r"typo\.png does not exist"),
        ({"video": "typo.mp4"}, r"typo\.mp4 does not exist"),
        ({"image": __file__}, r"test_start\.py is not a picture"),
        ({"image": picture()[:, :, 0]}, "shape"),
        ({"image": SimpleNamespace(convert=None, width=32, height=32)}, "cannot be read"),
        ({"video": clip(8).astype(np.int64)}, "int64"),
    ],
)
def test_a_start_that_cannot_be_used_is_told_before_a_model_is_opened(
    start: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.world.machine.open_executor", refuse_to_open)
    with pytest.raises(MediaError, match=words):
        dummy_world(**start)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 5}, "5 steps cannot be chosen"),
        ({"window": 3}, "do not divide among 3 chunks"),
        ({"window": 9}, "a window of 9 chunks"),
        ({"adapt": True}, "no deadline can be kept"),
        ({"size": (40, 32)}, "size 40x32.*try"),
    ],
)
def test_options_that_a_model_cannot_take_are_told_before_its_weights_are_read(
    options: dict[str, Any], words: str, talking_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.world.machine.open_executor", refuse_to_open)
    with pytest.raises(OptionError, match=words):
        World.open(talking_model, **options)


def test_a_memory_without_end_is_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "m", small_config(noise2clean_kvrange=(), window_size=1))
    monkeypatch.setattr("magi_rt.world.machine.open_executor", refuse_to_open)
    with pytest.raises(OptionError, match="give a depth"):
        World.open(folder)


def refuse_to_open(*_: Any, **__: Any) -> None:
    raise AssertionError("the model was opened")
