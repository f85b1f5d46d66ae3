"""Voices, sticks and tilts end as prompts; browsers without them are played here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.demo.pages import demo
from tests.page.visits import Browser

pytestmark = pytest.mark.slow
api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = api.expect

_EAR = """
window.webkitSpeechRecognition = window.SpeechRecognition = class {
  start() {
    const heard = Object.assign([{ transcript: "Night falls" }], { isFinal: true });
    setTimeout(() => { this.onresult({ results: [heard] }); this.onend(); }, 10);
  }
  stop() {}
};
"""
_SLOW_EAR = """
window.webkitSpeechRecognition = window.SpeechRecognition = class {
  start() {
    window.hear = (transcript, isFinal) =>
      this.onresult({ results: [Object.assign([{ transcript }], { isFinal })] });
  }
  stop() {}
  abort() { window.aborted = true; }
};
"""
_PAD = """
const pad = { axes: [0, 0], buttons: [] };
window.tilted = (x, y) => {
  pad.axes = [x, y];
  window.dispatchEvent(new Event("gamepadconnected"));
};
Object.defineProperty(navigator, "getGamepads", { value: () => [null, pad] });
"""
_LYING = """
Object.defineProperty(ScreenOrientation.prototype, "angle", { get: () => window.turned });
"""
_FLICK = """(canvas) => {
  canvas.setPointerCapture = () => {};
  const at = (type, clientX) => canvas.dispatchEvent(
    new PointerEvent(type, { clientX, clientY: 200, button: 0, isPrimary: true, bubbles: true }));
  at("pointerdown", 200);
  at("pointermove", 190);
  at("pointermove", 60);
  at("pointerup", 60);
}"""
_TWO_FINGERS = """(canvas) => {
  canvas.setPointerCapture = () => {};
  const at = (type, pointerId, clientX, clientY) => canvas.dispatchEvent(
    new PointerEvent(type, { pointerId, clientX, clientY, button: 0, bubbles: true }));
  at("pointerdown", 1, 200, 200);
  at("pointerdown", 2, 20, 300);
  at("pointermove", 2, 20, 200);
  at("pointerup", 2, 20, 200);
  at("pointermove", 1, 60, 200);
}"""
_TILT = """([beta, gamma]) => window.dispatchEvent(
  new DeviceOrientationEvent("deviceorientation", { alpha: 0, beta, gamma }))"""
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 760},
    "has_touch": True,
    "is_mobile": True,
}


def test_a_voice_is_heard_as_a_prompt(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, script=_EAR).until_chunk(0)
        visit.find(".mic").click()
        visit.reads(visit.receipt(), "night falls · on the picture after")
        expect(visit.find(".mic")).to_have_attribute("aria-pressed", "false")


def test_what_was_sent_while_it_was_heard_is_not_said_again(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, script=_SLOW_EAR).until_chunk(0)
        visit.find(".mic").click()
        visit.page.evaluate('hear("night falls", false)')
        visit.find("#say-0").press("Enter")
        visit.reads(visit.receipt(), "night falls · on the picture after")
        said = visit.number("prompt")
        visit.page.evaluate('hear("Night falls", true)')
        expect(visit.find("#say-0")).to_have_value("")
        expect(visit.find(".mic")).to_have_attribute("aria-pressed", "false")
        visit.until_chunk(visit.number("chunk") + 2)
        assert visit.page.evaluate("aborted") and visit.number("prompt") == said


def test_a_gamepads_stick_pulls(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, script=_PAD).until_chunk(0)
        visit.page.evaluate("tilted(0, -1)")
        visit.reads(visit.receipt(), "gravity pulls up")
        visit.page.evaluate("tilted(1, 0)")
        visit.reads(visit.receipt(), "gravity pulls right")


def test_a_tilted_phone_pulls(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, **PHONE).until_chunk(0)
        visit.find("#tilt-on").check()
        for gamma in (5, -40):
            visit.page.evaluate(_TILT, [40, gamma])
        visit.reads(visit.receipt(), "gravity pulls left")


@pytest.mark.parametrize(("angle", "side"), [(90, -1), (270, 1)])
def test_a_phone_held_on_its_side_rests_where_hands_hold_it(
    tmp_path: Path, browser: Browser, angle: int, side: int
) -> None:
    with demo(tmp_path) as server:
        script = f"window.turned = {angle};" + _LYING
        visit = browser.visit(server.url, script=script, **PHONE).until_chunk(0)
        visit.find("#tilt-on").check()
        visit.page.evaluate(_TILT, [0, side * 40])  # upright before the eyes, leaning back
        visit.page.wait_for_timeout(500)
        assert "gravity" not in (visit.receipt().text_content() or "")
        visit.page.evaluate(_TILT, [side * -40, side * 40])  # its right edge goes down
        visit.reads(visit.receipt(), "gravity pulls right")


def test_a_flick_pulls_however_quick_it_is(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        for _ in range(2):
            visit.view().evaluate(_FLICK)
            visit.reads(visit.receipt(), "gravity pulls left")
            visit.said("it snows")


def test_a_second_finger_on_the_picture_does_not_turn_what_the_first_one_pulls(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.view().evaluate(_TWO_FINGERS)
        visit.reads(visit.receipt(), "gravity pulls left")


def test_a_tilt_that_is_switched_off_while_the_browser_asks_does_not_pull(
    tmp_path: Path, browser: Browser
) -> None:
    asks = """DeviceOrientationEvent.requestPermission = () =>
      new Promise((resolve) => (window.allow = () => resolve("granted")));"""
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, script=asks, **PHONE).until_chunk(0)
        visit.find("#tilt-on").check()
        visit.find("#tilt-on").uncheck()
        visit.page.evaluate("allow()")
        visit.page.evaluate(_TILT, [40, -40])
        visit.page.wait_for_timeout(500)
        assert "gravity" not in (visit.receipt().text_content() or "")
