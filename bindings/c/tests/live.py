"""Runs a client's live tests against real servers.

    live.py world|ipc|keys|restart|next|viewer COMMAND...

The command gets what test_live.c describes behind its own arguments. Ends with 77 when magi_rt or
what it needs is not there: then nothing was tested.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import zmq

    from magi_rt.stream.keys import ServerKeys
    from magi_rt.stream.server import WorldServer
    from magi_rt.world import World
except ImportError as missing:
    print(f"not tested: {missing}")
    sys.exit(77)

FPS = 100


def open_server(address: str = "tcp://127.0.0.1:*", **options: object) -> WorldServer:
    """A server of the dummy world."""
    world = World.open("dummy", size=(48, 64), seed=7)
    return WorldServer(world, address, fps=FPS, **options)  # type: ignore[arg-type]


def run(command: list[str], *arguments: str) -> None:
    subprocess.run([*command, *arguments], check=True, timeout=100)


def test_world(command: list[str]) -> None:
    """Everything a client can ask of a server on TCP."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_server(snapshots=folder) as server,
    ):
        run(command, "world", server.address, server.control_address)


def test_ipc(command: list[str]) -> None:
    """The same through a socket of the file system."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_server(f"ipc://{folder}/frames", snapshots=folder) as server,
    ):
        run(command, "world", server.address, server.control_address)


def test_keys(command: list[str]) -> None:
    """Who has a key on the list is let in; who has another one, or none, is not."""
    friend, stranger, own = (zmq.curve_keypair() for _ in range(3))
    keys = ServerKeys(own[0].decode(), own[1].decode(), frozenset({friend[0].decode()}))
    with open_server(keys=keys) as server:
        to = (server.address, server.control_address)
        for pair, fate in ((friend, "let-in"), (stranger, "shut-out")):
            run(command, "keys", *to, pair[0].decode(), pair[1].decode(), keys.public, fate)
        run(command, "keys", *to, "none", "none", "none", "shut-out")


def test_viewer(command: list[str]) -> None:
    """The example program sees its prompt and leaves the last picture in a file; one that cannot be
    sent is told."""
    program = [str(Path(command[0]).resolve()), *command[1:]]
    with tempfile.TemporaryDirectory() as folder, open_server() as server:
        to = ["--frames", server.address, "--control", server.control_address]
        options = ["--headless", "--count", "5", *to, "night falls"]
        subprocess.run([*program, *options], check=True, timeout=100, cwd=folder)
        picture = (Path(folder) / "cpp_viewer.ppm").read_bytes()
        refused = [*program, *options[:-1], b"\xff is no UTF-8"]
        answer = subprocess.run(refused, capture_output=True, timeout=60, cwd=folder)
    assert picture.startswith(b"P6\n64 48\n255\n") and len(picture) == 13 + 64 * 48 * 3
    assert answer.returncode == 1 and b"prompt" in answer.stderr, "it waits for a prompt never sent"


def start_process(*addresses: str) -> subprocess.Popen[str]:
    """A server in a process of its own, which says its addresses."""
    arguments = [sys.executable, str(Path(__file__)), "serve", *addresses]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve(address: str = "tcp://127.0.0.1:*", control: str | None = None) -> None:
    """Serves until the standard input ends."""
    with open_server(address, control=control) as server:
        print(server.address, server.control_address, flush=True)
        sys.stdin.read()


def test_restart(command: list[str]) -> None:
    """A server is killed, and another one comes in its place."""
    first = start_process()
    assert first.stdout is not None
    addresses = first.stdout.readline().split()
    client = subprocess.Popen([*command, "restart", *addresses], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "playing\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    print(client.stdout.readline(), end="")
    second = start_process(*addresses)
    try:
        print(client.stdout.read(), end="")
        assert client.wait(60) == 0
    finally:
        second.communicate()


def test_next(command: list[str]) -> None:
    """A server ends in order, and another one comes in its place: at once, and later."""
    for gap_s in (0.0, 2.0):
        first = start_process()
        assert first.stdout is not None
        addresses = first.stdout.readline().split()
        client = subprocess.Popen([*command, "next", *addresses], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        assert client.stdout.readline() == "playing\n"
        first.communicate()
        time.sleep(gap_s)
        second = start_process(*addresses)
        try:
            assert client.wait(60) == 0
        finally:
            second.communicate()
            client.stdout.close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        globals()[f"test_{sys.argv[1]}"](sys.argv[2:])
