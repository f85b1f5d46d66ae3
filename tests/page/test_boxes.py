"""Prompt boxes keep what was typed, and pictures go on after one that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.demo.worlds import LocalWorlds
from tests.demo.pages import demo
from tests.page.visits import Browser

pytestmark = pytest.mark.slow
api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = api.expect

_FORGETFUL = """
const decode = window.createImageBitmap;
window.createImageBitmap = async (...given) => {
  if (window.failed) return decode(...given);
  window.failed = true;
  throw new DOMException("out of memory", "InvalidStateError");
};
"""


def test_what_was_said_in_one_box_comes_back_in_the_other_and_a_draft_is_kept(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(4)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        visit.until_chunk(2, picture=1)
        visit.say("night falls")
        visit.say("it snows")
        other = visit.find("#say-1")
        other.fill("half a prompt")
        for key, shown in [
            ("ArrowDown", "half a prompt"),
            ("ArrowUp", "it snows"),
            ("ArrowUp", "night falls"),
            ("ArrowDown", "it snows"),
            ("ArrowDown", "half a prompt"),
        ]:
            other.press(key)
            expect(other).to_have_value(shown)


def test_what_another_tab_has_said_is_not_forgotten(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path, everyone_steers=True) as server:
        visit = browser.visit(server.url).until_chunk(2)
        other = visit.tab().until_chunk(2)
        other.say("it snows")
        visit.say("night falls")
        for key, shown in [("ArrowUp", "night falls"), ("ArrowUp", "it snows")]:
            visit.find("#say-0").press(key)
            expect(visit.find("#say-0")).to_have_value(shown)


def test_what_became_of_a_long_prompt_is_read_beside_a_second_picture(
    tmp_path: Path, browser: Browser
) -> None:
    long = "a small red ball and a large blue box in a dim room at night while it snows outside"
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, viewport={"width": 1000, "height": 760}).until_chunk(4)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        visit.until_chunk(2, picture=1)
        visit.say(long)
        visit.reads(visit.receipt(), "on the picture after")
        line = visit.receipt().bounding_box()
        told = visit.receipt().locator("span").bounding_box()
        assert line and told
        assert told["x"] + told["width"] <= line["x"] + line["width"]


def test_what_is_typed_goes_on_in_the_first_box_when_somebody_closes_the_second(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(4)
        other = browser.visit(server.url).until_chunk(4)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        other.until_chunk(2, picture=1)
        other.find("#say-1").focus()
        other.page.keyboard.type("half a sent")
        visit.find(".shut").nth(1).click()
        expect(other.find(".picture")).to_have_count(1)
        other.page.keyboard.type("ence")
        expect(other.find("#say-0")).to_have_value("half a sentence")
        assert other.number("prompt") == visit.number("prompt")


def test_words_that_were_refused_come_back_into_the_box(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
    visit.reads("#state", "Disconnected")
    visit.say("a long and careful prompt")
    visit.reads(visit.receipt(), "not connected")
    expect(visit.find("#say-0")).to_have_value("a long and careful prompt")


def test_words_can_be_dropped_into_the_prompt_box(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        caught = """(at) => {
          const given = { dataTransfer: new DataTransfer(), bubbles: true, cancelable: true };
          given.dataTransfer.setData("text/plain", "it snows");
          return ["dragover", "drop"].map((kind) => !at.dispatchEvent(new DragEvent(kind, given)));
        }"""
        assert visit.find("#say-0").evaluate(caught) == [False, False]
        assert visit.view().evaluate(caught) == [True, True]


def test_a_picture_that_cannot_be_decoded_is_left_out(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path, LocalWorlds("dummy", {"size": (336, 336)})) as server:
        visit = browser.visit(server.url, script=_FORGETFUL).until_chunk(1)
        assert visit.page.evaluate("failed")


def test_keys_of_an_input_method_and_those_that_select_text_stay_with_the_box(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.said("night falls")
        box = visit.find("#say-0")
        box.fill("half a prompt")
        for composing in ({"isComposing": True}, {"keyCode": 229}):
            for key in ("Escape", "ArrowUp"):
                box.dispatch_event("keydown", {"key": key, **composing})
        box.press("Shift+ArrowUp")
        expect(box).to_be_focused()
        expect(box).to_have_value("half a prompt")
        assert visit.page.evaluate("getSelection().toString()") == "half a prompt"
        box.press("ArrowUp")
        expect(box).to_have_value("night falls")
        box.press("Escape")
        expect(box).not_to_be_focused()
