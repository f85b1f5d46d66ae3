"""Whether a stream costs the same after thousands of chunks as at its beginning."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from magi_rt.bench import LEAST_ENDURANCE_CHUNKS
from magi_rt.bench.measure import Numbers, conditions, median, memory_bytes, rounded
from magi_rt.bench.subject import Subject
from magi_rt.bench.world import Tell, fresh_prompts
from magi_rt.errors import OptionError
from magi_rt.world import World
from magi_rt.world.timeline import Timeline

SETTLED = 20
"""Chunks after which memory and time are expected to stay."""
COMPARED = 200
"""Chunks at both ends whose times are compared; fewer in short runs."""
CHUNKS_PER_PROMPT = 5


@dataclass
class Readings:
    """Seconds of every chunk, and bytes of memory after it."""

    times: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def bench_endurance(
    subject: Subject, *, chunks: int = 2000, tell: Tell = lambda _: None
) -> Numbers:
    """Runs one world for long, with a new prompt every few chunks, and returns the numbers.

    ``memory_growth_pct`` compares the most memory held after any later chunk with that after
    chunk 20; ``late_over_early_chunk_time`` the medians of the last 200 chunks and of 20 to 220.

    Raises:
        OptionError: fewer than ``LEAST_ENDURANCE_CHUNKS`` chunks.
    """
    if chunks < LEAST_ENDURANCE_CHUNKS:
        raise OptionError(
            f"{chunks} chunks are too few to tell beginning and end apart; "
            f"use {LEAST_ENDURANCE_CHUNKS} or more",
            field="chunks",
        )
    machine, found = subject.machine, Readings()
    device = machine.executor.info.device
    prompts = fresh_prompts()
    with World(Timeline(machine, machine.begin())) as world:
        for chunk in range(chunks):
            prompt = next(prompts) if chunk % CHUNKS_PER_PROMPT == 0 else None
            begun = time.perf_counter()
            world.advance(prompt)
            found.times.append(time.perf_counter() - begun)
            found.memory.append(memory_bytes(device))
            tell(chunk + 1)
    numbers = {"bench": "endurance", "chunks": chunks, **summary(found)}
    return rounded(numbers | conditions(machine, subject.weights))


def summary(found: Readings) -> Numbers:
    """The numbers of a run of ``LEAST_ENDURANCE_CHUNKS`` chunks or more."""
    settled, later = found.memory[SETTLED - 1], found.memory[SETTLED:]
    span = min(COMPARED, (len(found.times) - SETTLED) // 2)
    early, late = found.times[SETTLED : SETTLED + span], found.times[-span:]
    return {
        "memory_growth_pct": 100 * (max(later) / settled - 1) if settled else None,
        "late_over_early_chunk_time": median(late) / median(early),
        "memory_mb_after_20": settled / 1e6 or None,
        "memory_mb_at_end": later[-1] / 1e6 or None,
        "early_chunk_ms_p50": 1e3 * median(early),
        "late_chunk_ms_p50": 1e3 * median(late),
        "compared_chunks": span,
    }
