"""The example of a world of one's own: the lamp goes where it is told, and the example runs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

from magi_rt import World
from magi_rt.training.loop import Outcome
from magi_rt.training.recordings import open_source
from magi_rt.training.seeds import seeded

EXAMPLE = Path(__file__).parents[2] / "examples" / "10_your_own_world.py"
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def centre(picture: torch.Tensor) -> torch.Tensor:
    """Where the light of [H, W, 3] is, as (x, y)."""
    light = (picture.float().sum(-1) - 60).clamp_min(0)
    places = torch.arange(len(light), dtype=torch.float32)
    return torch.stack([(light.sum(axis) * places).sum() for axis in (0, 1)]) / light.sum()


def test_the_lamp_goes_where_it_is_told_and_else_stays() -> None:
    drawn = open_source(f"{EXAMPLE}:Lamp", 32).draw(12, 6, seeded(1))
    went = 0
    for clip, prompts in zip(drawn.pixels, drawn.prompts, strict=True):
        for chunk, prompt in enumerate(prompts):
            moved = centre(clip[8 * chunk + 7]) - centre(clip[8 * chunk])
            way = torch.tensor(WAYS.get(prompt.split(" ")[-1], (0, 0)), dtype=torch.float32)
            assert float(moved @ way) > -0.2 and float((moved * (way == 0)).abs().max()) < 0.2
            went += float(moved @ way) > 1
    assert went > 10


def test_an_edited_world_is_other_data(tmp_path: Path) -> None:
    copy = tmp_path / "lamp.py"
    copy.write_text(EXAMPLE.read_text("utf-8"), "utf-8")
    before = open_source(f"{copy}:Lamp", 32).identity
    copy.write_text(copy.read_text("utf-8").replace("0.02", "0.03"), "utf-8")
    assert open_source(f"{copy}:Lamp", 32).identity != before


def trainers(monkeypatch: pytest.MonkeyPatch, *, finished: bool) -> list[Path]:
    """The folders that are trained in from here on, by trainers that do nothing."""
    folders: list[Path] = []

    def train(folder: Path, *_: object, **__: object) -> Outcome:
        folders.append(folder)
        return Outcome(1, 1.0, finished, {})

    def both(folder: Path, **_: object) -> tuple[None, Outcome]:
        return None, train(folder)

    monkeypatch.setattr("magi_rt.training.vae_trainer.train_vae", both)
    monkeypatch.setattr("magi_rt.training.dit_trainer.train_dit", train)
    return folders


def run_example(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """The example's main program; a world that was not trained is not looked at."""
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments])
    program = runpy.run_path(str(EXAMPLE))
    program["main"].__globals__["steer"] = lambda *_: None
    program["main"]()


def test_the_example_stops_when_its_training_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = trainers(monkeypatch, finished=False)
    with pytest.raises(SystemExit, match="the same command goes on"):
        run_example(monkeypatch, "--smoke", "--folder", str(tmp_path))
    assert folders == [tmp_path / "vae"]


def test_a_smoke_run_does_not_stand_in_the_way_of_the_real_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("magi_rt.training.loop.restart_with_kept_memory", lambda: None)
    folders = trainers(monkeypatch, finished=True)
    run_example(monkeypatch, "--smoke")
    run_example(monkeypatch)
    assert len(folders) == len(set(folders)) == 4


@pytest.mark.slow
def test_the_example_trains_and_its_world_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--smoke", "--folder", str(tmp_path)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert (tmp_path / "story.png").stat().st_size > 0
    with World.open(tmp_path / "dit" / "export") as world:
        assert world.advance("the lamp goes left")[0].pixels.shape == (128, 128, 3)
