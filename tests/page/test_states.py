"""The line above the picture says how the world is, and no question stays open."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from magi_rt.demo.worlds import RemoteWorlds
from magi_rt.stream.client import WorldClient
from magi_rt.stream.server import WorldServer
from magi_rt.stream.steered import MadeChunk, SteeredWorld
from magi_rt.world import World
from tests.demo.pages import demo
from tests.page.visits import Browser

pytestmark = pytest.mark.slow
pytest.importorskip("playwright.sync_api", reason="pip install playwright")


def test_a_world_that_breaks_while_it_is_shown_is_called_broken_until_it_goes_on(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, full = SteeredWorld.advance, threading.Event()

    def without_memory(world: SteeredWorld) -> MadeChunk:
        if full.is_set():
            raise MemoryError("14 GiB are not there")
        return advance(world)

    monkeypatch.setattr(SteeredWorld, "advance", without_memory)
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
        full.set()
        visit.reads("#state", "The world makes no pictures")
        full.clear()
        visit.reads("#state", "Live")


def test_a_world_far_behind_its_clock_is_called_slow(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = SteeredWorld.advance

    def slowly(world: SteeredWorld) -> MadeChunk:
        time.sleep(2.2)  # for a third of a second of pictures
        return advance(world)

    monkeypatch.setattr(SteeredWorld, "advance", slowly)
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(1)
        visit.reads("#state", "Slower than real time")
        for _ in range(10):  # and stays so
            visit.page.wait_for_timeout(300)
            visit.reads("#state", "Slower than real time")


def test_a_world_that_somebody_else_has_paused_goes_on_with_one_press(
    tmp_path: Path, browser: Browser
) -> None:
    with (
        WorldServer(World.open("dummy"), f"ipc://{tmp_path}/world") as shown,
        demo(tmp_path, RemoteWorlds(shown.address)) as server,
        WorldClient(shown.address) as other,
    ):
        visit = browser.visit(server.url).until_chunk(1)
        other.pause()
        visit.reads("#pause", "Go on")
        visit.find("#pause").click()
        visit.reads("#pause", "Pause")
        chunk = visit.number("chunk")
        visit.until_chunk(chunk + 2)


QUESTION = """async () => {
  const { Link } = await import(new URL("static/socket.js", location.href));
  const sockets = [];
  class Silent {
    static OPEN = 1;
    readyState = 1;
    constructor() { sockets.push(this); }
    send() {}
    close() { this.readyState = 2; }
  }
  const own = window.WebSocket;
  window.WebSocket = Silent;
  try {
    const link = new Link("ws://nowhere");
    let lost = 0;
    link.addEventListener("lost", () => (lost += 1));
    link.again();
    const asked = link.ask("prompt", { text: "it snows" });
    sockets[0].close();
    link.again();
    sockets[0].onclose({ code: 1006, reason: "" });
    const open = new Promise((resolve) => setTimeout(resolve, 1000, "still open"));
    return [sockets.length, lost, await Promise.race([asked, open])];
  } finally {
    window.WebSocket = own;
  }
}"""


def test_a_question_is_answered_when_its_connection_is_replaced(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url)
        connections, lost, answer = visit.page.evaluate(QUESTION)
        assert (connections, lost) == (2, 1)
        assert answer == {"ok": False, "error": "The connection was lost."}


HUNG = """async () => {
  const { Link } = await import(new URL("static/socket.js", location.href));
  const sockets = [], timers = [];
  class Hung {
    static OPEN = 1;
    readyState = 0;
    constructor() { sockets.push(this); }
    close() { this.readyState = 3; }
  }
  const own = [window.WebSocket, window.setTimeout, window.setInterval, performance.now];
  let now = 0;
  window.WebSocket = Hung;
  window.setTimeout = (run, ms) => timers.push({ run, ms });
  window.setInterval = () => {};
  performance.now = () => now;
  try {
    const link = new Link("ws://nowhere");
    const counted = [];
    const count = () => counted.push(sockets.length);
    link.again();
    now = 500;
    link.again();
    count();
    now = 3000;
    link.again();
    count();
    timers.findLast(({ ms }) => ms > 5000).run();
    timers.at(-1).run();
    count();
    sockets.at(-1).readyState = 1;
    sockets.at(-1).onmessage({ data: JSON.stringify({ event: "welcome" }) });
    timers.findLast(({ ms }) => ms > 5000).run();
    count();
    return [counted, sockets.map((socket) => socket.readyState)];
  } finally {
    [window.WebSocket, window.setTimeout, window.setInterval, performance.now] = own;
  }
}"""


def test_a_connection_that_does_not_come_up_is_left_for_another(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        counted, states = browser.visit(server.url).page.evaluate(HUNG)
        assert counted == [1, 2, 3, 3]
        assert states == [3, 3, 1], "only the last one is open"


DOUBTS = """async (moments) => {
  const { Link } = await import(new URL("static/socket.js", location.href));
  class Heard {
    static OPEN = 1;
    readyState = 1;
    closed = false;
    constructor() { Heard.last = this; }
    close() { this.closed = true; }
  }
  const own = [window.WebSocket, window.setInterval, performance.now];
  let now = 0, doubt = null;
  window.WebSocket = Heard;
  window.setInterval = (ticks) => (doubt = ticks);
  performance.now = () => now;
  try {
    new Link("ws://nowhere").again();
    const stats = JSON.stringify({ event: "stats" });
    const found = [];
    for (const [at_s, hears] of moments) {
      now = 1000 * at_s;
      if (hears) Heard.last.onmessage({ data: stats });
      else doubt();
      found.push(Heard.last.closed);
    }
    return found;
  } finally {
    [window.WebSocket, window.setInterval, performance.now] = own;
  }
}"""

HEARS, DOUBTS_IT = True, False


@pytest.mark.parametrize(
    "moments, closed",
    [
        # nothing comes any more, and the page looks in time
        ([(1, HEARS), *((at_s, DOUBTS_IT) for at_s in range(2, 15, 2))], 7),
        # the page stood still for 15 s, and what came meanwhile is read after its doubt
        ([(1, HEARS), (2, DOUBTS_IT), (17, DOUBTS_IT), (17, HEARS), (18, DOUBTS_IT)], None),
        # it stood still, but nothing has come meanwhile
        ([(1, HEARS), (2, DOUBTS_IT), (17, DOUBTS_IT), (18, DOUBTS_IT), (20, DOUBTS_IT)], 4),
    ],
)
def test_silence_counts_only_for_a_page_that_did_not_stand_still_itself(
    tmp_path: Path, browser: Browser, moments: list[tuple[float, bool]], closed: int | None
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url)
        found = visit.page.evaluate(DOUBTS, moments)
        assert (found.index(True) if True in found else None) == closed


UNSEEN = """async () => {
  const { Screen } = await import(new URL("static/screen.js", location.href));
  const canvas = () => document.createElement("canvas");
  const own = window.requestAnimationFrame;
  window.requestAnimationFrame = () => 0; // as behind another tab
  try {
    return [false, true].map((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      const screen = new Screen(canvas(), canvas());
      for (let frame = 0; frame < 5; frame++) screen.take({ frame });
      return screen.skipped;
    });
  } finally {
    delete document.hidden;
    window.requestAnimationFrame = own;
  }
}"""
"""What a page counts as skipped while it is seen, and while it is not."""


def test_pictures_that_come_while_the_page_is_not_seen_do_not_count_as_skipped(
    tmp_path: Path, browser: Browser
) -> None:
    with demo(tmp_path) as server:
        visit = browser.visit(server.url).until_chunk(0)
        assert visit.page.evaluate(UNSEEN) == [4, 0]
