"""Pictures from process to process: our way and those of others in turn, in the same run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from magi_rt.bench.measure import Numbers, hardware, median, percentile
from magi_rt.bench.stream_peer import Reading, Sending
from magi_rt.bench.stream_run import Found, Peer, Run, run, stop_for
from magi_rt.bench.stream_server import Tell, silent
from magi_rt.bench.stream_ways import LENT, OURS, SHARED, SIZE, WAYS
from magi_rt.errors import OptionError

FPS = 60.0
SLOW_FPS = 20.0
"""Of the reader that cannot keep up."""

_SETTLE_S = 1.5
_AFTER_S = 2.0

Samples = dict[str, list[Numbers]]
"""By way: what each round found."""


def bench_transport(
    *, rounds: int = 4, seconds: float = 3.0, slow_s: float = 10.0, tell: Tell = silent
) -> Numbers:
    """Speed, latency, and what slow and stalled readers see, of every way that is installed.

    Ways take turns, and every second round goes the other way round, so that whatever else the
    machine does meets all of them. Numbers are medians over the rounds; latencies are percentiles
    of all pictures of all rounds, since one round has too few for the hundredth.

    Args:
        rounds: of the measurements of ``seconds`` each.
        slow_s: how long a reader is slow, and how long another one is stopped, once each.

    Raises:
        OptionError: nothing would be measured.
        BackendError: a way that is installed does not work here.
    """
    if rounds < 1 or min(seconds, slow_s) <= 0:
        raise OptionError("rounds and seconds must be more than nothing", field="rounds")
    missing = [name for name, way in WAYS.items() if way.missing]
    ways = [name for name in WAYS if name not in missing]
    on_socket = [name for name in ways if name not in (SHARED, LENT)]
    kept = [name for name in ways if name != LENT]
    stages: list[tuple[str, Sequence[str], int, Callable[[str], Numbers]]] = [
        ("flat_tcp", ways, rounds, lambda way: _flat_out(way, "tcp", seconds)),
        ("flat_ipc", on_socket, rounds, lambda way: _flat_out(way, "ipc", seconds)),
        ("paced_tcp", ways, rounds, lambda way: _paced(way, "tcp", seconds)),
        ("paced_ipc", on_socket, rounds, lambda way: _paced(way, "ipc", seconds)),
        ("slow_reader", kept, 1, lambda way: _slow(way, slow_s)),
    ]
    if hasattr(signal, "SIGSTOP"):
        stages.append(("stalled_reader", kept, 1, lambda way: _stalled(way, slow_s)))
    found: Numbers = {}
    whole, done = sum(len(names) * times for _, names, times, _ in stages), 0
    for stage, names, times, measure in stages:
        samples: Samples = {name: [] for name in names}
        for name in in_turn(names, times):
            samples[name].append(measure(name))
            done += 1
            tell(done / whole)
        whole_of = pooled if stage.startswith("paced") else medians
        found[stage] = {name: whole_of(each) for name, each in samples.items()}
    return {
        "bench": "stream transport", **found, "ratios": ratios(found),
        "not_installed": [WAYS[name].needs for name in missing],
        "picture": f"{SIZE[1]}x{SIZE[0]} RGB", "fps": FPS, "slow_fps": SLOW_FPS,
        "rounds": rounds, "seconds": seconds, "slow_s": slow_s, "hardware": hardware("cpu"),
    }  # fmt: skip


def in_turn(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Every name once a round, in every second round the other way round."""
    for each in range(rounds):
        yield from names if each % 2 == 0 else reversed(names)


def _flat_out(way: str, transport: str, seconds: float) -> Numbers:
    reading = Reading(way, "", "", seconds, every=True, stamped=False)
    done = run(Sending(way, transport, 0.0), [reading])
    reader = done.readers[0]
    return {
        "fps": reader["frames"] / reader["seconds"],
        "reader_cpu_ms": 1e3 * reader["cpu_s_per_frame"],
    }


def _paced(way: str, transport: str, seconds: float) -> Numbers:
    done = run(Sending(way, transport, FPS), [Reading(way, "", "", seconds)])
    return {"ages_ms": _ages_ms(done.readers[0]), "cpu_ms_per_frame": 1e3 * _cpu_s(done)}


