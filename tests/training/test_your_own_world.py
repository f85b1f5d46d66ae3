"""The example of a world of one's own: the lamp goes where it is told, and the example runs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

from magi_rt import World
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


@pytest.mark.slow
def test_the_example_trains_and_its_world_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--smoke", "--folder", str(tmp_path)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert (tmp_path / "story.png").stat().st_size > 0
    with World.open(tmp_path / "dit" / "export") as world:
        assert world.advance("the lamp goes left")[0].pixels.shape == (128, 128, 3)
