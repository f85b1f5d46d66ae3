"""`magi-rt record` records a world as clips, and checks a folder of clips."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app
from tests.training.recording_kit import write_clip


def record(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["record", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_world_becomes_a_folder_of_clips_that_passes_the_check(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    made = record("toybox", folder, "--clips", "2", "--seconds", "3", "--size", "32", "--quiet")
    assert made.exit_code == 0 and "2 clips of 3 s recorded" in made.stdout
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["clip-0001.mp4", "clip-0001.srt", "clip-0002.mp4", "clip-0002.srt"]
    checked = record("--check", folder)
    assert checked.exit_code == 0
    assert "clip-0002.mp4" in checked.stdout and "2 clips, 0.1 minutes" in checked.stdout


def test_a_check_shows_every_problem_and_ends_with_code_2(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4", 72, {0: "turn left", 24: ""})
    write_clip(tmp_path / "bad.mp4", 24, {0: "turn left"})
    (tmp_path / "bad.srt").write_text("[00:01] turn left\n")
    (tmp_path / "lone.mp4").write_bytes(b"")
    checked = record("--check", tmp_path)
    assert checked.exit_code == 2
    assert "bad.srt line 1" in checked.stdout and "lone.mp4 has no captions" in checked.stdout
    assert "turn left" in checked.stdout and "1 clips" in checked.stdout
    assert checked.stderr.strip().startswith("magi-rt: 2 of 3 files cannot be used")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give WORLD and DIR"),
        (["toybox"], "give WORLD and DIR"),
        (["toybox", "clips", "--check", "clips"], "leave WORLD and DIR out"),
        (["toybox", "clips", "--full"], "give --check DIR with it"),
        (["chess", "clips"], "no world 'chess'"),
        (["toybox", "clips", "--seconds", "999"], "at most 120"),
        (["toybox", "clips", "--seconds", "nan"], "more than 0"),
        (["toybox", "clips", "--clips", "0"], "--clips"),
        (["toybox", "clips", "--size", "30000"], "less than or equal to 4096"),
        (["--check", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = record(*arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr and refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
