"""What `magi-rt train` refuses before it makes a folder, and how it says how a run ended."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from magi_rt.cli.app import app
from magi_rt.cli.train import conclude
from magi_rt.training.loop import Outcome


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing command"),
        (["vae"], "Missing argument"),
        (["vae", "out"], "either as --minutes or as --steps"),
        (["vae", "out", "--minutes", "1", "--steps", "1"], "either as --minutes or as --steps"),
        (["vae", "out", "--minutes", "0"], "more than 0"),
        (["vae", "out", "--minutes", "nan"], "more than 0"),
        (["vae", "out", "--steps", "-5"], "more than 0"),
        (["vae", "out", "--steps", "1", "--rate", "0"], "--rate"),
        (["vae", "out", "--steps", "1", "--batch", "0"], "--batch"),
        (["vae", "out", "--steps", "1", "--seed", "-1"], "--seed"),
        (["dit", "out", "--steps", "1", "--seed", "20261122170000"], "--seed"),
        (["dit", "out", "--steps", "1"], "give either --vae DIR"),
        (["dit", "out", "--steps", "1", "--vae", "none"], "--vae none is no folder"),
        (["distill", "out", "--steps", "1"], "--teacher"),
        (["distill", "out", "--teacher", "nano"], "either as --minutes or as --steps"),
        (["distill", "out", "--teacher", "nano", "--steps", "1", "--shortest", "5"], "4 or 8"),
        (["distill", "out", "--teacher", "nano", "--steps", "1", "--shards", "x"], "no folder"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_in_the_middle_of_a_file_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as a line of the log meets it

    monkeypatch.setattr("magi_rt.cli.train.keep_memory", full)
    result = CliRunner().invoke(app, ["train", "vae", str(tmp_path), "--steps", "1"])
    assert result.exit_code == 2
    assert result.stderr == "magi-rt: the disk cannot be used: No space left on device\n"


def test_a_finished_run_names_its_export(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(Outcome(step=90, elapsed_s=120.0, finished=True, averaged={}), Path("runs/vae"))
    assert "step 90, 2.0 minutes; exported to runs/vae/export" in capsys.readouterr().out


def test_a_stopped_run_exits_as_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        conclude(Outcome(step=9, elapsed_s=60.0, finished=False, averaged={}), Path("runs/vae"))
    assert ended.value.exit_code == 130
    assert "the same command goes on" in capsys.readouterr().err
