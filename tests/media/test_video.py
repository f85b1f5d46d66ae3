"""Video files: any rate in, mp4 out, whole or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from magi_rt.errors import MediaError, ShapeError
from magi_rt.media.video_reader import read_video
from magi_rt.media.video_writer import Sink, VideoWriter

Pixels = npt.NDArray[np.uint8]


def grey(level: int, height: int = 32, width: int = 48) -> Pixels:
    return np.full((height, width, 3), level, dtype=np.uint8)


def write_steps(path: Path, rate: Fraction, levels: list[int]) -> None:
    """A lossless-enough video whose frame k is plain grey of level levels[k]."""
    with VideoWriter(path, fps=float(rate), height=32, width=48) as writer:
        for level in levels:
            writer.write(grey(level))


def levels_of(video: Pixels) -> list[int]:
    return [round(float(frame.mean())) for frame in video]


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_videos_written_at_once_under_long_names_that_begin_alike_hold_their_own_frames(
    tmp_path: Path,
) -> None:
    name = "the same moment continued under two prompts, by {}.mp4"
    paths = [tmp_path / name.format(time) for time in ("day", "night")]
    writers = [VideoWriter(path, fps=24, height=32, width=48) for path in paths]
    for _ in range(3):
        for writer, level in zip(writers, (200, 40), strict=True):
            writer.write(grey(level))
    for writer in writers:
        writer.close()
    for path, level in zip(paths, (200, 40), strict=True):
        seen = levels_of(read_video(path, fps=24, limit=10))
        assert len(seen) == 3 and np.abs(np.array(seen) - level).max() <= 2
    assert sorted(tmp_path.iterdir()) == paths


def test_a_video_with_a_colon_in_its_name_is_read_by_its_relative_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_steps(Path("2026-11-21T12:30:05.mp4"), Fraction(24), [100, 100])
    assert len(read_video("2026-11-21T12:30:05.mp4", fps=24, limit=9)) == 2


def test_a_video_at_the_same_rate_comes_back_frame_by_frame(tmp_path: Path) -> None:
    levels = list(range(20, 220, 10))
    write_steps(tmp_path / "a.mp4", Fraction(24), levels)
    video = read_video(tmp_path / "a.mp4", fps=24, limit=100)
    assert video.shape == (20, 32, 48, 3) and video.dtype == np.uint8
    assert np.abs(np.array(levels_of(video)) - levels).max() <= 2


@pytest.mark.parametrize(
    ("rate", "count", "expected"),
    [
        (Fraction(30000, 1001), 60, 48),
        (Fraction(25), 25, 24),
        (Fraction(15), 15, 24),
        (Fraction(60), 60, 24),
        (Fraction(119, 10), 12, 25),
    ],
)
def test_odd_rates_are_resampled_to_the_nearest_frame_in_time(
    tmp_path: Path, rate: Fraction, count: int, expected: int
) -> None:
    write_steps(tmp_path / "a.mp4", rate, [20 + 3 * index for index in range(count)])
    video = read_video(tmp_path / "a.mp4", fps=24, limit=1000)
    assert abs(len(video) - expected) <= 1
    seen = (np.array(levels_of(video)) - 20) / 3
    wanted = np.minimum(np.arange(len(video)) / 24 * float(rate), count - 1)
    assert np.abs(seen - wanted).max() <= 0.5 + 0.7  # half a frame, and rounding by the codec


def test_reading_stops_at_the_limit_and_stretches_while_reading(tmp_path: Path) -> None:
    write_steps(tmp_path / "a.mp4", Fraction(24), [100] * 30)
    assert read_video(tmp_path / "a.mp4", fps=24, limit=8, size=(16, 64)).shape == (8, 16, 64, 3)


def test_a_video_shorter_than_the_limit_gives_what_it_has(tmp_path: Path) -> None:
    write_steps(tmp_path / "a.mp4", Fraction(24), [100, 120, 140])
    assert len(read_video(tmp_path / "a.mp4", fps=24, limit=8)) == 3


def test_a_video_a_phone_took_upright_is_turned(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        quarter = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
        stream.set_display_matrix(quarter)
        pixels = grey(20)
        pixels[:, :24] = 200  # bright on the left
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = read_video(tmp_path / "a.mp4", fps=24, limit=4)
    assert video.shape[1:] == (48, 32, 3)
    # this matrix shows the picture turned clockwise: left becomes top
    assert video[0, :20].mean() > 150 and video[0, -20:].mean() < 60


def test_what_is_transparent_is_laid_over_black(tmp_path: Path) -> None:
    layered = np.zeros((16, 16, 4), np.uint8)
    layered[..., :3] = 200, 100, 50
    layered[:8, :, 3], layered[8:, :8, 3] = 255, 128
    with av.open(str(tmp_path / "layered.mov"), "w") as container:
        stream = container.add_stream("png", rate=24)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(layered, format="rgba")))
        container.mux(stream.encode(None))
    pixels = read_video(tmp_path / "layered.mov", fps=24, limit=1)[0]
    assert [pixels[y, x].tolist() for y, x in ((0, 0), (12, 0), (12, 12))] == [
        [200, 100, 50],
        [100, 50, 25],
        [0, 0, 0],
    ]


def test_files_that_are_no_video_are_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("dear reader")
    with pytest.raises(MediaError, match="not a video that can be read"):
        read_video(tmp_path / "letter.mp4", fps=24, limit=8)
    with pytest.raises(MediaError, match="does not exist"):
        read_video(tmp_path / "none.mp4", fps=24, limit=8)
    with pytest.raises(MediaError, match="is a folder"):
        read_video(tmp_path, fps=24, limit=8)


def test_a_video_cut_short_is_refused(tmp_path: Path) -> None:
    write_steps(tmp_path / "a.mp4", Fraction(24), [20, 60, 90, 120])
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"cut short|damaged"):
        read_video(tmp_path / "cut.mp4", fps=24, limit=8)


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(MediaError, match="no video track"):
        read_video(tmp_path / "a.wav", fps=24, limit=8)


def test_written_colours_are_the_colours_read(tmp_path: Path) -> None:
    colours = np.array([[[250, 20, 20], [20, 240, 30]], [[30, 30, 230], [240, 220, 20]]])
    tiles = np.repeat(np.repeat(colours.astype(np.uint8), 32, 0), 32, 1)
    with VideoWriter(tmp_path / "a.mp4", fps=24, height=64, width=64) as writer:
        writer.write(tiles)
    seen = read_video(tmp_path / "a.mp4", fps=24, limit=1)[0]
    error = np.abs(seen.astype(int) - tiles)[16::32, 16::32]
    assert error.max() <= 4


@pytest.mark.parametrize(("height", "width", "scale"), [(17, 13, 1), (17, 13, 3), (64, 64, 4)])
def test_odd_sizes_are_padded_to_even_ones(
    tmp_path: Path, height: int, width: int, scale: int
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, fps=24, height=height, width=width, scale=scale) as writer:
        writer.write(grey(90, height, width))
    video = read_video(path, fps=24, limit=4)
    sides = [height * scale, width * scale]
    assert list(video.shape[1:3]) == [side + side % 2 for side in sides]
    assert np.abs(video.astype(int) - 90).max() <= 3


def test_nothing_bears_the_name_until_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, fps=24, height=32, width=48)
    writer.write(grey(10))
    assert not path.exists()
    finished = [writer.finished]
    writer.close()
    finished.append(writer.finished)
    writer.close()
    assert finished == [False, True]
    assert frames_in(path) == 1
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(MediaError, match="closed"):
        writer.write(grey(10))


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with (
        pytest.raises(RuntimeError, match="model broke"),
        VideoWriter(path, fps=24, height=32, width=48) as writer,
    ):
        writer.write(grey(10))
        raise RuntimeError("model broke")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_between_frames_keeps_the_frames_so_far(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(path, fps=24, height=32, width=48) as writer,
    ):
        for level in range(5):
            writer.write(grey(level * 20))
        raise KeyboardInterrupt
    assert frames_in(path) == 5
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(tmp_path / "a.mp4", fps=24, height=32, width=48),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_inside_the_encoder_leaves_nothing_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting:
        """A file whose every write is interrupted."""

        def write(self, data: bytes) -> int:
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> object:
            return getattr(writer_file, name)

    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(tmp_path / "a.mp4", fps=24, height=32, width=48) as writer,
    ):
        writer.write(grey(10))
        writer_file = writer._sink._file
        monkeypatch.setattr(writer._sink, "_file", Interrupting())
        for _ in range(200):
            writer.write(grey(20))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room_bytes", [0, 100, 6_000])
def test_a_full_disk_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    whole_write = Sink.write
    used = 0

    def write(sink: Sink, data: bytes) -> int:
        nonlocal used
        used += 0 if sink.silent else len(data)
        if used > room_bytes and not sink.silent:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole_write(sink, data)

    monkeypatch.setattr(Sink, "write", write)
    noise = np.random.default_rng(3).integers(0, 256, (90, 32, 48, 3), dtype=np.uint8)
    with (
        pytest.raises(MediaError, match=r"a\.mp4 could not be written \(No space left on device"),
        VideoWriter(tmp_path / "a.mp4", fps=24, height=32, width=48) as writer,
    ):
        for pixels in noise:
            writer.write(pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit of the system")
def test_a_real_limit_of_the_system_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    program = """
import resource, sys, numpy as np
from magi_rt.errors import MediaError
from magi_rt.media.video_writer import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
try:
    with VideoWriter(sys.argv[1], fps=24, height=64, width=64) as writer:
        for k in range(90):
            writer.write(np.roll(noise, 7 * k, axis=0))
except MediaError as error:
    sys.exit(f"refused: {error}")
"""
    argv = [sys.executable, "-c", program, str(tmp_path / "a.mp4")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "refused" in done.stderr and "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused_and_the_file_stays_good(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, fps=24, height=32, width=48) as writer:
        writer.write(grey(10))
        with pytest.raises(ShapeError, match="this file takes uint8"):
            writer.write(grey(10, 48, 32))
        writer.write(grey(30))
    assert frames_in(path) == 2


def test_a_file_without_frames_is_refused(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", fps=24, height=32, width=48)
    with pytest.raises(MediaError, match="no frame came"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="could not be written"):
        VideoWriter(tmp_path / "none" / "a.mp4", fps=24, height=32, width=48)
