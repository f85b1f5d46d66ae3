"""What `magi-rt run` makes of a world, on the dummy world."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app
from magi_rt.media.pictures import read_image
from magi_rt.media.video_reader import read_video
from magi_rt.media.video_writer import Sink, VideoWriter


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str) -> Result:
    """A run of the dummy world that must succeed."""
    arguments = ["run", "--model", "dummy", *options]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_with_nothing_given_a_story_appears_as_video_and_sheet(folder: Path) -> None:
    shown = run("--seconds", "2").stdout
    assert names(folder) == ["magi-world.mp4", "magi-world.png"]
    assert len(read_video("magi-world.mp4", fps=24, limit=1000)) == 48
    assert "night falls" in shown and "magi-world.mp4" in shown
    assert "frames per second" in shown and "first chunk" in shown and "delay" in shown


def test_small_worlds_are_enlarged_until_they_are_well_seen(folder: Path) -> None:
    run("--seconds", "0.1")
    assert read_video("magi-world.mp4", fps=24, limit=1).shape[1:3] == (256, 256)
    run("--seconds", "0.1", "--scale", "2", "--out", "b.mp4")
    assert read_video("b.mp4", fps=24, limit=1).shape[1:3] == (128, 128)


def test_the_video_is_as_long_as_asked_to_the_frame(folder: Path) -> None:
    run("--seconds", "0.5", "--out", "a.mp4")
    assert len(read_video("a.mp4", fps=24, limit=1000)) == 12
    run("--seconds", "0.001", "--out", "b.mp4")
    assert len(read_video("b.mp4", fps=24, limit=1000)) == 1


def test_a_new_prompt_is_seen_at_its_time(folder: Path) -> None:
    run("--prompt", "red", "--seconds", "2", "--scale", "1", "--out", "one.mp4")
    options = ["--prompt", "red", "--then", "0:01 blue", "--seconds", "2", "--scale", "1"]
    shown = run(*options, "--out", "two.mp4").stdout
    one, two = (read_video(name, fps=24, limit=48).astype(int) for name in ("one.mp4", "two.mp4"))
    apart = np.abs(one - two).mean(axis=(1, 2, 3))
    assert apart[:24].max() < 5 and apart[24:].min() > 5
    assert shown.count("0:01.0") == 2, "asked for and first seen"


@pytest.mark.parametrize("window", ["2", "4"])
def test_with_chunks_in_flight_a_prompt_is_given_early_and_seen_at_its_time(
    folder: Path, window: str
) -> None:
    options = ["--prompt", "red", "--then", "0:02 blue", "--seconds", "3", "--window", window]
    assert run(*options).stdout.count("0:02.0") == 2, "asked for and first seen"


def test_the_log_repeats_the_run(folder: Path) -> None:
    run("--prompt", "red", "--then", "0:00.5 blue", "--seconds", "1", "--log", "run.json")
    log = json.loads((folder / "run.json").read_text())
    assert [event["prompt"] for event in log["events"]] == ["red", "blue"]


def test_device_and_number_format_can_be_chosen(folder: Path) -> None:
    shown = run("--seconds", "0.1", "--device", "cpu", "--dtype", "float32").stdout
    assert "dummy on cpu, float32" in shown


def test_quiet_says_nothing(folder: Path) -> None:
    result = run("--seconds", "0.5", "--quiet")
    assert result.output == ""
    assert names(folder) == ["magi-world.mp4", "magi-world.png"]


@pytest.mark.parametrize("prompt", ["", "\N{GRINNING FACE} \N{SNOWFLAKE}", "bell\x07 and \x00 nul"])
def test_any_prompt_a_person_types_is_taken(folder: Path, prompt: str) -> None:
    run("--prompt", prompt, "--seconds", "0.5")


def test_a_prompt_with_square_brackets_is_shown_as_typed(folder: Path) -> None:
    assert "[bold] [/x] ball" in run("--prompt", "a", "--then", "0:00.4 [bold] [/x] ball",
                                     "--seconds", "1").stdout  # fmt: skip


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1", "CMYK"])
def test_a_world_starts_from_a_picture_of_any_kind_and_size(folder: Path, mode: str) -> None:
    name = "first.tif" if mode == "CMYK" else "first.png"
    Image.new("RGB", (77, 31), (200, 40, 40)).convert(mode).save(folder / name)
    shown = run("--image", name, "--seconds", "0.5", "--out", "a.mp4").stdout
    assert "stretched to 64x64" in shown


@pytest.mark.parametrize("fps", [10.0, 24.0, 29.97])
def test_a_world_continues_a_video_of_any_frame_rate(folder: Path, fps: float) -> None:
    with VideoWriter(folder / "first.mp4", fps=fps, height=30, width=50) as writer:
        for level in range(40):
            writer.write(np.full((30, 50, 3), 40 + 4 * level, dtype=np.uint8))
    run("--video", "first.mp4", "--seconds", "1", "--out", "a.mp4")
    assert len(read_video("a.mp4", fps=24, limit=1000)) == 24


def test_the_sheet_shows_at_least_twenty_pictures(folder: Path) -> None:
    run("--seconds", "1", "--sheet", "s.png")
    sheet = read_image("s.png")
    assert sheet.shape[1] > 5 * 240 and sheet.shape[0] > 4 * 240


def test_a_disk_that_fills_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_write = Sink.write

    def write(sink: Sink, data: bytes) -> int:
        if sink.tell() > 1000 and not sink.silent:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole_write(sink, data)

    monkeypatch.setattr(Sink, "write", write)
    result = CliRunner().invoke(app, ["run", "--model", "dummy", "--seconds", "4", "--quiet"])
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr and "\n" not in result.stderr.strip()
    assert names(folder) == []
