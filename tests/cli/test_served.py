"""The commands around a served world: serve, prompt, stats, watch, keys."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli import windows
from magi_rt.cli.app import app
from magi_rt.cli.serve import whole_address
from magi_rt.media.video_reader import read_video
from magi_rt.stream.keys import ServerKeys
from magi_rt.stream.server import WorldServer
from tests.cli.test_interrupt import command, needs_signals, surroundings
from tests.stream.serving_kit import served, wait_for


@pytest.fixture
def server() -> Iterator[WorldServer]:
    """A served dummy world."""
    with served(fps=60) as found:
        yield found


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "140", "TERM": "dumb"})


def said(*arguments: str) -> str:
    """What a command that must succeed says on stdout."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments: str) -> str:
    """The one sentence with which a command is refused."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("options", [[], ["--flush"], ["--now"], ["--flush", "--now"]])
def test_prompt_prints_the_receipt(server: WorldServer, options: list[str]) -> None:
    shown = said("prompt", "rain", "--address", server.address, *options)
    assert re.fullmatch(
        r"accepted as prompt 1\n"
        r"shown from frame \d+ on \(chunk \d+, epoch [01]\), \d+ ms after it was asked for\n",
        shown,
    )


def test_prompt_can_leave_without_waiting(server: WorldServer) -> None:
    shown = said("prompt", "rain", "--address", server.address, "--no-wait")
    assert shown == "accepted as prompt 1\n"


def test_stats_are_a_table_with_meanings_or_json(server: WorldServer) -> None:
    wait_for(lambda: server.stats()["frames_shown"] > 3, "frames")
    table = said("stats", server.address)
    assert "frames_shown" in table and "frames whose time came" in table
    counts = json.loads(said("stats", server.address, "--json"))
    assert counts["model"] == "dummy" and counts["frames_shown"] > 3
    assert set(counts) <= set(re.findall(r"^ (\w+)", table, re.M))


def test_every_counter_has_its_meaning(server: WorldServer) -> None:
    from magi_rt.cli.stats import _MEANINGS

    assert set(server.stats()) == set(_MEANINGS)


def test_watching_without_a_window_writes_as_many_frames_as_asked(
    server: WorldServer, tmp_path: Path
) -> None:
    path = tmp_path / "seen.mp4"
    shown = said("watch", server.address, "--headless", str(path), "--seconds", "0.5")
    assert shown == f"30 frames written to {path}\n"
    video = read_video(path, fps=60, limit=100)
    assert video.shape == (30, 256, 256, 3)


def test_a_film_of_a_paused_world_says_that_nothing_came(
    server: WorldServer, tmp_path: Path
) -> None:
    path = tmp_path / "seen.mp4"
    wait_for(lambda: server.stats()["frames_shown"] > 0, "a frame")
    said("prompt", "rain", "--address", server.address)
    server._serving._pause(True)
    result = invoke(
        "watch", server.address, "--headless", str(path), "--seconds", "9", "--timeout", "0.5"
    )
    assert "no frame came for 0.5 s" in result.stderr
    assert "1 frames written" in result.stdout, "a newcomer gets the last frame at once"


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "there is no display here" in refusal("watch")


def test_a_window_needs_opencv_with_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert 'pip install "magi-rt[viewer]"' in refusal("watch")

    class NoWindows(Exception):
        pass

    def refuse(*_: object) -> None:
        raise NoWindows

    headless = SimpleNamespace(error=NoWindows, WINDOW_NORMAL=0, namedWindow=refuse)
    monkeypatch.setitem(sys.modules, "cv2", headless)
    assert "pip uninstall opencv-python-headless" in refusal("watch")


class PaperWindow:
    """An OpenCV that only remembers what it was told; q is pressed after some pictures."""

    WINDOW_NORMAL = 0
    WINDOW_GUI_NORMAL = 16

    def __init__(self, pictures: int) -> None:
        self.pictures: list[Any] = []
        self.left = pictures
        self.size, self.closed = (0, 0), False

    def namedWindow(self, *_: object) -> None: ...

    def setWindowTitle(self, *_: object) -> None: ...

    def resizeWindow(self, _: str, width: int, height: int) -> None:
        self.size = (width, height)

    def imshow(self, _: str, pixels: Any) -> None:
        self.pictures.append(pixels)
        self.left -= 1

    def waitKeyEx(self, _: int) -> int:
        return ord("q") if self.left <= 0 else -1

    def getWindowProperty(self, *_: object) -> float:
        return 1.0

    def destroyAllWindows(self) -> None:
        self.closed = True


def test_a_window_shows_frames_enlarged_until_it_is_closed(
    server: WorldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = PaperWindow(5)
    monkeypatch.setattr(windows, "_cv2", lambda: paper)
    assert said("watch", server.address) == ""
    assert paper.closed and len(paper.pictures) == 5 and paper.size == (512, 512)
    assert paper.pictures[-1].shape == (32, 32, 3)


def test_keys_open_a_guarded_server(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    told = said("keys", str(folder), "--client", "studio")
    assert f"--keys {folder}" in told and str(folder / "clients" / "studio") in told
    assert "exist already" in said("keys", str(folder), "--client", "studio")
    with served(keys=ServerKeys.load(folder)) as server:
        own = ["--keys", str(folder / "clients" / "studio")]
        assert "prompt 1" in said("prompt", "rain", "--address", server.address, *own)
        lost = refusal("prompt", "rain", "--address", server.address, "--timeout", "0.5")
        assert "know this client's key" in lost


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve", "dummy", "--bind", "0.0.0.0"], "magi-rt keys"),
        (["serve", "dummy", "--bind", "udp://x"], "cannot be used"),
        (["serve", "dummy", "--fps", "500"], "1 to 240"),
        (["serve", "dummy", "--buffer", "0"], "1 to 8"),
        (["serve", "dummy", "--snapshots", "nowhere"], "make it first"),
        (["serve", "dummy", "--keys", "nowhere"], "magi-rt keys DIR"),
        (["serve", "dummy", "--prompt", "x" * 4001], "4,001"),
        (["serve", "dummy", "--image", "none.png"], "none.png"),
        (["serve", "nowhere"], "nowhere"),
        (["serve", "dummy", "--size", "13x17"], "multiples"),
        (["serve", "dummy", "--port", "65535"], "65534"),
        (["prompt", "rain", "--address", "here"], "cannot be used"),
        (["prompt", "rain", "--timeout", "0.3", "--address", "tcp://127.0.0.1:9"], "no answer"),
        (["stats", "tcp://127.0.0.1:9", "--timeout", "0.3"], "no answer"),
        (["watch", "--headless", "film.avi"], ".mp4"),
        (["watch", "--headless", "a.mp4", "--seconds", "-1"], "more than 0"),
        (["serve", "dummy", "--seconds", "inf"], "more than 0 and at most 86400"),
        (["serve", "dummy", "--seconds", "-1"], "more than 0"),
        (["keys", "k", "--client", "../up"], "client name"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refusal(*arguments)


def test_bind_and_port_make_an_address() -> None:
    assert whole_address("127.0.0.1", 5590) == "tcp://127.0.0.1:5590"
    assert whole_address("127.0.0.1", 0) == "tcp://127.0.0.1:*"
    assert whole_address("::1", 7) == "tcp://[::1]:7"
    assert whole_address("ipc:///tmp/world", 5590) == "ipc:///tmp/world"


@needs_signals
def test_a_server_process_says_where_it_is_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    program = command("serve", "dummy", "--bind", f"ipc://{tmp_path}/w", "--prompt", "rain")
    with subprocess.Popen(
        program, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            first, second, _ = (running.stdout.readline() for _ in range(3))
            assert "dummy, 64x64" in first and "made ahead" in first
            address = second.split()[2].rstrip(",")
            assert address == f"ipc://{tmp_path}/w"
            assert "prompt 2" in said("prompt", "snow", "--address", address)
            running.send_signal(signal.SIGINT)
            _, complaints = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert complaints == "magi-rt: stopped\n"


def test_a_server_can_end_by_itself() -> None:
    assert "frames on tcp://127.0.0.1:" in said(
        "serve", "dummy", "--port", "0", "--seconds", "0.2", "--fps", "30"
    )
