"""A recorder writes a video and its captions, both or neither."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from magi_rt.errors import MediaError, PromptError
from magi_rt.media.late_interrupt import late_interrupt
from magi_rt.media.pictures import Pixels
from magi_rt.media.video_writer import Sink, VideoWriter
from magi_rt.training.recordings import Recorder
from magi_rt.training.recordings.clip_file import index_clip
from magi_rt.training.recordings.folder import open_clip
from tests.training.recording_kit import level, picture, shown, write_clip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_prompts_hold_until_the_next_and_nothing_leaves_a_gap(tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", 48, {0: "left", 24: "", 36: "right"})
    clip = open_clip(tmp_path / "run.mp4")
    held = [(one.start_s, one.end_s, one.prompt) for one in clip.captions]
    assert held == [(0.0, 1.0, "left"), (1.5, 2.0, "right")]


def test_of_two_prompts_before_a_frame_the_later_holds(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.mp4", size=None) as recorder:
        recorder.prompt("left")
        recorder.prompt("  right\n now ")
        recorder.frame(picture(0))
    (caption,) = open_clip(tmp_path / "run.mp4").captions
    assert caption.prompt == "right now"


def test_a_recording_is_made_smaller_in_proportion(tmp_path: Path) -> None:
    with Recorder(tmp_path / "runs" / "run.mp4", size=64) as recorder:
        recorder.frame(np.zeros((180, 320, 3), dtype=np.uint8))
    file = index_clip(tmp_path / "runs" / "run.mp4")
    assert (file.height, file.width) == (64, 114)


def test_a_frame_with_a_time_is_not_seen_before_it_and_the_one_before_is_repeated(
    tmp_path: Path,
) -> None:
    screen = picture(0)
    with Recorder(tmp_path / "run.mp4", size=None, fps=10) as recorder:
        for number, time_s in enumerate((0.0, 0.01, 0.1, 0.45, 0.5)):
            if number == 3:
                recorder.prompt("now")
            screen[:] = picture(number)  # drawn in place, as games do
            recorder.frame(screen, time_s=time_s)
    clip = open_clip(tmp_path / "run.mp4")
    found = shown(clip.file.read(0, 6, fps=10, size=32))
    expected = [level(number) for number in (0, 2, 2, 2, 3, 4)]
    assert np.abs(np.subtract(found, expected)).max() <= 2
    assert clip.captions[0].start_s == 0.4


def test_floats_are_taken_as_pixels_too(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.mp4", size=None) as recorder:
        recorder.frame(np.full((32, 32, 3), 0.5))
    assert abs(shown(index_clip(tmp_path / "run.mp4").read(0, 1, fps=24, size=32))[0] - 128) <= 2


@pytest.mark.parametrize("depth", [24, 32])
def test_a_pygame_surface_is_recorded_as_it_shows(tmp_path: Path, depth: int) -> None:
    pygame = pytest.importorskip("pygame", reason="pygame-ce is not installed")
    surface = pygame.Surface((64, 32), depth=depth)
    surface.fill((200, 40, 40))
    surface.fill((40, 40, 200), (32, 0, 32, 32))
    with Recorder(tmp_path / "run.mp4", size=None) as recorder:
        recorder.frame(surface)
        surface.fill((0, 0, 0))  # the surface is free again
    shot = index_clip(tmp_path / "run.mp4").read(0, 1, fps=24, size=32)[0].astype(int)
    assert np.abs(shot[16, 6] - (200, 40, 40)).max() < 12
    assert np.abs(shot[16, 26] - (40, 40, 200)).max() < 12


def test_a_surface_with_a_palette_is_refused_with_the_way_out(tmp_path: Path) -> None:
    pygame = pytest.importorskip("pygame", reason="pygame-ce is not installed")
    with pytest.raises(MediaError, match=r"surface\.convert\(24\)"):
        Recorder(tmp_path / "run.mp4").frame(pygame.Surface((8, 8), depth=8))


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_game_that_is_ended_keeps_its_recording(tmp_path: Path, end: type[BaseException]) -> None:
    with pytest.raises(end), Recorder(tmp_path / "run.mp4", size=None) as recorder:
        recorder.prompt("left")
        recorder.frame(picture(0))
        raise end
    assert names(tmp_path) == ["run.mp4", "run.srt"]


def test_ctrl_c_in_the_middle_of_a_frame_waits_until_the_frame_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = VideoWriter._encode

    def interrupted(writer: VideoWriter, pixels: Pixels | None) -> None:
        signal.raise_signal(signal.SIGINT)
        encode(writer, pixels)

    monkeypatch.setattr(VideoWriter, "_encode", interrupted)
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path / "run.mp4", size=None) as recorder:
        recorder.prompt("left")
        recorder.frame(picture(0))
    assert recorder.frames == 1
    assert len(index_clip(tmp_path / "run.mp4").stamps) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), late_interrupt():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one waited")


def test_recorders_off_the_main_thread_leave_signals_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(write_clip, tmp_path / "run.mp4", 2, {0: "left"}).result()
    assert names(tmp_path) == ["run.mp4", "run.srt"]


def test_two_recorders_of_one_name_keep_both_clips(tmp_path: Path) -> None:
    first, second = (Recorder(tmp_path / "run.mp4", size=None) for _ in range(2))
    for recorder, prompt in ((first, "left"), (second, "right")):
        recorder.prompt(prompt)
        recorder.frame(picture(0))
    second.close()
    first.close()
    assert names(tmp_path) == ["run-2.mp4", "run-2.srt", "run.mp4", "run.srt"]
    assert [recorder.path.name for recorder in (second, first)] == ["run.mp4", "run-2.mp4"]
    asked = [open_clip(recorder.path).captions[0].prompt for recorder in (second, first)]
    assert asked == ["right", "left"]


def test_a_discarded_recording_takes_nobody_elses_captions_along(tmp_path: Path) -> None:
    given_up = Recorder(tmp_path / "run.mp4", size=None)
    given_up.frame(picture(0))
    write_clip(tmp_path / "run.mp4", 2, {0: "left"})
    given_up.discard()
    assert names(tmp_path) == ["run.mp4", "run.srt"]


def test_a_recording_that_was_lost_to_a_full_disk_says_so_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path / "run.mp4", size=None)
    recorder.frame(picture(0))
    with monkeypatch.context() as patch:
        patch.setattr(Sink, "check", full_disk)
        with pytest.raises(MediaError, match="No space left"):
            recorder.frame(picture(1))
    with pytest.raises(MediaError, match="No space left"):
        recorder.frame(picture(2))
    with pytest.raises(MediaError, match="No space left"):
        recorder.close()
    assert names(tmp_path) == []


def full_disk(sink: Sink) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_clock_of_a_recording_may_have_begun_long_ago(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.mp4", size=None, fps=10) as recorder:
        for number, time_s in enumerate((86_400.0, 86_400.1, 86_400.3)):
            recorder.frame(picture(number), time_s=time_s)
    found = shown(index_clip(tmp_path / "run.mp4").read(0, 4, fps=10, size=32))
    expected = [level(number) for number in (0, 1, 1, 2)]
    assert recorder.frames == 4
    assert np.abs(np.subtract(found, expected)).max() <= 2


def test_a_game_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Recorder(tmp_path / "run.mp4") as recorder:
        recorder.frame(picture(0))
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_captions_that_cannot_be_written_leave_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, write: object) -> None:
        raise MediaError(f"{path} could not be written")

    monkeypatch.setattr("magi_rt.training.recordings.recorder.write_whole", refuse)
    with pytest.raises(MediaError), Recorder(tmp_path / "run.mp4") as recorder:
        recorder.frame(picture(0))
    assert names(tmp_path) == []


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"does not end in \.mp4"):
        Recorder(tmp_path / "run.avi")
    for none in (0, float("nan"), float("inf")):
        with pytest.raises(MediaError, match=f"fps {none}"):
            Recorder(tmp_path / "run.mp4", fps=none)
    recorder = Recorder(tmp_path / "run.mp4")
    for none in (float("nan"), float("inf")):
        with pytest.raises(MediaError, match="give seconds") as refused:
            recorder.frame(picture(0), time_s=none)
        assert refused.value.field == "time_s"
    (tmp_path / "old.srt").write_text("")
    with pytest.raises(MediaError, match="exists already; choose another name"):
        Recorder(tmp_path / "old.mp4")
    with pytest.raises(MediaError, match="no frame came"):
        Recorder(tmp_path / "run.mp4").close()
    with Recorder(tmp_path / "run.mp4") as recorder:
        recorder.frame(picture(0))
        with pytest.raises(PromptError):
            recorder.prompt("x" * 5000)
        with pytest.raises(MediaError, match="keep the window's size"):
            recorder.frame(picture(0, height=48))
    with pytest.raises(MediaError, match="is closed"):
        recorder.frame(picture(0))
    recorder.close()
    recorder.discard()
    assert names(tmp_path) == ["old.srt", "run.mp4", "run.srt"]


@pytest.mark.parametrize(
    "prompt", ["\u7ea2\u7403", "<b>", "<i>slow</i> motion", r"{\an8} up", "from 1 --> 2", "map.png"]
)
def test_a_prompt_that_would_be_read_otherwise_is_refused_before_it_is_recorded(
    tmp_path: Path, prompt: str
) -> None:
    with Recorder(tmp_path / "run.mp4") as recorder:
        recorder.prompt("before")
        with pytest.raises(PromptError, match="say it in other words"):
            recorder.prompt(prompt)
        recorder.frame(picture(0))
    assert open_clip(tmp_path / "run.mp4").prompt_at(0) == "before"


@pytest.mark.parametrize(
    "prompt", ["move --> left", "a < b", "7", "!?", "gravity, please\u2028now"]
)
def test_other_prompts_are_read_as_they_were_recorded(tmp_path: Path, prompt: str) -> None:
    with Recorder(tmp_path / "run.mp4") as recorder:
        recorder.prompt(prompt)
        recorder.frame(picture(0))
    assert open_clip(tmp_path / "run.mp4").prompt_at(0) == " ".join(prompt.split())


def test_a_game_that_records_does_not_load_torch() -> None:
    program = (
        "import sys\n"
        "from magi_rt.training.recordings import Recorder\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
