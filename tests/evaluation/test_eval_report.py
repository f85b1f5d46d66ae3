"""What `magi-rt eval` says, writes and refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from magi_rt.checkpoints.layout import BUILT_IN_FOLDER
from magi_rt.checkpoints.trained_on import TRAINED_ON
from magi_rt.cli.app import app
from magi_rt.evaluation.beginnings import draw_beginnings, run_beginnings
from magi_rt.evaluation.kinds import KINDS
from magi_rt.evaluation.opened import OpenedModel
from magi_rt.evaluation.physics import run_scenes
from magi_rt.evaluation.physics_scenes import draw_scenes
from magi_rt.evaluation.play import draw_script, play, simulated
from magi_rt.evaluation.reconstruction import Reconstruction
from magi_rt.evaluation.report import (
    PARTS,
    Evaluation,
    SettingsFound,
    json_line,
    markdown,
    write,
)
from magi_rt.evaluation.settings import SETTINGS, SettingScore, _Clock, _Clocked, run_settings
from magi_rt.evaluation.steering import run_trials
from magi_rt.evaluation.trials import draw_trials
from magi_rt.media.pictures import read_image
from magi_rt.world import World
from tests.evaluation.stub_worlds import (
    FilmWorld,
    FrozenWorld,
    frozen,
    perfect,
    perfect_beginnings,
    perfect_scenes,
)

CARD: dict[str, object] = {"model": "stub", "size": [64, 64], "steps": 1, "backend": "none"}
FEW = (KINDS[7], KINDS[17])
"""Night and colour."""


def evaluated(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", "dummy", "--quiet", *arguments])


@pytest.fixture(scope="module")
def sound() -> Evaluation:
    """The simulator's own evaluation."""
    openings = list(draw_beginnings(4, seed=5))
    trials = list(draw_trials(2, seed=5, kinds=FEW))
    scenes = list(draw_scenes(1, seed=5))
    script = draw_script(8, seed=5)
    one, two = (SettingScore(setting, 0.5, 60.0, 72.0) for setting in SETTINGS[:2])
    refused = SettingScore(SETTINGS[2], np.nan, np.nan, np.nan, refused="too many steps")
    return Evaluation(
        card=CARD,
        seed=5,
        beginnings=run_beginnings(openings, perfect_beginnings(openings)),
        steering=run_trials(trials, perfect(trials)),
        physics=run_scenes(scenes, perfect_scenes(scenes)),
        play=[play(script, lambda video, seed: FilmWorld(simulated(script)))],
        settings=SettingsFound([one, two, refused], trials=20, scenes=4),
        vae=Reconstruction(33.125, 0.9712, 24),
        seconds={"steering": 12.0},
    )


def test_the_report_has_a_section_for_everything_that_was_measured(sound: Evaluation) -> None:
    words = markdown(sound)
    assert "\n| all | 4 | 100 % | 100 % | 100 % | 100 % | 100 % | 100 % | 100 % | 100 % |" in words
    assert "\n| night | 2 | 100 % | 100 % | 100 % | 100 % | 0 % | 1.0 | 1.0 |" in words
    assert "\n| all | 4 | 100 % |" in words
    assert "\n| video | model | 1 | 1.000 | 1.000 | 1.000 | 0.0000 | **100.0** |" in words
    assert "\n| model | 100 % |" in words and "\n| simulator | 100 % |" in words
    assert "\n| 64 steps | 50 % | 60.0 | 72 |" in words
    assert "Not run: 16 steps: too many steps" in words
    assert "PSNR 33.12 dB, SSIM 0.9712, over 24" in words
    assert words.endswith("\n")


def test_the_json_line_is_one_line_of_plain_json(sound: Evaluation) -> None:
    line = json_line(sound)
    assert "\n" not in line
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["model"] == "stub" and found["seed"] == 5
    assert found["steering"]["obeyed"] == 1.0 and found["steering"]["control"] == 0.0
    assert set(found["steering"]["kinds"]) == {"night", "colour"}
    assert found["physics"]["video, model"]["score"] == 100
    assert found["play"]["model"] == found["play"]["simulator"]
    assert list(found["settings"]["rows"]) == ["64 steps", "32 steps"]
    assert found["settings"]["refused"] == {"16 steps": "too many steps"}
    assert found["vae"]["ssim"] == 0.9712


def test_several_plays_are_told_one_by_one_and_as_a_mean(sound: Evaluation, tmp_path: Path) -> None:
    script = draw_script(8, seed=5, number=1)
    empty = [np.zeros((8, 64, 64, 3), np.uint8)] * 8
    lost = play(script, lambda video, seed: FilmWorld(empty))
    several = replace(sound, play=[*sound.play, lost])
    words, found = markdown(several), json.loads(json_line(several))["play"]
    assert "\n| model, script 1 | 100 % |" in words and "\n| model, script 2 | 0 % |" in words
    assert "\n| model | 50 % |" in words and "\n2 times 3 s of random prompts" in words
    assert [one["count_right"] for one in found["scripts"]] == [1, 0]
    assert found["model"]["count_right"] == 0.5 and found["simulator"]["count_right"] == 1
    write(several, tmp_path)
    every = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["every_chunk"]
    assert [one["prompts"] for one in every] == [list(one.script.prompts) for one in several.play]


