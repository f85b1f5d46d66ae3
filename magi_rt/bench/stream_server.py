"""Whether a server keeps its promises: flush, long life with readers that come and go, kill -9."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from magi_rt.bench.measure import Numbers, median, percentile, rounded
from magi_rt.bench.served import ServedProcess
from magi_rt.errors import BackendError, MagiError, OptionError, RemoteError
from magi_rt.stream.client import Receipt, WorldClient
from magi_rt.stream.received import Received
from magi_rt.stream.subscriber import FrameSubscriber

LIMIT_S = 20.0
"""A receipt or a reconnection that takes longer counts as lost."""

KINDS = (("rgb8", "parts"), ("rgba8", "auto"), ("bgra8", "packed"), ("jpeg", "parts"))
"""What readers that come and go ask for."""

_STAY_S = (2.0, 6.0)
_SETTLED = 0.1

Tell = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""


def silent(_: float) -> None:
    """Tells nobody."""


@dataclass
class Flushes:
    """What trials found: seconds per trial, and frames that should not have been there."""

    applied_s: list[float] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)
    stale: int = 0


def bench_flush(*, trials: int = 200, fps: float = 60.0, tell: Tell = silent) -> Numbers:
    """Prompts with and without ``flush`` in turn, watched by a reader that keeps every frame.

    ``stale_after_applied`` counts frames that the reader is handed after the receipt although
    they are older than the prompt: it must be 0.

    Raises:
        OptionError: no trials.
    """
    if trials < 1:
        raise OptionError(f"{trials} trials measure nothing; use 1 or more", field="trials")
    with_flush, without = Flushes(), Flushes()
    options = ("--fps", str(fps), "--buffer", "2")
    with (
        ServedProcess(options=options) as server,
        WorldClient(server.address, timeout_s=LIMIT_S) as client,
        client.watching(every=True) as frames,
    ):
        for trial in range(trials):
            for flush, found in ((True, with_flush), (False, without)):
                _try_prompt(client, frames, f"trial {trial} {flush}", flush, found)
            tell((trial + 1) / trials)
    return rounded({
        "bench": "stream flush",
        "trials": trials,
        "fps": fps,
        "stale_after_applied": with_flush.stale + without.stale,
        "flush_to_applied_ms_p50": 1e3 * median(with_flush.applied_s),
        "flush_to_applied_ms_p95": 1e3 * percentile(with_flush.applied_s, 95),
        "flush_to_frame_ms_p50": 1e3 * median(with_flush.seen_s),
        "flush_to_frame_ms_max": 1e3 * max(with_flush.seen_s),
        "plain_to_frame_ms_p50": 1e3 * median(without.seen_s),
    })  # fmt: skip


def _try_prompt(
    client: WorldClient, frames: FrameSubscriber, text: str, flush: bool, found: Flushes
) -> None:
    begun_s = time.monotonic()
    receipt = client.prompt(text, flush=flush)
    shown = receipt.wait(LIMIT_S)
    found.applied_s.append(time.monotonic() - begun_s)
    while True:
        received = frames.next(LIMIT_S)
        if received is None:
            raise BackendError(f"no frame came within {LIMIT_S:g} s after a receipt")
        header = received.header
        # without flush a reader may be handed what was sent before the receipt's frame
        if header.epoch < shown.epoch or (header.seq > shown.seq and header.prompt < shown.prompt):
            found.stale += 1
        if header.prompt >= shown.prompt:
            found.seen_s.append(time.monotonic() - begun_s)
            return


@dataclass
class Life:
    """What a long run found."""

    receipts: int = 0
    lost: int = 0
    superseded: int = 0
    joined: int = 0
    frames: int = 0
    memory: list[int] = field(default_factory=list)


def bench_soak(
    *, seconds: float = 600.0, readers: int = 3, fps: float = 24.0, seed: int = 0,
    tell: Tell = silent,
) -> Numbers:  # fmt: skip
    """One server for long: readers of all kinds join and leave, prompts come every second.

    ``memory_growth_pct`` compares the median of the server's memory in the last tenth of the time
    with that in the second tenth; ``receipts_lost`` counts accepted prompts that were never told
    to show or not to.

    Raises:
        OptionError: less than ten seconds.
    """
    if seconds < 10:
        raise OptionError(f"{seconds:g} s show no growth; use 10 or more", field="seconds")
    dice, life = random.Random(seed), Life()
    with (
        ServedProcess(options=("--fps", str(fps))) as server,
        WorldClient(server.address, timeout_s=LIMIT_S) as client,
    ):
        _live(server, client, seconds, readers, dice, life, tell)
        counts, cpu_s = client.stats(), server.cpu_s
    early, late = _tenth(life.memory, 1), _tenth(life.memory, 9)
    return rounded({
        "bench": "stream soak",
        "seconds": seconds,
        "fps": fps,
        "readers": readers,
        "readers_joined": life.joined,
        "frames_received": life.frames,
        "frames_shown": counts["frames_shown"],
        "frames_late": counts["frames_late"],
        "frames_skipped": counts["frames_skipped"],
        "receipts": life.receipts,
        "receipts_superseded": life.superseded,
        "receipts_lost": life.lost,
        "memory_mb_early": early / 1e6,
        "memory_mb_late": late / 1e6,
        "memory_growth_pct": 100 * (late / early - 1) if early else 0.0,
        "server_cpu_share": cpu_s / counts["uptime_s"],
    })  # fmt: skip


def _live(
    server: ServedProcess, client: WorldClient, seconds: float, readers: int,
    dice: random.Random, life: Life, tell: Tell,
) -> None:  # fmt: skip
    begun_s, waiting = time.monotonic(), []
    with ExitStack() as stack:
        crowd = [Reader(server.address, dice, life) for _ in range(readers)]
        for reader in crowd:
            stack.callback(reader.close)
        while (past_s := time.monotonic() - begun_s) < seconds:
            for reader in crowd:
                reader.turn()
            text = f"prompt {life.receipts}"
            waiting.append(client.prompt(text, flush=dice.random() < 0.5))
            life.receipts += 1
            life.memory.append(server.memory_bytes)
            tell(past_s / seconds)
            time.sleep(1.0)
            waiting = list(_still_open(waiting, life))
    for receipt in waiting:
        _settle(receipt, life)


class Reader:
    """One place in the audience: whoever sits there leaves after a while, another one comes."""

    def __init__(self, address: str, dice: random.Random, life: Life) -> None:
        self._address, self._dice, self._life = address, dice, life
        self._leaves_s = 0.0
        self._frames: FrameSubscriber | None = None

    def turn(self) -> None:
        """Leaves and comes, if it is time."""
        if time.monotonic() < self._leaves_s:
            return
        self.close()
        pixel_format, layout = self._dice.choice(KINDS)
        self._frames = FrameSubscriber(
            self._address, format=pixel_format, layout=layout, on_frame=self._count
        )
        self._life.joined += 1
        self._leaves_s = time.monotonic() + self._dice.uniform(*_STAY_S)

    def _count(self, _: Received) -> None:
        self._life.frames += 1

    def close(self) -> None:
        """Leaves."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None


