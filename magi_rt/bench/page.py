"""The demo's page as its user meets it: from the key press to the first picture that shows it.

A demo runs in a process of its own and Chromium, driven by Playwright, opens its page. A probe that
runs before the page's scripts (``page_probe.js``) notes when Enter went down, when the prompt was
sent, when the first frame that shows it came in, and when it was drawn.
"""

from __future__ import annotations

import importlib.resources
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magi_rt.bench.measure import Numbers, hardware, median, percentile, rounded
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROMPTS = ("night falls", "day breaks")
"""Said in turn: light is what every picture shows, and what a single number can see."""
LEAP = 8.0
"""Mean brightness, of 255, by which a picture that shows the prompt differs from the one before."""
SETTLE_S = 2.0
"""From one prompt to the next, and up to a second more, so that prompts meet every moment of a
chunk."""
PATIENCE_S = 10.0
"""After which a prompt counts as not obeyed."""
OPENED_S, MOVING = 300.0, 24
"""Seconds until that many pictures must have been drawn."""
READING_S = 15.0
"""Between two readings of the page's memory."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

Tell = Callable[[float], None]
"""Called with the share of the measurement that is done."""


@dataclass(frozen=True)
class Trial:
    """One prompt, in milliseconds of the page's clock; ``drawn`` 0 where it never showed."""

    typed: float
    sent: float
    arrived: float
    drawn: float


@dataclass(frozen=True)
class Memory:
    """Bytes after a garbage collection: the page's objects, and its process as the system sees it;
    and how many nodes the document has."""

    objects: int
    process: int
    nodes: int


def bench_page(
    model: str = "nano",
    *,
    prompts: int = 40,
    minutes: float = 0.0,
    seed: int = 0,
    tell: Tell = lambda _: None,
) -> Numbers:
    """Opens a demo and its page, says prompts, then lets it run; returns the numbers.

    Args:
        prompts: how many are said, "night falls" and "day breaks" in turn.
        minutes: for which the page is left running afterwards, its memory read every 15 s.
        seed: of the waits between prompts.

    Raises:
        OptionError: Playwright or Chromium is missing, or the model cannot be opened.
    """
    waits = random.Random(seed)
    with _demo(model) as url, _page(url) as page:
        _live(page)
        begun, shown = time.perf_counter(), _shown(page)
        trials = []
        for number in range(prompts):
            trials.append(_said(page, PROMPTS[number % len(PROMPTS)]))
            page.wait_for_timeout(1e3 * (SETTLE_S + waits.random()))
            tell((number + 1) / prompts * (0.5 if minutes else 1.0))
        readings = _watched(page, 60 * minutes, lambda share: tell(0.5 + 0.5 * share))
        drawn, seconds = _shown(page) - shown, time.perf_counter() - begun
        version = page.context.browser.version if page.context.browser else ""
    told = {"bench": "page", "model": model, "page_fps": drawn / seconds, **summary(trials)}
    known = {"browser": f"Chromium {version}", "hardware": hardware("cpu")}
    return rounded(told | memory_summary(readings) | known)


def summary(trials: Sequence[Trial]) -> Numbers:
    """Times of the prompts that showed, and how many did not."""
    shown = [trial for trial in trials if trial.drawn]
    found: Numbers = {"prompts": len(trials), "prompts_that_showed": len(shown)}
    if not shown:
        return found
    whole = [trial.drawn - trial.typed for trial in shown]
    added = [trial.sent - trial.typed + trial.drawn - trial.arrived for trial in shown]
    for name, values in (("prompt_to_pixels_ms", whole), ("page_adds_ms", added)):
        found |= {f"{name}_p50": median(values), f"{name}_p95": percentile(values, 95)}
    return found


