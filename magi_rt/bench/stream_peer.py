"""One end of a way as a process of its own: ``python -m magi_rt.bench.stream_peer TASK``.

The task is a JSON object with the fields of :class:`Sending` or :class:`Reading`. What was found
is printed as JSON, one object a line.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from magi_rt.bench.stream_ways import SIZE, WAYS, Sender
from magi_rt.stream.formats import Bytes

_STAMP = struct.Struct("<Q")
_POOL = 128


@dataclass(frozen=True)
class Sending:
    """Pictures go out until standard input ends.

    Attributes:
        way: by name.
        address: of the way.
        fps: frames per second, 0 for flat out (the same picture, not stamped).
        fresh: every picture lies in memory of its own, as pictures of a world do; else they lie
            in a pool that goes round after two seconds, and memory costs no time.
    """

    way: str
    address: str
    fps: float
    fresh: bool = False


@dataclass(frozen=True)
class Reading:
    """Pictures are taken for some seconds after the first one.

    Attributes:
        way, address: as of the sender.
        shared_file: as the sender said.
        seconds: that are measured, after ``warm_s`` that are not.
        every: all pictures are wanted, not the newest only.
        pause_s: the reader does something else for so long after each picture.
        stamped: pictures say when they were sent.
    """

    way: str
    address: str
    shared_file: str
    seconds: float
    warm_s: float = 0.5
    every: bool = False
    pause_s: float = 0.0
    stamped: bool = True


def send(task: Sending) -> dict[str, Any]:
    """Frames sent, processor seconds per frame, the longest gap, memory once a second."""
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    sender = WAYS[task.way].sender(task.address)
    say({"shared_file": sender.shared_file})
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    pictures = _fresh(picture) if task.fresh else cycle([picture.copy() for _ in range(_POOL)])
    begun_cpu_s = time.process_time()
    if task.fps:
        found = _send_paced(task.fps, sender, pictures, ended)
    else:
        found = _send_flat_out(sender, picture, ended)
    cpu_s = time.process_time() - begun_cpu_s
    sender.close()
    return {**found, "cpu_s_per_frame": cpu_s / max(1, found["frames"])}


def _send_flat_out(sender: Sender, picture: Bytes, ended: threading.Event) -> dict[str, Any]:
    frames = 0
    while not ended.is_set():
        sender.send(picture)
        frames += 1
    return {"frames": frames}


def _send_paced(
    fps: float, sender: Sender, pictures: Iterator[Bytes], ended: threading.Event
) -> dict[str, Any]:
    frames, last_s, gap_s = 0, 0.0, 0.0
    memory: list[int] = []
    due_s = time.monotonic()
    while not ended.is_set():
        pixels = next(pictures)
        due_s += 1 / fps
        time.sleep(max(0.0, due_s - time.monotonic()))
        now_s = time.monotonic()
        _STAMP.pack_into(pixels.reshape(-1).data, 0, time.monotonic_ns())
        sender.send(pixels)
        gap_s, last_s = max(gap_s, now_s - last_s) if last_s else 0.0, now_s
        frames += 1
        if frames % round(fps) == 0:
            memory.append(resident_bytes())
    return {"frames": frames, "gap_max_s": gap_s, "memory": memory}


def _fresh(picture: Bytes) -> Iterator[Bytes]:
    while True:
        yield picture.copy()


def read(task: Reading) -> dict[str, Any]:
    """When pictures were taken and how old they were, or how many came; processor seconds."""
    reader = WAYS[task.way].reader(task.address, task.shared_file, task.every)
    say({"first": reader.next() is not None})
    begun_s = time.monotonic() + task.warm_s
    while time.monotonic() < begun_s and reader.next() is not None:
        time.sleep(task.pause_s)
    taken: list[int] = []
    ages: list[int] = []
    frames, begun_s, begun_cpu_s = 0, time.monotonic(), time.process_time()
    while (passed_s := time.monotonic() - begun_s) < task.seconds:
        pixels = reader.next()
        if pixels is None:
            break
        frames += 1
        if task.stamped:
            now = time.monotonic_ns()
            (sent,) = _STAMP.unpack_from(pixels.reshape(-1).data, 0)
            taken.append(now)
            ages.append(now - sent)
        if task.pause_s:
            time.sleep(task.pause_s)
    cpu_s = time.process_time() - begun_cpu_s
    say({
        "frames": frames, "seconds": passed_s, "taken_ns": taken, "age_ns": ages,
        "cpu_s_per_frame": cpu_s / max(1, frames),
    })  # fmt: skip
    sys.stdout.flush()
    os._exit(0)  # what has queued up in some ways takes seconds to be thrown away


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def say(found: dict[str, Any]) -> None:
    """One line for the process that started this one."""
    print(json.dumps(found), flush=True)


def main() -> None:
    task = json.loads(sys.argv[1])
    if "fps" in task:
        say(send(Sending(**task)))
    else:
        read(Reading(**task))


if __name__ == "__main__":
    main()
