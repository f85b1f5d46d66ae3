"""Ctrl-C and other true processes: exit codes, and what lies in the folder afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def wait_for_bytes(folder: Path, running: subprocess.Popen[str]) -> None:
    """Return when the run has begun to write its video under the hidden name."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.glob(".magi-world.mp4.*.part")):
        assert running.poll() is None, running.communicate()[1]
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
