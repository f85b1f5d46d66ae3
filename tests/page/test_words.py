"""The page says in plain words what is wrong, and everybody can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.demo.worlds import LocalWorlds
from magi_rt.errors import OptionError
from magi_rt.stream.client import WorldClient
from tests.demo.pages import demo
from tests.page.visits import Browser

pytestmark = pytest.mark.slow
pytest.importorskip("playwright.sync_api", reason="pip install playwright")

PAIRS = [
    (front, back)
    for front in ("--ink", "--soft", "--accent", "--good", "--warn", "--bad")
    for back in ("--ground", "--card")
] + [("--on-accent", "--accent"), ("--ink", "--tint"), ("--ink", "--hover")]
"""Colours of words, and of what lies behind them."""


class NoWorld(LocalWorlds):
    """Cannot be opened."""

    def open(self) -> WorldClient:
        raise OptionError("there are no weights here; get them first")


def test_a_world_that_cannot_be_opened_is_explained(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path, NoWorld("dummy", {})) as server:
        visit = browser.visit(server.url)
        visit.reads(".veil", "There are no weights here")
        visit.reads("#state", "The world could not be opened")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(tmp_path: Path, browser: Browser, scheme: str) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, color_scheme=scheme).until_chunk(2)
        visit.shot(scheme)
        colours = visit.page.evaluate(
            "(names) => names.map((name) => getComputedStyle(document.documentElement)"
            ".getPropertyValue(name).trim())",
            sorted({name for pair in PAIRS for name in pair}),
        )
    known = dict(zip(sorted({name for pair in PAIRS for name in pair}), colours, strict=True))
    weak = {
        (front, back): round(contrast(known[front], known[back]), 2)
        for front, back in PAIRS
        if contrast(known[front], known[back]) < 4.5
    }
    assert weak == {}


def contrast(one: str, other: str) -> float:
    """The contrast of two "#rrggbb" colours as the WCAG counts it, 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
