"""The walk through the code in docs/architecture.md is the way that a call takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType

import magi_rt
from magi_rt.world import World

PACKAGE = Path(magi_rt.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"
STATION = re.compile(r"`([\w/]+\.py)`\s+`([\w.]+)`")


def stations() -> list[tuple[str, str]]:
    """File and name of every station of the walk, in the page's order."""
    walk = PAGE.read_text("utf-8").split("## One call, from prompt to pixels")[1].split("\n## ")[0]
    return STATION.findall(walk)


def calls_of(world: World, prompt: str) -> list[tuple[str, str]]:
    """File and name of every function of the package that `advance` enters, first calls only."""
    entered: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            place = Path(code.co_filename).relative_to(PACKAGE).as_posix()
            entered.setdefault((place, code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        world.advance(prompt)
    finally:
        sys.setprofile(before)
    return list(entered)


def test_a_call_passes_the_stations_of_the_walk_in_their_order(talking_model: Path) -> None:
    world = World.open(talking_model, steps=8, window=1, device="cpu")
    world.advance("a red ball")
    calls = calls_of(world, "gravity pulls left")
    places = []
    for file, name in stations():
        found = [
            place
            for place, (where, what) in enumerate(calls)
            if where == file and (what == name or what.startswith(f"{name}."))
        ]
        assert found, f"{file} {name} is not entered"
        places.append(found[0])
    passed = [station for _, station in sorted(zip(places, stations(), strict=True))]
    assert passed == stations()
    assert len(passed) > 25
