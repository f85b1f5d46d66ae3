"""`magi-rt run` and `magi-rt inspect` with model folders: sound ones, broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app
from magi_rt.media.video_reader import read_video


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120", "TERM": "dumb"})


def edit_config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        card = json.loads((folder / "config.json").read_text())
        change(card)
        (folder / "config.json").write_text(json.dumps(card))

    return edit


def cut_the_config(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[:-20])


def cut_a_shard(folder: Path) -> None:
    shard = next((folder / "inference_weight").glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])


DAMAGES = {
    "shard": (cut_a_shard, ".safetensors"),
    "unknown key": (edit_config(lambda card: card["model_config"].update(colour=1)), "colour"),
    "missing key": (edit_config(lambda card: card["model_config"].pop("num_layers")), "num_layers"),
    "wrong type": (
        edit_config(lambda card: card["model_config"].update(hidden_size="wide")),
        "hidden_size",
    ),
    "no json": (cut_the_config, "config.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no configuration"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("verb", ["run", "inspect"])
def test_a_broken_model_folder_is_refused_by_name(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, damage: str
) -> None:
    work = model_folder.parent / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    harm, names = DAMAGES[damage]
    harm(model_folder)
    option = [] if verb == "inspect" else ["--prompt", "", "--seconds", "0.1", "--quiet", "--model"]
    result = invoke(verb, *option, str(model_folder))
    assert result.exit_code == 2
    assert names in result.stderr and result.stderr.count("\n") == 1
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "inspect"])
def test_a_model_that_does_not_exist_is_refused(verb: str) -> None:
    result = invoke(verb, *(["--model"] if verb == "run" else []), "no/such/folder")
    assert result.exit_code == 2
    assert "no/such/folder" in result.stderr and result.stderr.count("\n") == 1


def test_inspect_tells_what_a_sound_folder_holds(talking_model: Path) -> None:
    result = invoke("inspect", str(talking_model))
    assert result.exit_code == 0
    for word in ("4.5B type", "base", "denoiser", "auto-encoder", "text encoder", "hidden size"):
        assert word in result.stdout


def test_inspect_gives_one_json_object_when_asked(talking_model: Path) -> None:
    report = json.loads(invoke("inspect", str(talking_model), "--json").stdout)
    assert report["ok"] is True and report["family"] == "4.5B type"


def test_run_opens_a_folder_in_the_published_layout(
    talking_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--prompt", "a", "--then", "0:00.4 b", "--seconds", "0.6", "--size", "48x32"]
    result = invoke("run", "--model", str(talking_model), *options)
    assert result.exit_code == 0, result.output
    video = read_video("magi-world.mp4", fps=24, limit=100)
    assert len(video) == 14
    assert video.shape[1] * 32 == video.shape[2] * 48, "height x width, enlarged alike"


def test_the_story_of_the_built_in_world_is_not_told_by_others(talking_model: Path) -> None:
    result = invoke("run", "--model", str(talking_model), "--seconds", "1")
    assert result.exit_code == 2 and "--prompt" in result.stderr


def test_a_size_the_model_cannot_make_is_refused_with_one_that_it_can(talking_model: Path) -> None:
    result = invoke(
        "run", "--model", str(talking_model), "--size", "40x64", "--seconds", "1", "--prompt", ""
    )
    assert result.exit_code == 2
    assert "try 32x64" in result.stderr or "try 48x64" in result.stderr
