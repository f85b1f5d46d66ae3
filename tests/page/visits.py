"""What a person does on the page, in words of a test."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Locator, Page

WAIT_MS = 60_000
SHOTS = "MAGI_RT_SCREENSHOTS"
"""Names the folder that keeps pictures of the page; without it none are made."""

_PIXELS = """(canvas) => {
  const { width, height, dataset } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const times = Number(dataset.times ?? 1);
  let bytes = "";
  for (let y = times >> 1; y < height; y += times)
    for (let x = times >> 1; x < width; x += times) {
      const at = 4 * (y * width + x);
      bytes += String.fromCharCode(data[at], data[at + 1], data[at + 2]);
    }
  return [width / times, height / times, btoa(bytes)];
}"""


class Browser:
    """Opens visits and gathers what their scripts complain of."""

    def __init__(self, chromium: Chromium, name: str) -> None:
        self._chromium, self._name = chromium, name
        self._contexts: list[Any] = []
        self.errors: list[str] = []

    def visit(self, url: str, *, script: str = "", **more: Any) -> Visit:
        """A page of its own, as if in a browser of its own.

        script: runs before those of the page. ``more``: as Playwright names it.
        """
        context = self._chromium.new_context(**more)
        if script:
            context.add_init_script(script)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)
        page.goto(url)
        return Visit(page, self._name)

    def _hear(self, message: Any) -> None:
        refused = "WebSocket connection" in message.text
        if message.type == "error" and not refused:
            self.errors.append(message.text)

    def close(self) -> None:
        """Closes all of them."""
        for context in self._contexts:
            context.close()


class Visit:
    """One open page."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self._name = page, name

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def tab(self) -> Visit:
        """The same address in another tab of the same browser."""
        page = self.page.context.new_page()
        page.goto(self.page.url)
        return Visit(page, self._name)

    def view(self, picture: int = 0) -> Locator:
        """The canvas of a picture."""
        return self.find(f'.view[data-picture="{picture}"]')

    def receipt(self, picture: int = 0) -> Locator:
        """The line that tells what became of a prompt."""
        return self.find(".receipt").nth(picture)

    def number(self, name: str, picture: int = 0) -> int:
        """Of the frame on show: ``chunk``, ``frame``, ``epoch`` or ``prompt``; -1 before any."""
        return int(self.view(picture).get_attribute(f"data-{name}") or -1)

    def until(self, found: Callable[[], bool], what: str) -> None:
        """Waits until it is so."""
        end_s = time.monotonic() + WAIT_MS / 1e3
        while not found():
            assert time.monotonic() < end_s, f"{what} did not happen"
            self.page.wait_for_timeout(20)

    def reads(self, place: str | Locator, words: str) -> None:
        """Waits until a place says these words, among others.

        Playwright's own expectations look once a second after a while, which adds up.
        """
        found = self.find(place).first if isinstance(place, str) else place
        self.until(lambda: words in " ".join((found.text_content() or "").split()), repr(words))

    def until_chunk(self, chunk: int, picture: int = 0) -> Visit:
        """Waits until this chunk, or a later one, is on show."""
        self.until(lambda: self.number("chunk", picture) >= chunk, f"chunk {chunk}")
        return self

    def say(self, text: str, picture: int = 0) -> None:
        """Types a prompt and sends it."""
        self.find(f"#say-{picture}").fill(text)
        self.find(f"#say-{picture}").press("Enter")

    def said(self, text: str, picture: int = 0) -> int:
        """Says a prompt and waits until it is on the picture; milliseconds that it took."""
        before = self.number("prompt", picture)
        self.say(text, picture)
        self.until(lambda: self.number("prompt", picture) > before, f"a picture of {text!r}")
        self.reads(self.receipt(picture), "on the picture after")
        return int(self.view(picture).get_attribute("data-shown-ms") or -1)

    def open_menu(self, chunk: int, picture: int = 0) -> None:
        """Clicks on a moment of the strip."""
        strip = self.find(".strip").nth(picture)
        strip.locator(f'button[data-chunk="{chunk}"]').last.click()
        self.find("#moment").wait_for(state="visible")

    def pixels(self, canvas: Locator | None = None) -> NDArray[np.uint8]:
        """What a canvas shows, [H, W, 3], in the world's own pixels."""
        width, height, text = (canvas or self.view()).evaluate(_PIXELS)
        array = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
        return array.reshape(int(height), int(width), 3)

    def thumbnail(self, chunk: int) -> NDArray[np.uint8]:
        """First frame of a chunk on the strip, [H, W, 3]."""
        image = self.find(f'.strip button[data-chunk="{chunk}"] img').first
        address = image.get_attribute("src") or ""
        file = io.BytesIO(base64.b64decode(address.partition(",")[2]))
        return np.asarray(Image.open(file).convert("RGB"))

    def overflow(self) -> int:
        """CSS pixels that the page is wider than its window."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(wide))

    def shot(self, name: str) -> None:
        """Keeps a picture of the page where that was asked for."""
        if folder := os.environ.get(SHOTS):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")
