"""On the page the world is seen, steered, compared, kept and shared."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from magi_rt.world.run_log import RunLog
from tests.demo.pages import demo
from tests.page.visits import Browser, Visit

pytestmark = pytest.mark.slow
api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = api.expect


def test_the_page_connects_and_its_picture_moves(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
        expect(visit.find("#state")).to_have_text(re.compile("Live|Slower"))
        first, frame = visit.pixels(), visit.number("frame")
        visit.until(lambda: visit.number("frame") > frame, "a newer frame")
        assert first.shape == (64, 64, 3)
        visit.until(lambda: not np.array_equal(first, visit.pixels()), "another picture")
        visit.reads("#numbers", "dummy, 64")


def test_a_typed_prompt_gets_its_receipt_and_its_run_on_the_strip(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
        before = visit.pixels().mean((0, 1))
        assert visit.said("night falls") > 0
        after = visit.pixels().mean((0, 1))
        assert np.abs(after - before).max() > 4  # each prompt has a colour of its own there
        visit.reads(visit.find(".strip h3").last, "night falls")
        expect(visit.find('.chips button[data-text="night falls"]')).to_have_class("now-on")
        visit.find("#say-0").press("ArrowUp")
        expect(visit.find("#say-0")).to_have_value("night falls")


def test_keys_chips_and_drags_say_what_they_promise(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.page.keyboard.press("ArrowLeft")
        visit.reads(visit.receipt(), "gravity pulls left")
        visit.find('.chips button[data-text="it snows"]').click()
        visit.reads(visit.receipt(), "it snows")
        box = visit.view().bounding_box()
        assert box is not None
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
        visit.page.mouse.down()
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=8)
        visit.reads(visit.receipt(), "gravity pulls up")
        visit.page.mouse.up()
        visit.find("#say-0").press_sequentially("n")
        visit.find("#keys-on").uncheck()
        visit.page.keyboard.press("m")
        visit.reads(visit.receipt(), "gravity pulls up")


def test_a_click_on_the_strip_goes_back(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(6)
        epoch = visit.number("epoch")
        visit.open_menu(2)
        visit.shot("menu")
        visit.find("#moment-back").click()
        visit.until(lambda: visit.number("epoch") > epoch, "a new epoch")
        assert visit.number("chunk") < 6
        visit.reads(visit.receipt(), "Back at moment 2")


def test_after_going_back_the_arrow_keys_still_pull_gravity(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(6)
        epoch = visit.number("epoch")
        visit.open_menu(2)
        visit.find("#moment-back").click()
        visit.until(lambda: visit.number("epoch") > epoch, "a new epoch")
        visit.page.keyboard.press("ArrowLeft")
        visit.reads(visit.receipt(), "gravity pulls left")
        visit.find(".strip button").first.focus()
        visit.page.keyboard.press("n")
        visit.reads(visit.receipt(), "night falls")
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("t")
        visit.reads(visit.receipt(), "it rains")


def test_a_second_picture_goes_its_own_way(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(4)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        visit.until_chunk(2, picture=1)
        visit.said("night falls", picture=1)
        visit.said("it snows", picture=0)
        visit.reads(visit.find(".strip").nth(1).locator("h3").last, "night falls")
        difference = visit.pixels(visit.view(0)).mean((0, 1)) - visit.pixels(visit.view(1)).mean(
            (0, 1)
        )
        assert np.abs(difference).max() > 4
        visit.page.keyboard.press("Escape")
        visit.shot("two")
        visit.find(".shut").nth(1).press("Enter")
        expect(visit.find(".picture")).to_have_count(1)
        expect(visit.view()).to_be_focused()
        visit.said("day breaks")


def test_a_picture_that_somebody_else_opens_does_not_take_the_keys(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(4)
        other = browser.visit(server.url).until_chunk(4)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        for each in (visit, other):
            each.until_chunk(2, picture=1)
        expect(visit.find(".picture").nth(1)).to_have_class(re.compile("chosen"))
        expect(other.find(".picture").nth(0)).to_have_class(re.compile("chosen"))
        expect(other.find(".picture").nth(1)).not_to_have_class(re.compile("chosen"))


def test_a_pause_stops_the_picture_and_is_told(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find("#pause").click()
        visit.reads("#state", "Paused")
        stopped = visit.number("frame")
        visit.page.wait_for_timeout(300)
        assert visit.number("frame") <= stopped + 2  # frames that were on their way
        visit.find("#pause").click()
        visit.until_chunk(visit.number("chunk") + 1)


def test_who_comes_to_a_paused_world_sees_which_suggestion_shapes_it(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        visit.find('.chips button[data-text="night falls"]').click()
        expect(visit.find(".chips .now-on")).to_have_attribute("data-text", "night falls")
        visit.find("#pause").click()
        visit.reads("#pause", "Go on")
        late = browser.visit(server.url).until_chunk(0)
        expect(late.find(".chips .now-on")).to_have_attribute("data-text", "night falls")


def test_a_video_a_snapshot_and_the_replay_file_are_kept(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
        visit.find("#record").click()
        visit.reads("#record", "Stop recording")
        visit.until_chunk(visit.number("chunk") + 1)
        with visit.page.expect_download() as video:
            visit.find("#record").click()
        assert Path(video.value.path()).read_bytes()[4:8] == b"ftyp"
        visit.find("#keep").click()
        visit.find("#saved-name").fill("first")
        visit.find("#save").click()
        visit.reads("#toasts", "is saved")
        epoch = visit.number("epoch")
        visit.find("#keep").click()
        visit.find("#load").click()
        visit.until(lambda: visit.number("epoch") > epoch, "the snapshot")
        with visit.page.expect_download() as replay:
            visit.find("#replay").click()
        assert RunLog.load(Path(replay.value.path())).events


def test_the_page_comes_back_when_the_program_does(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        visit = browser.visit(server.url).until_chunk(3)
        visit.said("night falls")
    visit.reads("#state", "Disconnected")
    visit.reads(".veil", "keeps trying")
    visit.shot("disconnected")
    with demo(tmp_path, port=port):
        expect(visit.find("#state")).to_have_text(re.compile("Live|Slower"))
        expect(visit.find(".veil").first).to_be_hidden()
        visit.said("day breaks")


def test_two_tabs_share_one_wheel(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        first = browser.visit(server.url).until_chunk(0)
        second = browser.visit(server.url).until_chunk(0)
        first.reads("#wheel", "You steer")
        second.say("it snows")
        second.reads(second.receipt(), "ask for the wheel")
        expect(second.find("#pause")).to_be_disabled()
        second.find("#wheel button").click()
        first.find("#wheel button").click()
        second.reads("#wheel", "You steer")
        second.said("it snows")
        first.reads(first.receipt(), "it snows")
        second.page.close()
        expect(first.find("#pause")).to_be_enabled()


@pytest.mark.parametrize("width", [660, 800, 980])
def test_two_pictures_are_not_wider_than_a_tablet(
    tmp_path: Path, browser: Browser, width: int
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url, viewport={"width": width, "height": 900}).until_chunk(3)
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        visit.until_chunk(2, picture=1)
        assert visit.overflow() <= 0
        visit.shot(f"tablet-{width}")


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(tmp_path: Path, browser: Browser, width: int) -> None:
    with demo(tmp_path) as server:
        size = {"width": width, "height": 760}
        visit = browser.visit(server.url, viewport=size, has_touch=True, is_mobile=True)
        visit.until_chunk(3)
        assert visit.overflow() <= 0
        visit.shot(f"phone-{width}")
        visit.open_menu(2)
        visit.find("#moment-beside").click()
        visit.until_chunk(2, picture=1)
        assert visit.overflow() <= 0
        visit.find("#pencil").click()
        assert visit.overflow() <= 0
        visit.shot(f"phone-{width}-drawing")


def test_everything_can_be_done_with_the_keyboard(tmp_path: Path, browser: Browser) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(4)
        keys = visit.page.keyboard
        keys.press("Tab")
        keys.press("Enter")  # the skip link
        keys.press("Tab") if not _focused(visit, "#say-0") else None
        visit.until(lambda: _focused(visit, "#say-0"), "the focus on the prompt box")
        keys.type("night falls")
        keys.press("Enter")
        visit.reads(visit.receipt(), "on the picture after")
        _tab_to(visit, ".strip button")
        keys.press("Home")
        keys.press("ArrowRight")
        keys.press("Enter")
        visit.until(lambda: _focused(visit, "#moment-back"), "the focus in the menu")
        epoch = visit.number("epoch")
        keys.press("Enter")
        visit.until(lambda: visit.number("epoch") > epoch, "the way back")
        _tab_to(visit, "#pause")
        keys.press("Enter")
        visit.reads("#state", "Paused")


def _focused(visit: Visit, selector: str) -> bool:
    return bool(visit.page.evaluate("(s) => document.activeElement?.matches(s)", selector))


def _tab_to(visit: Visit, selector: str) -> None:
    for _ in range(40):
        if _focused(visit, selector):
            return
        visit.page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not come to {selector}")
