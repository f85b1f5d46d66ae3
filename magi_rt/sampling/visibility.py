"""Which chunks a chunk may attend to: fewer the cleaner it is (paper 2.4.2).

Plain arithmetic in chunks. A *width* counts the chunks that a chunk sees up to and including
itself, so chunk ``a`` with width ``w`` sees chunks ``max(0, a + 1 - w) .. a``.
"""

from __future__ import annotations

from dataclasses import dataclass

from magi_rt.config import RuntimeConfig

PREFIX_WIDTH = 8
"""Width of clean prefix chunks when a configuration names none."""


def span(chunk: int, width: int) -> tuple[int, int]:
    """First and one past the last chunk that a chunk sees."""
    return max(0, chunk + 1 - width), chunk + 1


@dataclass(frozen=True)
class Visibility:
    """The widths of one model.

    by_stage: one width for each noise stage, noisiest first; empty: every chunk sees all.
    clean: width of a finished chunk; -1: as the last noise stage.
    steps: denoising steps of a chunk; a multiple of the number of stages.
    """

    by_stage: tuple[int, ...]
    clean: int
    steps: int

    @classmethod
    def from_config(cls, runtime: RuntimeConfig, steps: int) -> Visibility:
        return cls(runtime.noise2clean_kvrange, runtime.clean_chunk_kvrange, steps)

    def noisy(self, chunk: int, steps_done: int) -> int:
        """Width of a chunk in flight after ``steps_done`` of its steps."""
        if not self.by_stage:
            return chunk + 1
        return self.by_stage[steps_done // (self.steps // len(self.by_stage))]

    def finished(self, chunk: int) -> int:
        """Width of a finished chunk while its keys and values are computed."""
        if not self.by_stage:
            return chunk + 1
        return self.by_stage[-1] if self.clean == -1 else self.clean

    def given(self, chunk: int) -> int:
        """Width of a whole chunk of the given beginning (a video that is continued)."""
        if self.clean != -1:
            return self.clean
        return self.by_stage[-1] if self.by_stage else PREFIX_WIDTH

    def reach(self, window: int, given: int = 0) -> int | None:
        """How many finished chunks can ever be seen: the depth of memory that loses nothing.

        Args:
            window: most chunks in flight.
            given: whole clean chunks before the first generated one; while the window fills,
                the chunks in flight look back at them.

        Returns:
            At least 1; ``None`` when every chunk sees all that came before.
        """
        if not self.by_stage:
            return None
        seen = [1, self.finished(0) - 1, self._look_back(window, window)]
        if given:
            filling = [self._look_back(window, fill) for fill in range(1, window)]
            seen += [min(given, look) for look in filling]
        return max(seen)

    def _look_back(self, window: int, fill: int) -> int:
        """Most chunks before the oldest one in flight that any of ``fill`` in flight looks at."""
        per = self.steps // window
        return max(
            self.noisy(0, (fill - 1 - place) * per + step) - 1 - place
            for place in range(fill)
            for step in range(per)
        )
