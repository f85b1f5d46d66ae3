"""What a world says about itself."""

from __future__ import annotations

from dataclasses import dataclass

from magi_rt.backends.base import EngineInfo
from magi_rt.world.deadline import Adaptation, Deadline
from magi_rt.world.frame_loop import FrameLoop
from magi_rt.world.packing import log_of
from magi_rt.world.prompt_text import CHARACTER_LIMIT
from magi_rt.world.run_log import RunLog
from magi_rt.world.timeline import Timeline


@dataclass(frozen=True)
class PromptLimits:
    """How long a prompt may be.

    Attributes:
        characters: a longer prompt is refused.
        tokens: tokens beyond this are not read by the model.
    """

    characters: int
    tokens: int


class WorldFacts:
    """The read-only part of a world, whose fields ``World`` makes."""

    _timeline: Timeline
    _deadline: Deadline | None
    _loop: FrameLoop

    @property
    def delay_chunks(self) -> int:
        """Chunks that come out between a prompt given for "next" and the first it shapes."""
        return self._timeline.machine.pipeline.sampler.window - 1

    @property
    def fps(self) -> int:
        """Frames per second of the world's own time."""
        return self._timeline.machine.executor.config.runtime.fps

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every frame in pixels."""
        return self._timeline.machine.size

    @property
    def frames_per_chunk(self) -> int:
        """Frames that ``advance`` returns (after a video start the first chunk may have fewer)."""
        return self._timeline.machine.executor.config.runtime.frames_per_chunk

    @property
    def chunks(self) -> int:
        """Chunks generated so far; the number that the next one gets."""
        return self._timeline.moment.chunks

    @property
    def prompt_limits(self) -> PromptLimits:
        """How long a prompt may be."""
        tokens = self._timeline.machine.executor.config.model.caption_max_length
        return PromptLimits(characters=CHARACTER_LIMIT, tokens=tokens)

    @property
    def engine(self) -> EngineInfo:
        """What computes this world, and why."""
        return self._timeline.machine.executor.info

    @property
    def steps(self) -> int:
        """Denoising steps per chunk that are being taken."""
        return self._timeline.steps

    @property
    def adaptation(self) -> Adaptation | None:
        """How the deadline is being kept; ``None`` for a world opened without ``adapt``."""
        if self._deadline is None:
            return None
        return self._deadline.told(self.steps, len(self._timeline.moment.changes))

    @property
    def current_prompt(self) -> str:
        """The prompt that the next chunk to be begun will carry."""
        return self._timeline.moment.prompt

    @property
    def log(self) -> RunLog:
        """The run up to here, for ``world.log.save("run.json")``."""
        return log_of(self._timeline.machine, self._timeline.moment)

    @property
    def replaying(self) -> bool:
        """True while :meth:`advance` follows a log, or what a fork's parent had made ahead."""
        return self._timeline.moment.replaying

    @property
    def rewindable(self) -> int:
        """Chunks that :meth:`rewind` can take back now."""
        return max(0, len(self._timeline.history) - self._unseen)

    @property
    def dropped_frames(self) -> int:
        """Frames that :meth:`frames` has dropped because the loop was too slow."""
        return self._loop.dropped

    @property
    def _unseen(self) -> int:
        """Chunks of which a running loop has shown nothing."""
        return self._loop.unseen(self.chunks)
