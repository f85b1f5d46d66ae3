"""Chromium for the tests of the page, and what every one of its pages must keep to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from magi_rt.bench.page import browser_path
from magi_rt.errors import OptionError
from tests.page.visits import WAIT_MS, Browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

NAMES_HERE = "--host-resolver-rules=MAP demo.example 127.0.0.1"
"""Pages of that name come from this machine, but are not secure, as from another one."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    """One for this folder, no longer: Playwright's event loop keeps the main thread from others."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    try:
        path = browser_path()
    except OptionError as missing:
        pytest.skip(str(missing))
    with api.sync_playwright() as playwright:
        # Chromium refuses to run as root inside its sandbox, and CI often is root.
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", NAMES_HERE])
        yield found
        found.close()


@pytest.fixture
def browser(chromium: Chromium, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Opens pages; at the end none may have told of an error in its scripts."""
    opened = Browser(chromium, request.node.name)
    yield opened
    opened.close()
    assert opened.errors == []


@pytest.fixture(autouse=True)
def patient() -> None:
    """Playwright's expectations wait as long as the tests do: CI may be slow."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    api.expect.set_options(timeout=WAIT_MS)
