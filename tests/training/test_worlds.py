"""Worlds: one file is enough for one, any is filmed the same way, and a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.training.recordings.world_source import WorldSource
from magi_rt.training.worlds import open_world, toybox
from magi_rt.training.worlds.film import Rhythm, film, play

LANTERN = f"{Path(__file__).parent / 'lantern_world.py'}:Lantern"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    """The path of a world's file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_one_file_is_enough_for_a_world_that_can_be_filmed() -> None:
    made = film(open_world(LANTERN, 32), 12, 5, seeded())
    assert made.pixels.shape == (12, 40, 32, 32, 3)
    assert made.pixels.dtype == torch.uint8
    assert made.pixels.float().std() > 5
    assert {len(row) for row in made.prompts} == {5}
    said = {prompt for row in made.prompts for prompt in row}
    assert any(prompt.startswith("a ") for prompt in said)
    assert any(prompt.startswith("the lantern ") for prompt in said)
    assert len(made.states) == 6 and len(made.frames) == 40


def test_a_film_played_again_from_any_chunk_is_the_same_film() -> None:
    world = open_world(LANTERN, 16)
    made = film(world, 6, 4, seeded(1))
    again = play(world, made.states[1], [row[1:] for row in made.meanings])
    assert torch.equal(again.pixels, made.pixels[:, 8:])
    assert not torch.equal(film(world, 6, 4, seeded(2)).pixels, made.pixels)


def test_the_toyboxs_clips_are_its_film() -> None:
    clips = toybox.clips(3, 2, seeded(3), size=32)
    made = film(open_world("toybox", 32), 3, 2, seeded(3))
    assert torch.equal(clips.pixels, made.pixels)
    assert clips.prompts == made.prompts
    assert clips.truth.meanings == made.meanings


def test_a_rhythm_says_how_often_prompts_change() -> None:
    world = open_world(LANTERN, 16)
    held = film(world, 20, 4, seeded(4), rhythm=Rhythm(quiet=1.0))
    assert all(len(set(row)) == 1 for row in held.prompts)
    silent = film(world, 20, 1, seeded(4), rhythm=Rhythm(empty=1.0))
    assert {row[0] for row in silent.prompts} == {""}
    busy = film(world, 20, 4, seeded(4), rhythm=Rhythm(quiet=0.0, change=1.0, pause=0.0))
    assert all(row[-1].startswith("the lantern") for row in busy.prompts)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sandbox", "no folder and no world 'sandbox'; worlds are: calm-toybox, toybox"),
        ("nowhere.py", '"path/to/world.py:ClassName"'),
        ("nowhere.py:World", "There is no file 'nowhere.py'"),
        (LANTERN.replace(":Lantern", ":Candle"), "no class 'Candle'; its classes are .*Lantern"),
        (LANTERN.replace(":Lantern", ":State"), "lacks sample, caption, prompt, apply, step"),
    ],
)
def test_a_world_that_is_not_there_is_refused(name: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        open_world(name)


def test_a_file_that_fails_is_refused_with_its_own_reason(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be run: ZeroDivisionError: division by zero"):
        open_world(written(tmp_path, "1 / 0") + ":World")
    with pytest.raises(OptionError, match="its file ends the program"):
        WorldSource(written(tmp_path, "raise SystemExit(0)") + ":World", 16)
    with pytest.raises(OptionError, match="it has no class"):
        open_world(written(tmp_path, "x = 1") + ":World")


def test_a_world_may_draw_with_numpy_and_has_to_draw_the_asked_size(tmp_path: Path) -> None:
    base = Path(LANTERN.rpartition(":")[0]).read_text(encoding="utf-8")
    assert ".to(torch.uint8)" in base
    name = written(tmp_path, base.replace(".to(torch.uint8)", ".to(torch.uint8).numpy()"))
    plain, drawn = (
        WorldSource(each, 16).draw(2, 1, seeded(4)).pixels for each in (LANTERN, name + ":Lantern")
    )
    assert torch.equal(drawn, plain)
    small = written(tmp_path, base.replace("self.size = size", "self.size = 16"), "small.py")
    with pytest.raises(OptionError, match=r"gave uint8 \[2, 16, 16, 3\] .* uint8 \[2, 32, 32, 3\]"):
        WorldSource(small + ":Lantern", 32).draw(2, 1, seeded(4))


@pytest.mark.parametrize(
    ("drawn", "says"),
    [
        (".to(torch.uint8)[:1]", r"gave uint8 \[1, 16, 16, 3\] .* and uint8 \[2, 16, 16, 3\]"),
        (".to(torch.uint8).tolist()", "gave .* for pictures"),
        (".float()", "gave float32"),
    ],
)
def test_a_world_that_draws_other_than_a_picture_of_each_clip_is_refused(
    tmp_path: Path, drawn: str, says: str
) -> None:
    base = Path(LANTERN.rpartition(":")[0]).read_text(encoding="utf-8")
    odd = written(tmp_path, base.replace(".to(torch.uint8)", drawn))
    with pytest.raises(OptionError, match=says):
        WorldSource(odd + ":Lantern", 16).draw(2, 1, seeded())


@pytest.mark.parametrize("given", ['("a lantern", ())', "Prompt(None, ())", "None", '"a lantern"'])
@pytest.mark.parametrize("call", ["caption", "prompt"])
def test_a_world_that_says_no_prompts_is_refused(tmp_path: Path, call: str, given: str) -> None:
    base = Path(LANTERN.rpartition(":")[0]).read_text(encoding="utf-8")
    text = f"{base}\n\nLantern.{call} = lambda *_: {given}\n"
    source = WorldSource(written(tmp_path, text) + ":Lantern", 16)
    for draw in (source.draw, source.prompts):
        with pytest.raises(OptionError, match="must give Prompt"):
            draw(4, 4, seeded())


def test_a_world_that_does_not_draw_pictures_is_refused(tmp_path: Path) -> None:
    base = Path(LANTERN.rpartition(":")[0]).read_text(encoding="utf-8")
    floats = base.replace(".to(torch.uint8)", "")
    world = open_world(written(tmp_path, floats) + ":Lantern", 16)
    with pytest.raises(OptionError, match=r"render gave float32 \[2, 16, 16, 3\]; .* uint8"):
        film(world, 2, 1, seeded())
    sizeless = base.replace("def __init__(self, size: int)", "def __init__(self)")
    with pytest.raises(OptionError, match="cannot be made with a size alone"):
        open_world(written(tmp_path, sizeless) + ":Lantern")


def test_numbers_and_splits_that_cannot_be_are_refused() -> None:
    world = open_world(LANTERN, 16)
    with pytest.raises(OptionError, match="batch is 0"):
        film(world, 0, 1, seeded())
    with pytest.raises(OptionError, match="'test'"):
        film(world, 1, 1, seeded(), split="test")
