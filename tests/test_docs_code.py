"""The Python blocks of the pages run, on the dummy world, with what their readers would have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magi_rt import Frame, World

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/*.md"))
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)^```", re.S | re.M)
PLAYED_ELSEWHERE = {"streaming.md": "tests/stream/test_streaming_page.py"}
"""Pages whose blocks need a server, and the tests that run them with one."""
SHOWN = 20
"""Frames after which an endless loop of a page ends here."""


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """Line and code of each block that is to run: all but those below `<!-- not run: why -->`."""
    text = page.read_text("utf-8")
    return [(text[: m.start(2)].count("\n"), m[2]) for m in BLOCK.finditer(text) if not m[1]]


class AtOnce:
    """A timer that does not let a test wait."""

    def __init__(self, _seconds: float, call: Callable[..., Any], given: list[Any]) -> None:
        self.start = lambda: call(*given)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """An empty folder with a picture and a video, and a World that is always the dummy one."""
    from magi_rt.media.pictures import save_image
    from magi_rt.media.video_writer import VideoWriter

    monkeypatch.chdir(tmp_path)
    grey = np.full((64, 64, 3), 128, np.uint8)
    save_image(grey, "room.png")
    with VideoWriter("room.mp4", height=64, width=64, fps=24) as video:
        for _ in range(40):
            video.write(grey)
    opened: list[World] = []
    really_open, really_frames = World.open, World.frames

    def open_dummy(model: object = "nano", **options: Any) -> World:
        fitting = {k: v for k, v in options.items() if k in ("seed", "image", "video", "history")}
        opened.append(really_open("dummy", **fitting))
        return opened[-1]

    def some_frames(world: World, fps: float | None = 24, **options: Any) -> Iterator[Frame]:
        frames = really_frames(world, None, **options)
        yield from islice(frames, SHOWN)
        frames.close()

    monkeypatch.setattr(World, "open", open_dummy)
    monkeypatch.setattr(World, "frames", some_frames)
    monkeypatch.setattr("threading.Timer", AtOnce)
    yield {"World": World, "show": lambda *_: None}
    for world in opened:
        world.close()


HERE = [p for p in PAGES if python_blocks(p) and p.name not in PLAYED_ELSEWHERE]


@pytest.mark.parametrize("page", HERE, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_one_after_the_other(page: Path, desk: dict[str, Any]) -> None:
    for line, code in python_blocks(page):
        # blank lines in front: an error then names the line of the page
        exec(compile("\n" * line + code, str(page), "exec"), desk)


def test_a_block_is_left_out_only_with_a_reason() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert len(re.findall(r"^```python", text, re.M)) == len(BLOCK.findall(text))
    assert text.count("<!-- not run") == len([1 for why, _ in BLOCK.findall(text) if why])


def test_pages_that_are_not_run_here_are_named_by_the_tests_that_run_them() -> None:
    for page, test in PLAYED_ELSEWHERE.items():
        assert page in (ROOT / test).read_text("utf-8")
