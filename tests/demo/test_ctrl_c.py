"""Ctrl-C and other signals end the demo in order, however often they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from magi_rt.demo.app import Door
from magi_rt.demo.serve import DemoServer
from magi_rt.demo.worlds import LocalWorlds
from magi_rt.world.actions import ActionMap
from tests.demo.pages import WAIT_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_an_impatient_ctrl_c_leaves_no_traceback(before: Any, tmp_path: Path) -> None:
    kept = signal.signal(signal.SIGINT, before)  # what is ignored here is ignored by children
    try:
        _end_it(tmp_path, "SIGINT")
    finally:
        signal.signal(signal.SIGINT, kept)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_and_a_closed_terminal_leave_nothing_behind(
    tmp_path: Path, name: str
) -> None:
    _end_it(tmp_path, name)


def _end_it(scratch: Path, name: str) -> None:
    number = signal.Signals[name]
    command = [sys.executable, "-m", "magi_rt.cli", "demo", "dummy", "--port", "0", "--no-browser"]
    pipe, places = subprocess.PIPE, {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=places) as running:
        stuck = threading.Timer(4 * WAIT_S, running.kill)  # or leaving the block waits for ever
        stuck.start()
        assert running.stdout is not None
        address = running.stdout.readline().split()[-1]
        with urllib.request.urlopen(address, timeout=WAIT_S) as page:  # waits until it is served
            assert page.status == 200
        assert list(scratch.glob("magi_rt-*")), "its videos and snapshots lie there meanwhile"
        for _ in range(3 if number == signal.SIGINT else 1):
            running.send_signal(number)
        _, said = running.communicate()
        stuck.cancel()
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert not list(scratch.glob("magi_rt-*"))


def test_who_ends_a_demo_that_is_still_opening_is_told_what_it_waits_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = DemoServer(LocalWorlds("dummy", {}), ActionMap.of("dummy"), tmp_path, Door())
    try:
        for _ in range(2):
            server._server.handle_exit(signal.SIGINT, None)
    finally:
        server._socket.close()
    assert server._server.should_exit and not server._server.force_exit
    assert capsys.readouterr().err == "magi-rt: ends as soon as the world is open\n"
