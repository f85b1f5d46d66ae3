"""What `magi-rt eval` says, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.report import BARS, Evaluation, json_line, markdown, sparkline, write
from magi_rt.evaluation.stability import draw_script, run_stream, simulated
from magi_rt.evaluation.steering import run_trials
from magi_rt.evaluation.trial_sheet import trial_sheet
from magi_rt.evaluation.trials import draw_trials
from magi_rt.media.pictures import read_image
from magi_rt.world import World
from tests.evaluation.stub_worlds import FilmWorld, frozen, perfect

CARD: dict[str, object] = {"model": "stub", "size": [64, 64], "steps": 1, "backend": "none"}


def evaluated(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", "dummy", "--quiet", *arguments])


@pytest.fixture(scope="module")
def sound() -> Evaluation:
    """The simulator's own evaluation."""
    trials = draw_trials(12, seed=5)
    script = draw_script(12, seed=5)
    film = FilmWorld(simulated(script))
    stream = run_stream(script, lambda video, seed: film, fps=24)
    return Evaluation(CARD, 5, run_trials(trials, perfect(trials)), [stream])


def test_the_report_has_a_row_per_kind_and_a_verdict(sound: Evaluation) -> None:
    words = markdown(sound)
    for name in ("day", "night", "gravity down", "gravity up", "gravity left", "gravity right"):
        assert f"\n| {name} | 2 | 100 % | 100 % | 100 % | 100 % | 0 % | 1.00 |" in words
    assert "\n| all | 12 | 100 % |" in words
    assert "**1 of 1 streams of 4 s held.**" in words
    assert "| jump / motion |" in words


def test_the_json_line_is_one_line_of_plain_json(sound: Evaluation) -> None:
    line = json_line(sound)
    assert "\n" not in line
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["model"] == "stub" and found["trials"] == 12 and found["obeyed"] == 1.0
    assert found["unprompted"] == 0.0 and found["simulator"] == 1.0
    assert set(found["kinds"]) == {
        "day", "night", "gravity down", "gravity up", "gravity left", "gravity right"
    }  # fmt: skip
    assert found["stability"]["held"] == 1 and found["stability"]["seconds"] == 4


def test_numbers_that_are_not_there_are_null_and_dashes() -> None:
    one = Evaluation(CARD, 0, run_trials(draw_trials(1, seed=0), frozen), [])
    found = json.loads(json_line(one))
    assert found["held_out"] is None and found["stability"] is None
    assert "| day | 1 | 0 % | 0 % | - | 100 % | 0 % |" in markdown(one)
    assert "Not measured." in markdown(one)


def test_all_files_are_written_and_can_be_read(sound: Evaluation, tmp_path: Path) -> None:
    files = write(sound, tmp_path)
    names = ["report.md", "report.json", "trials.png", "streams.png"]
    assert [path.name for path in files] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    everything = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert len(everything["every_trial"]) == 12
    assert len(everything["curves"][0]["model"]["mass"]) == 4
    assert read_image(tmp_path / "trials.png").shape[2] == 3
    assert read_image(tmp_path / "streams.png").shape[2] == 3


def test_the_sheet_shows_the_models_row_above_the_simulators() -> None:
    trials = draw_trials(4, seed=5)
    obeying = trial_sheet(run_trials(trials, perfect(trials)))
    standing = trial_sheet(run_trials(trials, frozen))
    assert obeying.shape == standing.shape
    changed = np.flatnonzero((obeying != standing).any((1, 2)))
    assert len(changed) > 50
    assert trial_sheet(run_trials(trials[:1], frozen)).shape[0] < obeying.shape[0]


def test_a_curve_becomes_block_letters() -> None:
    assert (
        sparkline(np.array([0.0, 0.5, 1.0, np.nan]), 1.0) == BARS[0] + BARS[4] + BARS[7] + BARS[0]
    )
    assert sparkline(np.zeros(3), 0.0) == BARS[0] * 3
    assert len(sparkline(np.linspace(0, 1, 500), 1.0)) == 60


def test_a_world_begun_from_an_opened_model_is_the_world_opened_the_long_way() -> None:
    video = draw_trials(1, seed=2)[0].video
    opened = OpenedModel.open("dummy")
    for start in (video, None):
        short = opened.begin(start, 11)
        long = World.open("dummy", video=start, seed=11)
        for prompt in ("night falls", ""):
            for one, two in zip(short.advance(prompt), long.advance(prompt), strict=True):
                assert np.array_equal(one.pixels, two.pixels)
                assert (one.index, one.prompt) == (two.index, two.prompt)


def test_the_command_ends_in_json_and_repeats_itself() -> None:
    arguments = ("--trials", "2", "--seconds", "3", "--streams", "1", "--seed", "9")
    first, second = evaluated(*arguments), evaluated(*arguments)
    assert first.exit_code == second.exit_code == 0
    assert first.stdout == second.stdout
    found = json.loads(first.stdout.splitlines()[-1])
    assert found["model"] == "dummy" and found["trials"] == 2 and found["seed"] == 9
    named = {"size", "steps", "window", "backend", "threads", "hardware"}
    assert named <= set(found)


def test_a_share_that_is_not_reached_exits_with_one_only_when_required(tmp_path: Path) -> None:
    arguments = ("--trials", "4", "--seconds", "0", "--seed", "1", "--out", str(tmp_path / "new"))
    assert evaluated(*arguments, "--require", "0").exit_code == 0
    failed = evaluated(*arguments, "--require", "1")
    assert failed.exit_code == 1
    assert "less than 100.0%" in failed.stderr
    assert json.loads(failed.stdout.splitlines()[-1])["stability"] is None
    assert (tmp_path / "new" / "report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seconds", "-3"], "--seconds is -3"),
        (["--seconds", "1"], "--seconds is 1"),
        (["--seconds", "nan"], "--seconds is nan"),
        (["--trials", "0"], "--trials"),
        (["--seed", "-1"], "seed is -1"),
        (["--require", "80"], "--require is 80"),
        (["--backend", "tensorrt"], "'tensorrt'"),
        (["--out", "taken"], "--out taken is a file"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file")
    result = evaluated("--out", "report", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
