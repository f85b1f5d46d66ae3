"""The chunk window: who is in flight, at which step, and what the next call must hold.

Policy in plain Python, no tensors. A *stage* is the time between two admissions of a chunk:
``steps // size`` denoising steps. At its start one chunk of pure noise is admitted, at its end the
oldest chunk may be finished. The finished chunk is read into the memory in the first call of the
next stage, in front of the noisy ones (paper 2.4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

from magi_rt.sampling.schedule import SamplerConfig


class InFlight(Protocol):
    """What the window must know of a chunk."""

    @property
    def index(self) -> int:
        """Absolute chunk number, whole chunks of a given beginning included."""
        ...

    @property
    def steps_done(self) -> int: ...


Item = TypeVar("Item", bound=InFlight)


@dataclass(frozen=True)
class ChunkWindow(Generic[Item]):
    """The chunks in flight, oldest first. Never edited: every step gives a new window.

    size: most chunks in flight.
    steps: denoising steps of a chunk, a multiple of ``size``.
    next_index: the chunk that is admitted next.
    end: one past the last chunk of a stream that ends, ``None`` for an endless one.
    finished: a finished chunk that the memory does not hold yet.
    """

    size: int
    steps: int
    next_index: int = 0
    end: int | None = None
    in_flight: tuple[Item, ...] = ()
    finished: Item | None = None

    @property
    def step(self) -> int:
        """The next step inside the stage, 0 at its start."""
        if not self.in_flight:
            return 0
        return self.in_flight[-1].steps_done % (self.steps // self.size)

    @property
    def wants_chunk(self) -> bool:
        """True at the start of a stage that has not admitted its chunk yet."""
        if self.step or len(self.in_flight) >= self.size:
            return False
        admitted = bool(self.in_flight) and self.in_flight[-1].steps_done == 0
        return not admitted and (self.end is None or self.next_index < self.end)

    @property
    def way(self) -> tuple[int, Fraction]:
        """How far the stream has come: the oldest chunk in flight and the part of its steps done.

        Every step makes it larger; nothing else changes it.
        """
        if not self.in_flight:
            return self.next_index, Fraction(0)
        oldest = self.in_flight[0]
        return oldest.index, Fraction(oldest.steps_done, self.steps)

    @property
    def exhausted(self) -> bool:
        """True when all chunks of a stream that ends have been finished."""
        return not self.in_flight and not self.wants_chunk

    def admit(self, item: Item) -> ChunkWindow[Item]:
        """The window with its next chunk in flight."""
        assert self.wants_chunk and item.index == self.next_index
        return replace(self, in_flight=(*self.in_flight, item), next_index=self.next_index + 1)

    @property
    def oldest_ends(self) -> bool:
        """True when the next step finishes the oldest chunk."""
        return bool(self.in_flight) and self.in_flight[0].steps_done + 1 == self.steps

    def advance(self, stepped: Sequence[Item]) -> ChunkWindow[Item]:
        """The window after one call: the same chunks, one step on; a finished one is retired.

        The chunk that was finished before has been read into the memory by this call.
        """
        if stepped[0].steps_done < self.steps:
            return replace(self, in_flight=tuple(stepped), finished=None)
        return replace(self, in_flight=tuple(stepped[1:]), finished=stepped[0])


@dataclass(frozen=True)
class CallPlan:
    """What one call of the denoiser holds. Ranges are chunks, oldest first.

    first_chunk: absolute index of range 0.
    times: one per range.
    visible: one width per range, see :mod:`magi_rt.sampling.visibility`.
    write_clean: range 0 is the finished chunk, read into the memory.
    step: step inside the stage.
    """

    first_chunk: int
    times: tuple[float, ...]
    visible: tuple[int, ...]
    write_clean: bool
    step: int

    @property
    def noisy_times(self) -> tuple[float, ...]:
        """Times of the chunks in flight, without the finished one."""
        return self.times[1:] if self.write_clean else self.times


def plan_call(window: ChunkWindow[Item], sampler: SamplerConfig) -> CallPlan:
    """The next call of a window with at least one chunk in flight."""
    visibility, grid = sampler.visibility, sampler.times
    times = [grid[chunk.steps_done] for chunk in window.in_flight]
    visible = [visibility.noisy(chunk.index, chunk.steps_done) for chunk in window.in_flight]
    if window.finished is not None:
        times.insert(0, sampler.clean_time)
        visible.insert(0, visibility.finished(window.finished.index))
    oldest = window.finished or window.in_flight[0]
    return CallPlan(
        first_chunk=oldest.index,
        times=tuple(times),
        visible=tuple(visible),
        write_clean=window.finished is not None,
        step=window.step,
    )
