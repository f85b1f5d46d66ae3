"""A first picture is drawn on the page as the world itself would draw it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from magi_rt.training.worlds import toybox_render
from magi_rt.training.worlds.toybox_prompts import caption_words
from magi_rt.training.worlds.toybox_scene import Facts, Thing, _as_tensors
from tests.demo.pages import demo
from tests.page.visits import Browser, Visit

pytestmark = pytest.mark.slow
api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = api.expect

_TWO_FINGERS = """(canvas) => {
  canvas.setPointerCapture = () => {};
  const { left, top } = canvas.getBoundingClientRect();
  const at = (pointerId, side, colour) => {
    document.querySelector(`#draw-colour input[value=${colour}]`).checked = true;
    canvas.dispatchEvent(new PointerEvent("pointerdown",
      { pointerId, clientX: left + side, clientY: top + side, button: 0, bubbles: true }));
  };
  at(1, 60, "red");
  at(2, 200, "blue");
}"""


@pytest.mark.parametrize("pull", ["down", "left", "none"])
def test_the_drawn_room_is_the_worlds_own_pixel_for_pixel(
    pull: str, tmp_path: Path, browser: Browser
) -> None:
    things = (Thing("red", "ball", True, 0), Thing("green", "box", False, 1))
    facts = Facts(things, pull, "dusk", "clear")
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("#pencil").click()
        visit.find("#draw-clear").click()
        choose(visit, colour="red", shape="ball", size="large", time="dusk", pull=pull)
        place(visit, 20, 24)
        choose(visit, colour="green", shape="box", size="small")
        place(visit, 44, 40)
        visit.page.wait_for_timeout(100)
        visit.shot(f"drawing-{pull}")
        drawn = visit.pixels(visit.find("#draw-room"))
        words = (visit.find("#draw-words").text_content() or "").strip("“”")
    far = np.abs(drawn.astype(int) - rendered(facts, [(20.0, 24.0), (44.0, 40.0)])).max()
    assert far <= 1
    assert words in {caption_words(facts, Random(seed), "train") for seed in range(3000)}


def test_a_drawn_start_begins_a_world_with_its_words(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(2)
        visit.find("#pencil").click()
        visit.find("#draw-play").click()
        words = "a large red ball and a small blue box in a room by day, gravity points down"
        expect(visit.find('.strip button[data-chunk="0"]')).to_have_attribute(
            "aria-label", f"Moment 0, {words}"
        )


def test_a_full_room_takes_no_more_and_says_so(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("#pencil").click()
        visit.find("#draw-clear").click()
        choose(visit, size="large")
        for place_of, colour in enumerate(("red", "green", "blue", "purple")):
            choose(visit, colour=colour)
            place(visit, 12 + 14 * place_of, 30)
        visit.reads("#draw-words", "The room is full")


def test_things_are_placed_and_taken_away_by_keys(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("#pencil").click()
        visit.find("#draw-clear").click()
        room = visit.find("#draw-room")
        room.press("ArrowLeft")
        room.press("Enter")
        visit.reads("#draw-words", "a small yellow ball in a room")
        room.press("Delete")
        visit.reads("#draw-words", "nothing in a room")


def test_a_right_click_and_a_second_finger_place_nothing(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("#pencil").click()
        visit.find("#draw-clear").click()
        visit.find("#draw-room").click(button="right", position={"x": 50, "y": 50})
        assert visit.find("#draw-words").text_content() == "The room is empty."
        visit.find("#draw-room").evaluate(_TWO_FINGERS)
        visit.reads("#draw-words", "“a small red ball in a room")


def test_a_picture_file_begins_a_world(tmp_path: Path, browser: Browser) -> None:
    file = tmp_path / "green.png"
    Image.new("RGB", (90, 60), (20, 160, 60)).save(file)
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(3)
        epoch = visit.number("epoch")
        visit.find("#chosen").set_input_files(file)
        visit.reads("#toasts", "begins from green.png")
        visit.until(lambda: visit.number("epoch") > epoch, "the new beginning")
        assert visit.number("chunk") <= 1
        visit.find('.strip button[aria-label="Moment 0, no prompt"]').wait_for(state="attached")


def test_a_file_that_is_gone_before_it_is_read_is_told(tmp_path: Path, browser: Browser) -> None:
    file = tmp_path / "gone.png"
    Image.new("RGB", (90, 60)).save(file)
    lost = """FileReader.prototype.readAsDataURL = function () {
      setTimeout(() => this.onerror(), 0);
    };"""
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, script=lost).until_chunk(0)
        visit.find("#chosen").set_input_files(file)
        visit.reads("#toasts", "gone.png cannot be read.")


def choose(visit: Visit, **choices: str) -> None:
    for name, value in choices.items():
        visit.find(f'#draw-{name} input[value="{value}"]').check()


def place(visit: Visit, x: float, y: float) -> None:
    """Clicks at a place of the room, in its own units of 64 a side."""
    box = visit.find("#draw-room").bounding_box()
    assert box is not None
    unit = box["width"] / 64
    visit.find("#draw-room").click(position={"x": x * unit, "y": y * unit})


def rendered(facts: Facts, centres: list[tuple[float, float]]) -> NDArray[np.int64]:
    """The room as it is drawn for training, [64, 64, 3]."""
    full = centres + [(32.0, 32.0)] * (4 - len(centres))
    still = [[(0.0, 0.0)] * 4]
    state = _as_tensors((facts,), [full], still, [0.0], torch.device("cpu"))
    return np.asarray(toybox_render.pictures(toybox_render.look(state), 64)[0]).astype(np.int64)
