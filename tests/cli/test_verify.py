"""`magi-rt verify`: what passes, what fails, what is not known, and the exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app

GOLDENS = Path(__file__).parent.parent / "data" / "goldens"


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["verify", *arguments], env={"COLUMNS": "120", "TERM": "dumb"})


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder with two quick cases, to be changed at will."""
    folder = tmp_path / "goldens"
    folder.mkdir()
    for name in ("cfg_scales", "schedule_time"):
        for path in GOLDENS.glob(f"{name}.*"):
            shutil.copy(path, folder)
    return folder


def test_cases_that_agree_pass_with_exit_code_zero(few: Path) -> None:
    result = verify(str(few))
    assert result.exit_code == 0, result.output
    assert "2 of 2 cases pass" in result.stdout
    for word in ("case", "error", "tolerance", "pass", "cfg_scales", "schedule_time"):
        assert word in result.stdout


def test_one_case_can_be_chosen_and_every_comparison_shown(few: Path) -> None:
    worst = verify(str(few), "--only", "cfg")
    every = verify(str(few), "--only", "cfg", "--all")
    assert "1 of 1 cases pass" in worst.stdout and "schedule_time" not in worst.stdout
    assert every.stdout.count("cfg_scales") > worst.stdout.count("cfg_scales")


def test_a_case_that_disagrees_fails_by_name_with_exit_code_one(few: Path) -> None:
    card = json.loads((few / "cfg_scales.json").read_text())
    scales = card["meta"]["published"]
    key = next(key for key in scales if key.startswith("text"))
    scales[key] = [value + 1 for value in scales[key]]
    (few / "cfg_scales.json").write_text(json.dumps(card))
    result = verify(str(few))
    assert result.exit_code == 1
    assert "failed: cfg_scales" in result.stdout and "1 of 2 cases pass" in result.stdout
    report = json.loads(verify(str(few), "--json").stdout)
    assert report["passed"] is False and report["failed"] == ["cfg_scales"]


def test_a_kind_that_is_not_known_is_named_and_does_not_fail(few: Path) -> None:
    card: dict[str, object] = {
        "case": "hologram_1",
        "description": "",
        "weights": None,
        "meta": {},
        "tensors": {},
    }
    (few / "hologram_1.json").write_text(json.dumps(card))
    result = verify(str(few))
    assert result.exit_code == 0
    assert "does not know: hologram_1" in result.stdout


def test_a_folder_of_unknown_kinds_only_does_not_pass(few: Path) -> None:
    for path in few.iterdir():
        path.unlink()
    card: dict[str, object] = {
        "case": "hologram_1",
        "description": "",
        "weights": None,
        "meta": {},
        "tensors": {},
    }
    (few / "hologram_1.json").write_text(json.dumps(card))
    assert verify(str(few)).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none"], "does not exist"),
        (["."], "no golden case"),
        ([str(GOLDENS), "--only", "hologram"], "named like 'hologram'"),
        ([str(GOLDENS), "--backend", "quantum"], "quantum"),
        ([str(GOLDENS), "--dtype", "float1"], "float1"),
        ([str(GOLDENS), "--device", "abacus"], "abacus"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_verified_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = verify(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr and result.stderr.count("\n") == 1