def memory_summary(readings: Sequence[Memory]) -> Numbers:
    """How the page's memory grew from the end of the first third of the readings to the end."""
    if not readings:
        return {}
    early, late = readings[len(readings) // 3], readings[-1]
    return {
        "page_minutes": len(readings) * READING_S / 60,
        "page_objects_mb_early": early.objects / 1e6,
        "page_objects_mb_late": late.objects / 1e6,
        "page_objects_growth_pct": _growth(early.objects, late.objects),
        "page_process_mb_early": early.process / 1e6,
        "page_process_mb_late": late.process / 1e6,
        "page_process_growth_pct": _growth(early.process, late.process),
        "page_nodes_early": early.nodes,
        "page_nodes_late": late.nodes,
    }


def _growth(early: int, late: int) -> float | None:
    """In percent; None where the system tells no memory."""
    return 100 * (late / early - 1) if early else None


@contextmanager
def _demo(model: str) -> Iterator[str]:
    """The address of a demo that runs until the block ends."""
    command = [sys.executable, "-m", "magi_rt.cli", "demo", model, "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            line = running.stdout.readline()
            if not line:
                raise OptionError(f"the demo of {model!r} did not open", field="model")
            yield line.split()[-1]
        finally:
            running.terminate()


@contextmanager
def _page(url: str) -> Iterator[Page]:
    """The demo's page in a Chromium of its own, with the probe."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise OptionError(
            "the page is driven by Playwright, which is missing; pip install 'magi-rt[bench]'",
            field="page",
        ) from error
    probe = importlib.resources.files("magi_rt.bench").joinpath("page_probe.js").read_text("utf-8")
    with sync_playwright() as playwright:
        # Chromium refuses to run as root inside its sandbox.
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = chromium.new_page()
        page.add_init_script(f"(() => {{\n{probe}\n}})();")
        page.goto(url)
        yield page
        chromium.close()


def browser_path() -> str:
    """The path of the Chromium of this machine; OptionError where there is none."""
    path = os.environ.get("MAGI_RT_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if path is None:
        raise OptionError(
            "no Chromium is found; install it (apt-get install chromium), or name it in "
            "MAGI_RT_CHROMIUM",
            field="page",
        )
    return path


def _live(page: Page) -> None:
    """Waits until pictures move."""
    end_s = time.perf_counter() + OPENED_S
    while _shown(page) < MOVING:
        if time.perf_counter() > end_s:
            raise OptionError(
                f"the page showed no moving picture within {OPENED_S:g} s", field="model"
            )
        page.wait_for_timeout(100)


def _shown(page: Page) -> int:
    """Pictures drawn so far."""
    return int(page.evaluate("window.magiProbe.shown"))


def _said(page: Page, prompt: str) -> Trial:
    """Types a prompt, and waits until the picture shows it."""
    box = page.locator("#say-0")
    box.fill(prompt)
    page.evaluate(f"window.magiProbe.arm({LEAP})")
    box.press("Enter")
    end_s = time.perf_counter() + PATIENCE_S
    while True:
        trial: dict[str, Any] = page.evaluate("window.magiProbe.trial")
        if trial["drawn"] or time.perf_counter() > end_s:
            return Trial(**{name: float(trial[name]) for name in Trial.__annotations__})
        page.wait_for_timeout(50)


def _watched(page: Page, seconds: float, tell: Tell) -> list[Memory]:
    """Readings of the page's memory while it is left alone."""
    readings: list[Memory] = []
    while len(readings) * READING_S < seconds:
        page.wait_for_timeout(1e3 * READING_S)
        readings.append(_memory(page))
        tell(min(1.0, len(readings) * READING_S / seconds))
    return readings


def _memory(page: Page) -> Memory:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    nodes = session.send("Memory.getDOMCounters")["nodes"]
    session.detach()
    return Memory(int(heap["usedSize"]), _renderers_bytes(), int(nodes))


def _renderers_bytes() -> int:
    """Resident memory of the browser's page processes; 0 where the system does not tell."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (folder / "cmdline").read_bytes():
                pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
                found += pages * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            continue
    return found
