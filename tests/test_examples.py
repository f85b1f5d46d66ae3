"""Every example runs, headless and for a moment, on the dummy world."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from magi_rt.stream.server import WorldServer
from magi_rt.world.actions import ActionMap
from tests.stream.serving_kit import served, wait_for

EXAMPLES = Path(__file__).parent.parent / "examples"
LIMIT_S = 120

QUICK = [
    "01_first_frames.py",
    "02_steer_from_code.py",
    "03_snapshot_and_fork.py",
    "06_publish_and_watch.py",
]
"""Examples that run in a moment and end by themselves."""

LONGER = ["04_pygame_window.py"]

ELSEWHERE = ["10_your_own_world.py"]
"""In training/test_your_own_world.py, since it trains."""


def loaded(name: str) -> ModuleType:
    """An example as a module, its main program not run."""
    spec = importlib.util.spec_from_file_location(f"example_{name[:2]}", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: str, folder: Path) -> str:
    """What an example says as a program of its own, without a display."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy", "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tried() -> None:
    tried = {*QUICK, *LONGER, *ELSEWHERE}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tried


@pytest.mark.parametrize("name", [*QUICK, *LONGER])
def test_an_example_is_short_and_says_how_it_is_run(name: str) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    assert len(text.splitlines()) <= (45 if name in QUICK else 140)
    assert f"python examples/{name}" in text.split('"""')[1]


@pytest.mark.parametrize("name", QUICK)
def test_an_example_runs_on_the_dummy_world(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "dummy"])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    said = capsys.readouterr().out
    assert said and "False" not in said


def test_the_pygame_loop_turns_while_its_world_runs_in_another_process(tmp_path: Path) -> None:
    said = run("04_pygame_window.py", "dummy", "--seconds", "3", "--measure", folder=tmp_path)
    found = re.search(r"(\d+) turns: .*\n(\d+) pictures of the world", said)
    assert found, said
    turns, pictures = map(int, found.groups())
    assert turns > pictures > 0


@pytest.fixture
def server() -> Iterator[WorldServer]:
    """A served dummy world of 32 x 32 pixels that is slow enough to be compared."""
    with served(fps=5) as found:
        yield found


def test_the_pygame_background_is_the_newest_picture_and_takes_prompts(
    server: WorldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    example = loaded("04_pygame_window.py")
    pygame.display.init()
    background = example.Background(server.address)
    try:
        screen = pygame.display.set_mode((example.SIDE, example.SIDE))

        def drawn() -> bool:
            background.draw(screen)
            return bool(background.shown)

        wait_for(drawn, "a picture")
        background.say(ActionMap.of("nano").key("left"))
        background.say(None)
        wait_for(lambda: background._client.hello().text == "gravity pulls left", "the prompt")
        background._client.pause()

        def caught_up() -> bool:
            background.draw(screen)
            return bool(background._seq == background._frames.latest().header.seq)

        wait_for(caught_up, "the last picture before the pause")
        newest = background._frames.latest()
        step = example.SIDE // 32
        corners = pygame.surfarray.array3d(screen)[::step, ::step].swapaxes(0, 1)
        np.testing.assert_array_equal(corners, newest.pixels)
    finally:
        background.close()
        pygame.display.quit()
