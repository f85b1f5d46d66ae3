"""Every example runs, headless and for a moment, on the dummy world."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import io
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from magi_rt.stream.client import WorldClient
from magi_rt.stream.server import WorldServer
from magi_rt.world import World
from magi_rt.world.actions import ActionMap
from tests.stream.serving_kit import served, wait_for
from tests.world.kit import dummy_world

Pixels = npt.NDArray[Any]
EXAMPLES = Path(__file__).parent.parent / "examples"
LIMIT_S = 120

QUICK = [
    "01_first_frames.py",
    "02_steer_from_code.py",
    "03_snapshot_and_fork.py",
    "06_publish_and_watch.py",
]
"""Examples that run in a moment and end by themselves."""

LONGER = ["04_pygame_window.py", "05_panda3d_screen.py", "11_asyncio_server.py"]

ELSEWHERE = ["10_your_own_world.py"]
"""In training/test_your_own_world.py, since it trains."""


def loaded(name: str) -> ModuleType:
    """An example as a module, its main program not run."""
    spec = importlib.util.spec_from_file_location(f"example_{name[:2]}", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_use_what_the_python_reference_explains() -> None:
    reference = (EXAMPLES.parent / "docs" / "api.md").read_text("utf-8")
    explained = set(re.findall(r"magi_rt(?:\.\w+)*\.(\w+)", reference))
    for example in sorted(EXAMPLES.glob("*.py")):
        ours = [
            name.name
            for node in ast.walk(ast.parse(example.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("magi_rt")
            for name in node.names
        ]
        assert ours and set(ours) <= explained, example.name


def run_any(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """An example as a program of its own, without a display."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy", "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def run(name: str, *arguments: str, folder: Path) -> str:
    """What an example says that runs to its end."""
    done = run_any(name, *arguments, folder=folder)
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


def test_the_pygame_window_says_in_a_sentence_that_its_world_does_not_open(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    done = run_any("04_pygame_window.py", "no-such-model", folder=tmp_path)
    assert done.returncode == 1 and "EOFError" not in done.stderr
    assert "no-such-model" in done.stderr and "could not be opened" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_the_clocked_loop_ends_on_ctrl_c_without_a_traceback() -> None:
    program = subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / "02_steer_from_code.py"), "dummy"],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None and program.stdout.readline().startswith("frame 0")
        program.send_signal(signal.SIGINT)
        _, complaint = program.communicate(timeout=LIMIT_S)
        assert (program.returncode, complaint) == (0, "")
    finally:
        program.kill()
        program.communicate()


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


def quarters() -> Pixels:
    """A picture of 32 x 32 pixels whose four corners differ: red, green, blue, yellow."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16, :16], picture[:16, 16:] = (230, 20, 20), (20, 230, 20)
    picture[16:, :16], picture[16:, 16:] = (20, 20, 230), (230, 230, 20)
    return picture


def test_the_screen_in_the_panda3d_room_shows_the_frame_upright_and_in_its_colours(
    tmp_path: Path,
) -> None:
    pytest.importorskip("panda3d", reason="panda3d is not installed: pip install panda3d")
    with served(dummy_world(image=quarters()), fps=1) as server:
        with WorldClient(server.address) as client, client.watching() as frames:
            wait_for(frames.latest, "a frame")
            client.pause()
            run("05_panda3d_screen.py", "--connect", server.address, "--picture", "room.png",
                folder=tmp_path)  # fmt: skip
            shown = frames.latest()
        assert shown is not None
    room = np.asarray(Image.open(tmp_path / "room.png").convert("RGB")).astype(int)
    height, width, _ = room.shape
    middle = np.array([height // 2, width // 2])
    for down, right in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        y, x = middle + 100 * np.array([down, right])
        wanted = shown.pixels[16 + 8 * down, 16 + 8 * right].astype(int)
        assert np.abs(room[y, x] - wanted).max() <= 2
    wall = room[height // 2, 100]
    assert np.abs(wall - 0.7 * shown.pixels.mean(axis=(0, 1))).max() <= 3


async def visit(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return reader, writer


async def next_picture(frames: asyncio.StreamReader) -> Pixels:
    part = await frames.readuntil(b"\r\n--next")
    jpeg = part[part.index(b"\xff\xd8") :]
    return np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)


@asynccontextmanager
async def shown_page() -> AsyncIterator[tuple[int, asyncio.Future[None]]]:
    """The page of example 11 over the dummy world: its port, and what makes its pictures."""
    show = loaded("11_asyncio_server.py").Show(World.open("dummy", seed=7))
    server = await asyncio.start_server(show.answer, "127.0.0.1", 0)
    running = asyncio.ensure_future(show.run())
    yield server.sockets[0].getsockname()[1], running
    running.cancel()
    server.close()


async def until_said(port: int, text: str) -> Pixels:
    """Says a prompt while frames are watched; the first picture that shows it.

    The dummy world has a colour for every prompt.
    """
    frames, watching = await visit(port, "/frames")
    await frames.readuntil(b"\r\n\r\n")
    first = newest = await next_picture(frames)
    said, asking = await visit(port, f"/prompt?text={text}")
    assert (await said.read()).startswith(b"HTTP/1.0 204")
    while np.abs(newest - first).mean() < 10:
        newest = await next_picture(frames)
    for writer in (watching, asking):
        writer.close()
    return newest


def test_the_asyncio_page_shows_frames_and_obeys_the_prompt_typed_there() -> None:
    async def browse() -> bytes:
        async with shown_page() as (port, _):
            page, out = await visit(port, "/")
            html = await page.read()
            out.close()
            assert (await until_said(port, "night+falls")).shape == (64, 64, 3)
        return html

    html = asyncio.run(asyncio.wait_for(browse(), LIMIT_S))
    assert b"/frames" in html and b"/prompt" in html


def test_a_prompt_that_is_too_long_leaves_the_asyncio_page_running() -> None:
    async def browse() -> None:
        async with shown_page() as (port, running):
            await until_said(port, 5000 * "x")
            assert not running.done()

    asyncio.run(asyncio.wait_for(browse(), LIMIT_S))


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_the_asyncio_page_ends_on_one_ctrl_c_while_a_browser_watches() -> None:
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "11_asyncio_server.py"), "dummy", "0"],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        found = re.search(r":(\d+);", program.stdout.readline())
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), LIMIT_S) as page:
            page.sendall(b"GET /frames HTTP/1.0\r\n\r\n")
            shown = b""
            while b"--next" not in shown:
                shown += page.recv(4096)
            program.send_signal(signal.SIGINT)
            _, complaint = program.communicate(timeout=LIMIT_S)
        assert (program.returncode, complaint) == (0, "")
    finally:
        program.kill()
        program.communicate()
