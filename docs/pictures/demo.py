"""Makes the picture of the demo's page: the built-in world, a while after one prompt.

    python docs/pictures/demo.py [--seed N]

Needs `pip install playwright` and Chromium. The page's numbers are those of the machine it runs on.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROMPT = "gravity pulls left"
WIDE, HIGH = 1280, 860
BEFORE_MS, AFTER_MS = 4_000, 3_000
"""How long the page is watched before and after the prompt."""


def shot(address: str) -> bytes:
    """PNG of the page after somebody has steered."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as api:
        browser = api.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="dark")
        page.goto(address)
        page.locator(".strip button").nth(3).wait_for(timeout=120_000)
        page.wait_for_timeout(BEFORE_MS)
        page.get_by_role("button", name=PROMPT).first.click()
        page.wait_for_timeout(AFTER_MS)
        return page.screenshot()


def main() -> None:
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=2)
    seed = parser.parse_args().seed
    demo = [sys.executable, "-m", "magi_rt.cli", "demo", "--no-browser", "--port", "0"]
    with subprocess.Popen([*demo, "--seed", str(seed)], stdout=subprocess.PIPE, text=True) as world:
        assert world.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://\S+", line) for line in world.stdout)))
            picture = Image.open(io.BytesIO(shot(found.group())))
            picture.convert("RGB").save(HERE / "demo.webp", quality=80, method=6)
        finally:
            world.terminate()


if __name__ == "__main__":
    main()