def _slow(way: str, seconds: float) -> Numbers:
    """One reader that takes 20 frames a second, beside one that keeps up where there can be two."""
    slow = Reading(way, "", "", seconds, pause_s=1 / SLOW_FPS)
    quick = Reading(way, "", "", seconds, every=True)
    readings = [slow] if WAYS[way].reader_binds else [slow, quick]
    done = run(Sending(way, "tcp", FPS, fresh=True), readings)
    ages = _ages_ms(done.readers[0])
    numbers = {
        "age_ms_p50": median(ages),
        "age_ms_max": max(ages),
        "sender_memory_growth_mb": growth_mb(done.sender["memory"]),
        "sender_gap_ms_max": 1e3 * done.sender["gap_max_s"],
    }
    if len(done.readers) > 1:
        gaps = gaps_ms(done.readers[1]["taken_ns"])
        numbers |= {"other_gap_ms_p99": percentile(gaps, 99), "other_gap_ms_max": max(gaps)}
    return numbers


def _stalled(way: str, seconds: float) -> Numbers:
    """A reader whose whole process stands still, and then goes on."""
    went_on: list[int] = []

    def stall(peers: list[Peer]) -> None:
        time.sleep(_SETTLE_S)
        went_on.append(stop_for(peers[0], seconds))

    reading = Reading(way, "", "", _SETTLE_S + seconds + _AFTER_S)
    done = run(Sending(way, "tcp", FPS, fresh=True), [reading], stall)
    reader = done.readers[0]
    later = [
        age
        for taken, age in zip(reader["taken_ns"], _ages_ms(reader), strict=True)
        if taken > went_on[0]
    ]
    return {
        "first_age_ms": later[0],
        "age_ms_max_afterwards": max(later),
        "sender_memory_growth_mb": growth_mb(done.sender["memory"]),
    }


def _ages_ms(reader: Found) -> list[float]:
    return [age / 1e6 for age in reader["age_ns"]]


def _cpu_s(done: Run) -> float:
    return float(sum(each["cpu_s_per_frame"] for each in (done.sender, *done.readers)))


def gaps_ms(taken_ns: Sequence[int]) -> list[float]:
    """Times between frames that follow each other; 0 when there are fewer than two."""
    return [(later - earlier) / 1e6 for earlier, later in pairwise(taken_ns)] or [0.0]


def growth_mb(memory: Sequence[int]) -> float:
    """Most memory after the first reading over the first one."""
    return (max(memory) - memory[0]) / 1e6 if memory else 0.0


def medians(rounds: Sequence[Numbers]) -> Numbers:
    """Of every number over the rounds."""
    return {name: round(median([each[name] for each in rounds]), 3) for name in rounds[0]}


def pooled(rounds: Sequence[Numbers]) -> Numbers:
    """Latency over the pictures of all rounds together, processor time as the rounds' median."""
    ages = [age for each in rounds for age in each["ages_ms"]]
    return {
        "latency_ms_p50": round(median(ages), 3),
        "latency_ms_p99": round(percentile(ages, 99), 3),
        "cpu_ms_per_frame": round(median([each["cpu_ms_per_frame"] for each in rounds]), 3),
        "frames": len(ages),
    }


def ratios(found: Numbers) -> Numbers:
    """What the promises are about; one is left out when a rival is not installed."""
    named: list[tuple[str, str, str, str, str]] = [
        ("tcp_fps_over_imagezmq", "flat_tcp", "fps", OURS, "imagezmq"),
        ("ipc_fps_over_imagezmq", "flat_ipc", "fps", OURS, "imagezmq"),
        ("tcp_fps_over_netgear", "flat_tcp", "fps", OURS, "netgear"),
        ("ipc_fps_over_netgear", "flat_ipc", "fps", OURS, "netgear"),
        ("shared_fps_over_netgear", "flat_tcp", "fps", SHARED, "netgear"),
        ("lent_fps_over_netgear", "flat_tcp", "fps", LENT, "netgear"),
        ("tcp_p99_over_imagezmq", "paced_tcp", "latency_ms_p99", OURS, "imagezmq"),
        ("ipc_p99_over_imagezmq", "paced_ipc", "latency_ms_p99", OURS, "imagezmq"),
        ("shared_p99_over_imagezmq", "paced_tcp", "latency_ms_p99", SHARED, "imagezmq"),
        ("shared_p50_over_socket", "paced_tcp", "latency_ms_p50", SHARED, OURS),
        ("shared_p99_over_socket", "paced_tcp", "latency_ms_p99", SHARED, OURS),
        ("lent_p50_over_socket", "paced_tcp", "latency_ms_p50", LENT, OURS),
        ("lent_p99_over_socket", "paced_tcp", "latency_ms_p99", LENT, OURS),
    ]
    told: dict[str, Any] = {}
    for name, stage, number, above, below in named:
        if above in found[stage] and below in found[stage]:
            told[name] = round(found[stage][above][number] / found[stage][below][number], 3)
    return told
