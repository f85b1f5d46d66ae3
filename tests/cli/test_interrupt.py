"""Ctrl-C and other true processes: exit codes, and what lies in the folder afterwards."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest

from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.media.pictures import read_image

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "magi_rt.cli", *arguments]


def surroundings() -> dict[str, str]:
    """The environment with this checkout first on the path, for any working folder."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


def playable_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@needs_signals
def test_an_interrupt_is_raised_outside_the_hold_and_once() -> None:
    with InterruptGuard() as guard:
        with pytest.raises(KeyboardInterrupt), guard.hold():
            signal.raise_signal(signal.SIGINT)
            held = True
        assert held
        signal.raise_signal(signal.SIGINT)  # a second one lets the work be finished
    assert guard.exit_code == 130


@needs_signals
def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with InterruptGuard():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@needs_signals
@pytest.mark.usefixtures("without_nohup")
def test_a_terminal_that_is_closed_ends_the_work_in_order_and_nohup_keeps_it_going() -> None:
    with InterruptGuard() as guard:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        assert guard.exit_code == 129
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptGuard() as guard:
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert guard.exit_code == 0


OWN_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)


@needs_signals
@pytest.mark.usefixtures("without_nohup")
def test_a_run_whose_terminal_is_closed_leaves_whole_files(tmp_path: Path) -> None:
    screen, terminal = os.openpty()
    _, *arguments = command("run", "--model", "dummy", "--seconds", "3000")
    with subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *arguments], cwd=tmp_path, env=surroundings(),
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    ) as running:  # fmt: skip
        try:
            os.close(terminal)
            with reading(screen):
                wait_for_bytes(tmp_path, running)
            os.close(screen)
            assert running.wait(timeout=60) == 129
        finally:
            running.kill()
    files = ["magi-world.mp4", "magi-world.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert playable_frames(tmp_path / "magi-world.mp4") > 0


@contextmanager
def reading(screen: int) -> Iterator[None]:
    """Inside, what a program says is read, so that it never waits for its reader."""
    enough = threading.Event()

    def read() -> None:
        while not enough.is_set():
            if select.select([screen], [], [], 0.05)[0]:
                os.read(screen, 1 << 16)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        enough.set()
        reader.join()


@needs_signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_video_sheet_and_log_of_what_was_made(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    program = command(
        "run", "--model", "dummy", "--seconds", "3000", "--quiet", "--log", "run.json"
    )
    with subprocess.Popen(
        program, cwd=tmp_path, env=surroundings(), stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            wait_for_bytes(tmp_path, running)
            running.send_signal(number)
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == code
    assert "Traceback" not in said and "magi-rt: stopped" in said
    files = ["magi-world.mp4", "magi-world.png", "run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    made = playable_frames(tmp_path / "magi-world.mp4")
    assert f"{made} frames are kept: {', '.join(files)}" in said
    assert read_image(tmp_path / "magi-world.png").size
    assert 0 <= json.loads((tmp_path / "run.json").read_text())["chunks"] - made / 8 <= 1


def wait_for_bytes(folder: Path, running: subprocess.Popen[Any]) -> None:
    """Return when the run has begun to write its video under the hidden name."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.glob(".magi-world.mp4.*.part")):
        assert running.poll() is None, "it ended before it wrote anything"
        assert time.monotonic() < deadline, "nothing was written in a minute"
        time.sleep(0.02)


def test_a_refused_process_exits_with_two_and_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        command("run", "--seconds", "-3"),
        cwd=tmp_path,
        env=surroundings(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