def test_what_was_not_measured_is_null_and_has_no_section() -> None:
    one = Evaluation(CARD, 0, steering=run_trials(draw_trials(1, 0, kinds=FEW[:1]), frozen))
    found = json.loads(json_line(one))
    assert found["steering"]["held_out"] is None
    assert {part for part in PARTS if found[part]} == {"steering"}
    assert "| night | 1 | 0 % | 0 % | - | 100 % | 0 % | - | 1.0 |" in markdown(one)
    assert "## Physics" not in markdown(one)
    assert "Not measured: beginnings, physics, play, settings, vae." in markdown(one)


def test_a_folder_holds_only_pictures_of_the_report_beside_them(
    sound: Evaluation, tmp_path: Path
) -> None:
    write(sound, tmp_path)
    write(replace(sound, beginnings=(), physics=(), play=()), tmp_path)
    left = {path.name for path in tmp_path.glob("*.png")}
    assert left == {"trials.png", "wordless.png", "steering.png"}


def test_settings_that_say_nothing_of_steps_keep_those_that_were_asked_for() -> None:
    opened = OpenedModel.open("dummy", steps=16)
    assert opened.sampled(window=1).card()["steps"] == 16
    assert opened.sampled(steps=4).card()["steps"] == 4


def test_a_windows_speed_is_that_of_a_running_world() -> None:
    clock = _Clock()
    still = np.zeros((64, 64, 3), np.uint8)
    world = _Clocked(FrozenWorld(still), clock)
    for _ in range(4):
        world.advance("")
    assert clock.frames == 3 * 8


def test_all_files_are_written_and_can_be_read(sound: Evaluation, tmp_path: Path) -> None:
    files = write(sound, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(files)
    everything = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert len(everything["every_beginning"]) == 4
    assert len(everything["every_trial"]) == 4 and len(everything["every_scene"]) == 2
    assert len(everything["every_chunk"][0]["model"]["counts"]) == 8
    pictures = [path for path in files if path.suffix == ".png"]
    assert len(pictures) == 7
    assert all(read_image(path).shape[2] == 3 for path in pictures)


def test_every_setting_that_a_model_accepts_is_measured_on_the_same_trials() -> None:
    opened = OpenedModel.open("dummy")
    trials = list(draw_trials(1, 0, kinds=FEW[:1], size=opened.size))
    scenes = list(draw_scenes(1, 0, size=opened.size, starts=("video",)))
    heard: list[str] = []
    rows = list(run_settings(opened, trials, scenes, heard.append))
    assert heard == [setting.name for setting in SETTINGS]
    assert all(row.refused or row.fps > 0 for row in rows)
    assert any(not row.refused for row in rows)


def test_a_world_begun_from_an_opened_model_is_the_world_opened_the_long_way() -> None:
    opened = OpenedModel.open("dummy")
    video = next(draw_trials(1, seed=2, kinds=FEW, size=opened.size)).video
    pairs = [
        (opened.begin(video, 11), World.open("dummy", video=video, seed=11)),
        (opened.begin(None, 11), World.open("dummy", seed=11)),
        (opened.begin_from(video, "image", 11), World.open("dummy", image=video[-1], seed=11)),
    ]
    for short, long in pairs:
        for prompt in ("night falls", ""):
            for one, two in zip(short.advance(prompt), long.advance(prompt), strict=True):
                assert np.array_equal(one.pixels, two.pixels)
                assert (one.index, one.prompt) == (two.index, two.prompt)


def test_the_command_ends_in_json_and_repeats_itself() -> None:
    arguments = ("--only", "physics,vae", "--scenes", "1", "--seed", "9")
    first, second = (json.loads(evaluated(*arguments).stdout.splitlines()[-1]) for _ in range(2))
    assert first.pop("seconds").keys() == second.pop("seconds").keys() == {"physics", "vae"}
    assert first == second
    assert first["model"] == "dummy" and first["seed"] == 9 and first["steering"] is None
    assert {"size", "steps", "window", "backend", "threads", "hardware"} <= set(first)


def test_a_world_that_learned_something_else_is_told_that_its_figures_say_little(
    tmp_path: Path,
) -> None:
    nano = shutil.copytree(BUILT_IN_FOLDER, tmp_path / "mine")
    for data, told in (("calm-toybox", False), ("clips", True)):
        (nano / TRAINED_ON).write_text(json.dumps({"data": data}))
        result = CliRunner().invoke(app, ["eval", str(nano), "--backend", "none of them"])
        assert result.exit_code == 2 and "none of them" in result.stderr  # it is told before that
        assert ("was trained on clips; all questions are about the toybox" in result.stderr) is told


def test_a_share_that_is_not_reached_exits_with_one(tmp_path: Path) -> None:
    arguments = ("--only", "steering", "--trials", "1", "--out", str(tmp_path / "new"))
    failed = evaluated(*arguments, "--require", "1")
    assert failed.exit_code == 1
    assert "less than 100.0%" in failed.stderr
    assert json.loads(failed.stdout.splitlines()[-1])["play"] is None
    assert (tmp_path / "new" / "report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--minutes", "0"], "minutes is 0"),
        (["--minutes", "nan"], "minutes is nan"),
        (["--only", "colours"], "there is no part 'colours'"),
        (["--trials", "0"], "--trials"),
        (["--seed", "-1"], "seed is -1"),
        (["--require", "80"], "--require is 80"),
        (["--only", "vae", "--require", "0.8"], "--require needs the part steering"),
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
