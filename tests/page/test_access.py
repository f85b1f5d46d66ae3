"""Contrast themes, plain http and screen readers: what the page cannot do or is about is told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from magi_rt.demo import wheel
from magi_rt.demo.app import Door
from magi_rt.demo.worlds import LocalWorlds
from tests.demo.pages import demo
from tests.page.visits import Browser, Visit

pytestmark = pytest.mark.slow
api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = api.expect

TOKEN = "0123456789abcdef"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 760},
    "has_touch": True,
    "is_mobile": True,
}


def test_a_contrast_theme_shows_what_is_on_and_what_is_chosen(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, forced_colors="active").until_chunk(0)
        on = look(visit, "#crisp-on")
        visit.find("#crisp-on").uncheck()
        off = look(visit, "#crisp-on")
        assert different(on, off)
        visit.find("#pencil").click()
        dots = visit.find("#draw-colour label").count()
        middles = [
            tuple(look(visit, f"#draw-colour label:nth-of-type({place + 1})")[17, 17])
            for place in range(dots)
        ]
        assert len(set(middles)) == dots == 6
        plain = look(visit, "#draw-size label:nth-of-type(2)")
        visit.find('#draw-size input[value="large"]').check()
        assert different(plain, look(visit, "#draw-size label:nth-of-type(2)"))
        visit.shot("contrast-theme")


def test_a_page_that_is_not_secure_says_why_it_cannot_tilt(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path, door=Door(token=TOKEN)) as server:
        away = server.url.replace("127.0.0.1", "demo.example")
        visit = browser.visit(away, **PHONE).until_chunk(0)
        expect(visit.find("#tilt-on")).to_be_disabled()
        expect(visit.find("#tilt-row")).to_be_visible()
        visit.reads("#plain", "only to pages by https or from localhost")
        assert visit.overflow() <= 0
        visit.find("#plain").scroll_into_view_if_needed()
        visit.shot("plain-http")
        here = browser.visit(server.url, **PHONE).until_chunk(0)
        expect(here.find("#tilt-on")).to_be_enabled()
        expect(here.find("#plain")).to_be_hidden()


def test_a_viewer_whose_wheel_is_taken_is_told(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "IDLE_S", 0.5)
    with demo(tmp_path) as server:
        first = browser.visit(server.url).until_chunk(0)
        second = browser.visit(server.url).until_chunk(0)
        second.find("#wheel button").click()
        first.reads("#toasts", "Viewer 2 steers now.")
        second.reads("#wheel", "You steer")
        second.page.wait_for_timeout(300)  # the answer comes after the room
        assert second.find(".toast").all_text_contents() == ["You steer now."]
        expect(second.find("#toasts")).not_to_contain_text("Viewer 1 steers now.")


def test_the_focus_stays_in_the_corner_when_somebody_joins(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        browser.visit(server.url).until_chunk(0)
        second = browser.visit(server.url).until_chunk(0)
        button = second.find("#wheel button")
        button.focus()
        browser.visit(server.url).until_chunk(0)
        expect(button).to_be_focused()
        second.page.keyboard.press("Enter")
        second.reads("#wheel", "yours once it rests")
        expect(second.find("#wheel")).to_be_focused()


def test_a_page_that_is_not_let_in_does_not_say_that_it_tries_again(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path, door=Door(token=TOKEN)) as server:
        port = server._socket.getsockname()[1]
        visit = browser.visit(server.url).until_chunk(0)
    visit.reads("#state", "Disconnected")
    with demo(tmp_path, door=Door(token=TOKEN[::-1]), port=port):
        visit.reads("#state", "Not let in")
        visit.reads(".veil", "Open the address that magi-rt demo printed")


def test_what_the_numbers_mean_can_be_read_without_a_mouse(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("summary").focus()
        visit.page.keyboard.press("Space")
        expect(visit.find("#meanings")).to_be_visible()
        visit.reads("#meanings", "Made and not shown yet")
        visit.shot("meanings")


def test_moments_too_far_back_are_told_by_more_than_their_paleness(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path, LocalWorlds("dummy", {"history": 2})) as server:
        visit = browser.visit(server.url).until_chunk(5)
        # a page that comes late has not seen chunk 0
        oldest = visit.find(".strip button[data-chunk] >> nth=0")
        expect(oldest).to_have_attribute("title", "Too far back to return to")
        visit.find("#pause").click()
        visit.reads("#state", "Paused")
        newest = visit.find(f'.strip button[data-chunk="{visit.number("chunk")}"]')
        assert not newest.get_attribute("title")


def look(visit: Visit, selector: str) -> NDArray[np.uint8]:
    """What a part of the page looks like once it can be seen and stands still, [H, W, 3]."""
    seen: list[NDArray[np.uint8]] = []

    def still() -> bool:
        file = io.BytesIO(visit.find(selector).screenshot(animations="disabled"))
        seen.append(np.asarray(Image.open(file).convert("RGB")))
        return len(seen) > 1 and np.array_equal(seen[-1], seen[-2]) and colours(seen[-1]) > 1

    visit.until(still, f"a look at {selector}")
    return seen[-1]


def colours(picture: NDArray[np.uint8]) -> int:
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def different(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether a tenth of the pixels is another."""
    far = np.abs(one.astype(int) - other.astype(int)).max(axis=2) > 60
    return bool(far.mean() > 0.1)
