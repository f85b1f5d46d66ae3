"""The built-in world on the page does what was typed: its own detectors say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magi_rt.demo.worlds import LocalWorlds
from magi_rt.evaluation import detectors
from magi_rt.evaluation.judges import Question, judge
from magi_rt.evaluation.readings import Reading, read
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.toybox_scene import COLOURS
from tests.demo.pages import demo
from tests.page.visits import Browser, Visit

pytestmark = pytest.mark.slow
pytest.importorskip("playwright.sync_api", reason="pip install playwright")

FRAMES = 8
PULLS = ("up", "left", "right", "down", "up")
"""About one new pull of six is not obeyed, and a drawn room is a strange one: one has to be."""


def test_night_falls_a_drawn_start_keeps_its_colours_and_gravity_turns(
    tmp_path: Path, browser: Browser
) -> None:
    worlds = LocalWorlds("nano", {}, start="a red ball and a blue box in a room by day")
    with demo(tmp_path, worlds) as server:
        visit = browser.visit(server.url).until_chunk(2)
        assert obeys(visit, "night falls", Meaning("light", "night"), chunks=2)
        visit.shot("night")
        visit.find("#pencil").click()
        visit.find("#draw-play").click()
        visit.find('.strip button[data-chunk="0"][aria-label*="large red ball"]').wait_for()
        assert colours(visit.thumbnail(0)) == {"red", "blue"}
        visit.until(lambda: 3 <= visit.number("chunk") < 8, "the drawn world's fourth chunk")
        assert any(
            obeys(visit, f"gravity pulls {side}", Meaning("gravity", side), chunks=4)
            for side in PULLS
        )


def obeys(visit: Visit, text: str, meaning: Meaning, *, chunks: int) -> bool:
    """Says a prompt; whether the picture shows it so many chunks later."""
    before = readings(visit)
    visit.said(text)
    visit.until_chunk(visit.number("chunk") + chunks)
    asked = Question(meaning, gravity="down", pace="normal")
    return judge(asked, before, readings(visit), FRAMES).obeyed


def readings(visit: Visit) -> Reading:
    """What the page shows in its next frames."""
    frames = []
    for _ in range(FRAMES):
        last = visit.number("frame")
        visit.until(lambda last=last: visit.number("frame") != last, "a frame")  # type: ignore[misc]
        frames.append(visit.pixels())
    return read(np.stack(frames))


def colours(picture: NDArray[np.uint8]) -> set[str]:
    """Names of the colours that are there."""
    side = np.asarray(picture)[None]
    covered = detectors.colour_masks(side).sum((2, 3))[0]
    return {
        name for name, mass in zip(COLOURS, covered, strict=True) if mass >= detectors.LEAST_OBJECT
    }
