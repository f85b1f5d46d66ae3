"""A video file shows the right pictures wherever it is read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from magi_rt.errors import MediaError
from magi_rt.media.video_reader import read_video
from magi_rt.media.video_writer import VideoWriter
from magi_rt.training.recordings.clip_file import fitted, index_clip
from tests.training.recording_kit import level, shown, write_groups, write_video


@pytest.mark.parametrize(("fps", "ending"), [(24, "mp4"), (25, "mkv"), (60, "mov"), (10, "mp4")])
def test_a_window_shows_what_reading_from_the_start_shows(
    tmp_path: Path, fps: float, ending: str
) -> None:
    path = tmp_path / f"run.{ending}"
    write_video(path, 320, fps=fps)
    file = index_clip(path)
    whole = read_video(path, fps=24, limit=10_000)
    assert file.frames_at(24) == len(whole)
    for first in (0, 1, 90, len(whole) - 8):
        assert np.array_equal(file.read(first, 8, fps=24, size=32), whole[first : first + 8])


@pytest.mark.parametrize(
    ("ending", "codec", "frames", "group", "side", "options"),
    [
        ("ts", "libx264", 200, 48, 48, {}),
        ("ts", "libx264", 60, 24, 528, {}),
        ("mpg", "mpeg2video", 200, 12, 48, {}),
        ("mpg", "mpeg2video", 60, 12, 528, {}),
        ("mp4", "libx264", 60, 24, 528, {"x264-params": "open-gop=1:b-adapt=0"}),
    ],
)
def test_a_window_is_the_same_wherever_seeking_lands(
    tmp_path: Path,
    ending: str,
    codec: str,
    frames: int,
    group: int,
    side: int,
    options: dict[str, str],
) -> None:
    path = tmp_path / f"run.{ending}"
    write_groups(path, frames, group, side, codec, options)
    file = index_clip(path)
    with av.open(str(path)) as container:
        whole = {frame.pts: frame for frame in reversed(list(container.decode(video=0)))}
    times_s = (file.stamps - file.stamps[0]) * file.tick_s
    for first in (1, group - 2, 2 * group - 9, 2 * group - 2, frames - 8):
        places = [int(np.abs(times_s - number / 24).argmin()) for number in range(first, first + 8)]
        expected = np.stack([fitted(whole[int(file.stamps[place])], 16) for place in places])
        assert np.array_equal(file.read(first, 8, fps=24, size=16), expected)


def test_a_file_that_begins_amid_a_group_is_not_filled_with_what_comes_later(
    tmp_path: Path,
) -> None:
    path, cut = tmp_path / "run.ts", tmp_path / "cut.ts"
    write_groups(path, 96, 48, 64)
    with av.open(str(path)) as whole, av.open(str(cut), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in list(whole.demux(whole.streams.video[0]))[20:96]:
            packet.stream = stream
            container.mux(packet)
    with pytest.raises(MediaError, match=r"between 0\.0 and 0\.3 s"):
        index_clip(cut).read(0, 8, fps=24, size=16)


def test_a_clip_named_by_the_clock_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "run.mp4", 8)
    (tmp_path / "run.mp4").rename(tmp_path / "2026-11-21T12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(index_clip("2026-11-21T12:30.mp4").stamps) == 8


def test_frames_at_odd_times_are_found_too(tmp_path: Path) -> None:
    path = tmp_path / "run.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = 32
        for number, millis in enumerate((500, 540, 700, 710, 900)):
            pixels = np.full((32, 32, 3), level(number), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = millis
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file = index_clip(path)
    numbers = [0, 1, 1, 2, 2, 3, 3, 3, 4]
    expected = [level(number) for number in numbers]
    found = shown(file.read(0, len(numbers), fps=24, size=32))
    assert np.abs(np.subtract(found, expected)).max() <= 2


@pytest.mark.parametrize("colour", [(128, 128, 128), (200, 120, 40), (255, 255, 255)])
def test_a_smaller_picture_has_the_same_colours(
    tmp_path: Path, colour: tuple[int, int, int]
) -> None:
    path = tmp_path / "flat.mp4"
    writer = VideoWriter(path, fps=24, height=64, width=64)
    for _ in range(4):
        writer.write(np.full((64, 64, 3), colour, np.uint8))
    writer.close()
    whole, small = (index_clip(path).read(0, 1, fps=24, size=size) for size in (64, 32))
    assert np.abs(whole.astype(int) - colour).max() <= 1
    assert np.array_equal(small[0, 0, 0], whole[0, 0, 0])


def test_pictures_are_scaled_and_cut_to_the_middle_square(tmp_path: Path) -> None:
    wide = np.zeros((48, 96, 3), dtype=np.uint8)
    wide[:, :24], wide[:, 24:72], wide[:, 72:] = 250, 120, 250
    path = tmp_path / "run.mp4"
    with VideoWriter(path, fps=24, height=48, width=96) as video:
        video.write(wide)
    square = index_clip(path).read(0, 1, fps=24, size=16)
    assert square.shape == (1, 16, 16, 3)
    assert abs(int(square[0, 8, 8, 0]) - 120) <= 3 and square[0, :, 2:14].max() < 135
