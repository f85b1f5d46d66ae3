"""What `magi-rt run` refuses: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from magi_rt.cli.app import app
from magi_rt.media.video_writer import VideoWriter


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


WITHOUT_TORCH = """
import sys
from typer.testing import CliRunner
from magi_rt.cli.app import app
for option, value in [("window", "9"), ("steps", "7"), ("size", "13x17"), ("seed", "-1"),
                      ("backend", "quantum"), ("prompt", "x" * 4001), ("image", "none.png"),
                      ("then", "0:99 night falls"), ("model", "nowhere"),
                      ("device", "abacus"), ("dtype", "int3")]:
    result = CliRunner().invoke(app, ["run", "--" + option, value])
    assert result.exit_code == 2, (option, result.output)
assert "torch" not in sys.modules
"""


def test_refusing_needs_no_torch(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def refusal(*options: str) -> str:
    """The sentence with which a run of the dummy world is refused; nothing new may be written."""
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    result = CliRunner().invoke(app, ["run", "--model", "dummy", *options])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("magi-rt: ")
    assert result.stderr.count("\n") == 1, "one sentence on one line"
    assert "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    return result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seconds", "0"], "more than 0 and at most 3600"),
        (["--seconds", "-3"], "more than 0 and at most 3600"),
        (["--seconds", "nan"], "more than 0 and at most 3600"),
        (["--seconds", "inf"], "more than 0 and at most 3600"),
        (["--seconds", "1e9"], "more than 0 and at most 3600"),
        (["--seconds", "ten"], "--seconds"),
        (["--seed", "-1"], "from 0 to 2**63 - 1"),
        (["--seed", str(2**63)], "from 0 to 2**63 - 1"),
        (["--seed", "1.5"], "--seed"),
        (["--steps", "7"], "steps"),
        (["--steps", "0"], "steps"),
        (["--window", "9"], "window"),
        (["--window", "0"], "window"),
        (["--size", "13x17"], "try 16x16"),
        (["--size", "64"], "write height x width"),
        (["--size", "0x64"], "sides go up to 4096"),
        (["--size", "64x99999"], "sides go up to 4096"),
        (["--scale", "0"], "whole number from 1 to 32"),
        (["--scale", "33"], "whole number from 1 to 32"),
        (["--backend", "quantum"], "unknown"),
        (["--device", "abacus"], "use 'auto', 'cpu', 'cuda' or 'cuda:N'"),
        (["--device", "cuda"], "runs on the CPU"),
        (["--attention", "sdpa"], "computes none; leave attention out"),
        (["--attention", "sdpa", "--backend", "dummy"], "computes none; leave attention out"),
        (["--dtype", "int3"], "use 'auto', 'float32', 'bfloat16'"),
        (["--prompt", "x" * 4001], "4,001 characters and the limit is 4,000"),
        (["--then", "nonsense"], "has no time in front"),
        (["--then", "0:99 too late"], "write 1:39"),
        (["--then", "0:10 wind"], "not inside the video"),
        (["--then", "0:03 a", "--then", "0:03 b"], "two prompts"),
        (["--unknown"], "No such option"),
        (["--model", "no/such/folder"], "no/such/folder"),
        (["--image", "none.png"], "does not exist"),
        (["--video", "none.mp4"], "does not exist"),
        (["--image", "."], "is a folder"),
        (["--out", "."], "is a folder"),
        (["--out", "film.avi"], "must end in .mp4; try film.mp4"),
        (["--out", "none/film.mp4"], "folder that does not exist"),
        (["--out", "x" * 300 + ".mp4"], "File name too long"),
        (["--image", "x" * 300 + ".png"], "File name too long"),
        (["--sheet", "sheet.jpg"], "must end in .png"),
        (["--log", "run.txt"], "must end in .json"),
    ],
)
def test_a_bad_option_is_refused(folder: Path, options: list[str], says: str) -> None:
    assert says in refusal(*options)


def test_a_jpeg_that_is_none_is_refused(folder: Path) -> None:
    (folder / "photo.jpg").write_text("not a picture")
    assert "not a picture that can be read" in refusal("--image", "photo.jpg")


def test_a_picture_of_one_pixel_is_refused(folder: Path) -> None:
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    assert "at least 2x2" in refusal("--image", "dot.png")


def test_a_video_shorter_than_one_chunk_is_refused(folder: Path) -> None:
    with VideoWriter(folder / "short.mp4", fps=24, height=32, width=32) as writer:
        for _ in range(5):
            writer.write(np.zeros((32, 32, 3), dtype=np.uint8))
    assert "has 5 frames at 24 per second; a world continues from at least one chunk" in refusal(
        "--video", "short.mp4"
    )


def test_a_picture_and_a_video_together_are_refused(folder: Path) -> None:
    assert "both given" in refusal("--image", "a.png", "--video", "b.mp4")


def test_a_sheet_over_the_first_picture_is_refused(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "film.png")
    assert "written over" in refusal("--image", "film.png", "--out", "film.mp4")


def test_a_bad_option_is_named_before_the_model_is_looked_for(folder: Path) -> None:
    assert "--seconds" in refusal("--model", "no/such/folder", "--seconds", "0")


def test_a_verb_that_is_none_is_refused_with_the_nearest(folder: Path) -> None:
    result = CliRunner().invoke(app, ["rnu"])
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
