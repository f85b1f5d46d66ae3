"""One measurement of a way: a sender and readers in processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from magi_rt.bench.stream_peer import Reading, Sending
from magi_rt.bench.stream_ways import WAYS
from magi_rt.errors import BackendError

Found = dict[str, Any]
"""What a process printed."""

_END_S = 20.0


class Peer:
    """A process with one task."""

    def __init__(self, task: Sending | Reading) -> None:
        self.way = task.way
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "magi_rt.bench.stream_peer", json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def hear(self) -> Found:
        """Waits for its next line.

        Raises:
            BackendError: it has ended; with what it said.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):  # some packages print as well
                found: Found = json.loads(line)
                return found
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()
        raise BackendError(f"{self.way} could not be measured: {said[-2000:]}")

    def end(self) -> Found:
        """Ends its input and hears what it found."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.hear()

    def close(self) -> None:
        """Ends the process, kindly or not."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        self.process.kill()
        self.process.wait()
        self._said.close()


@dataclass(frozen=True)
class Run:
    """What a sender and its readers found, in the order they were asked for."""

    sender: Found
    readers: list[Found]


def run(
    sending: Sending, readings: list[Reading], during: Callable[[list[Peer]], None] | None = None
) -> Run:
    """Measures one way once.

    Args:
        sending: the address is put in here.
        readings: likewise; the last one ends the measurement.
        during: called when all readers have a first picture.

    Raises:
        BackendError: a process failed, or no picture came.
    """
    with _address(sending.address) as address, ExitStack() as stack:
        begin_last = WAYS[sending.way].reader_binds
        if not begin_last:
            sender = _sender(stack, replace(sending, address=address))
            shared = sender.hear()["shared_file"]
        readers = []
        for reading in readings:
            told = replace(reading, address=address, shared_file="" if begin_last else shared)
            readers.append(Peer(told))
            stack.callback(readers[-1].close)
        if begin_last:
            sender = _sender(stack, replace(sending, address=address))
            sender.hear()
        for reader in readers:
            if not reader.hear()["first"]:
                raise BackendError(f"{sending.way} brought no picture")
        if during is not None:
            during(readers)
        found = [reader.hear() for reader in readers]
        return Run(sender.end(), found)


def _sender(stack: ExitStack, task: Sending) -> Peer:
    sender = Peer(task)
    stack.callback(sender.close)
    return sender


@contextmanager
def _address(transport: str) -> Iterator[str]:
    """A free address of a transport, ``tcp`` or ``ipc``."""
    if transport == "tcp":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        yield f"tcp://127.0.0.1:{port}"
        return
    with tempfile.TemporaryDirectory(prefix="magi_rt-bench-") as folder:
        yield f"ipc://{folder}/frames:1"


def stop_for(peer: Peer, seconds: float) -> int:
    """Stops a process for so long; returns when it went on, ``time.monotonic_ns``."""
    import signal

    peer.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    now = time.monotonic_ns()
    peer.process.send_signal(signal.SIGCONT)
    return now
