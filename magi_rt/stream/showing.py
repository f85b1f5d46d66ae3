"""What is on the screen: the one clock, which frame is due, and the chunk that it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from magi_rt.frames import Frame
from magi_rt.stream.maker import Maker
from magi_rt.stream.steered import MadeChunk

NS = 1_000_000_000


@dataclass
class ShowingCounts:
    """What the clock has seen.

    Attributes:
        late: frames that were not there when they were due.
        dropped: frames that a jump cut off.
        steps_changed: times a frame's chunk took other steps than the one shown before it.
    """

    frames: int = 0
    late: int = 0
    dropped: int = 0
    steps_changed: int = 0


@dataclass(frozen=True)
class DueFrame:
    """One frame to be sent now.

    Attributes:
        first: nothing of its epoch was shown before.
        turn: its prompt is another one than that of the frame before.
    """

    frame: Frame
    chunk: MadeChunk
    due_ns: int
    first: bool
    turn: bool


class Showing:
    """Gives frames as they fall due. Time is passed in, in nanoseconds of the steady clock.

    A late frame moves the clock; nothing is rushed after a stall. While paused nothing is due but
    the very first frame and the first one after a jump, so that one sees where one is.

    Args:
        fps: frames per second, 1 to 240.

    Attributes:
        steps: denoising steps that the last frame's chunk took, 0 before the first and where that
            is not known.
    """

    def __init__(self, maker: Maker, fps: float) -> None:
        self.fps, self.paused = fps, False
        self.counts = ShowingCounts()
        self._maker = maker
        self._chunk: MadeChunk | None = None
        self._place = 0
        self._due_ns = 0
        self._late = False
        self._jumped = False
        self._epoch: int | None = None
        self._prompt = 0
        self.steps = 0

    @property
    def epoch(self) -> int:
        """Of the last frame shown."""
        return self._epoch or 0

    @property
    def _stands(self) -> bool:
        return self.paused and self.counts.frames > 0

    def wait_ns(self, now_ns: int) -> int | None:
        """Until when nothing is due; 0 when a frame may be; None when only a new chunk can help."""
        if self._stands or self._late:
            return None
        return max(0, self._due_ns - now_ns)

    def due(self, now_ns: int) -> DueFrame | None:
        """The frame that is due, or None."""
        self._jumped |= self._cut_over()
        if self._stands and not self._jumped:
            return None
        if now_ns < self._due_ns and not self._stands:
            return None
        if self._exhausted and not self._next_chunk(self._maker.take()):
            self.counts.late += not self._late and self._chunk is not None
            self._late = True
            return None
        self._late = False
        return self._give(now_ns)

    def _cut_over(self) -> bool:
        """A chunk that does not follow what is being shown is not kept waiting."""
        cut = self._maker.take(only_cut=True)
        if cut is None:
            return False
        if self._chunk is not None:
            self.counts.dropped += len(self._chunk.frames) - self._place
        return self._next_chunk(cut)

    @property
    def _exhausted(self) -> bool:
        return self._chunk is None or self._place >= len(self._chunk.frames)

    def _next_chunk(self, chunk: MadeChunk | None) -> bool:
        if chunk is None:
            return False
        self._chunk, self._place = chunk, 0
        return not self._exhausted

    def _give(self, now_ns: int) -> DueFrame:
        assert self._chunk is not None
        period_ns = round(NS / self.fps)
        if self._stands or self._due_ns < now_ns - period_ns:
            self._due_ns = now_ns
        self._jumped = False
        chunk, frame = self._chunk, self._chunk.frames[self._place]
        given = DueFrame(
            frame,
            chunk,
            self._due_ns,
            first=chunk.epoch != self._epoch,
            turn=chunk.prompt != self._prompt,
        )
        self._due_ns += period_ns
        self._place += 1
        self._epoch, self._prompt = chunk.epoch, chunk.prompt
        self.counts.steps_changed += self.steps not in (0, frame.steps)
        self.steps = frame.steps
        self.counts.frames += 1
        return given