def _still_open(waiting: list[Receipt], life: Life) -> Iterator[Receipt]:
    for receipt in waiting:
        if receipt.done:
            _settle(receipt, life)
        else:
            yield receipt


def _settle(receipt: Receipt, life: Life) -> None:
    try:
        receipt.wait(LIMIT_S)
    except RemoteError as error:
        life.superseded += error.code == "superseded"
        life.lost += error.code != "superseded"
    except MagiError:
        life.lost += 1


def _tenth(values: list[int], place: int) -> float:
    """Median of the tenth that begins at ``place`` tenths."""
    first, last = len(values) * place // 10, len(values) * (place + 1) // 10
    return median(values[first : max(last, first + 1)])


def bench_kill(*, trials: int = 3, fps: float = 60.0, tell: Tell = silent) -> Numbers:
    """A server is killed without a word and started again on the same port.

    ``dead_frames`` counts frames of the dead server that a reader is handed after the first of
    the new one: it must be 0.

    Raises:
        OptionError: no trials.
    """
    if trials < 1:
        raise OptionError(f"{trials} trials measure nothing; use 1 or more", field="trials")
    noticed_s: list[float] = []
    back_s: list[float] = []
    dead = 0
    options = ("--fps", str(fps))
    server = ServedProcess(options=options)
    try:
        with (
            WorldClient(server.address, timeout_s=LIMIT_S) as client,
            client.watching(every=True) as frames,
        ):
            for trial in range(trials):
                frames.next(LIMIT_S)
                before = frames.stream
                begun_s = time.monotonic()
                server.kill()
                noticed_s.append(
                    _until(lambda: not (frames.connected or client.connected), begun_s)
                )
                server = ServedProcess(port=server.port, options=options)
                begun_s = time.monotonic()
                while _is_of(frames, before):
                    pass  # what had queued up before the end
                back_s.append(time.monotonic() - begun_s)
                dead += sum(_is_of(frames, before) for _ in range(20))
                client.prompt(f"trial {trial}", flush=True).wait(LIMIT_S)
                tell((trial + 1) / trials)
    finally:
        server.kill()
    return rounded({
        "bench": "stream kill",
        "trials": trials,
        "loss_noticed_s_max": max(noticed_s),
        "first_new_frame_after_start_s_max": max(back_s),
        "dead_frames": dead,
    })  # fmt: skip


def _until(true: Callable[[], bool], begun_s: float) -> float:
    """Seconds from the beginning until something is true."""
    while not true():
        if time.monotonic() - begun_s > LIMIT_S:
            raise BackendError(
                f"clients did not notice within {LIMIT_S:g} s that a server was gone"
            )
        time.sleep(0.002)
    return time.monotonic() - begun_s


def _is_of(frames: FrameSubscriber, stream: str) -> bool:
    received = frames.next(LIMIT_S)
    if received is None:
        raise BackendError(f"no frame of the new server came within {LIMIT_S:g} s")
    return received.header.stream == stream
