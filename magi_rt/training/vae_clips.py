"""Clips for the auto-encoder, rendered in rounds and shuffled.

Round r depends on (seed, r) alone, and a step's clips on the step alone, so a resumed run sees the
very same data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from magi_rt.training.recordings.source import ClipSource
from magi_rt.training.seeds import seeded

CHUNK_FRAMES = 8
CHUNKS = 5  # clips rendered in one go: a scene is set up once for all of them
ROUND_SCENES = 64


class Render(Protocol):
    """Renders scenes: (scenes, chunks, generator) -> uint8 [scenes, chunks * 8, H, W, 3]."""

    def __call__(self, scenes: int, chunks: int, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class SourceScenes:
    """Clips of a source of data."""

    source: ClipSource
    split: str = "train"

    def __call__(self, scenes: int, chunks: int, generator: torch.Generator) -> Tensor:
        return self.source.draw(scenes, chunks, generator, self.split).pixels


class ClipRounds:
    """Batches of clips by step; one round is kept in memory.

    Args:
        frames: frames per clip.
        reuse: how often a round's clips are drawn before the next round is rendered.
    """

    def __init__(
        self, render: Render, *, seed: int, batch: int, frames: int = 8, reuse: int = 1
    ) -> None:
        self.render, self.seed, self.batch, self.frames = render, seed, batch, frames
        self.scenes = max(ROUND_SCENES, -(-batch // CHUNKS))
        self.steps_per_pass = self.scenes * CHUNKS // batch
        self.reuse = reuse
        self._round = (-1, torch.empty(0))

    def batch_at(self, step: int) -> Tensor:
        """uint8 [batch, frames, H, W, 3] of a step."""
        draw, place = divmod(step, self.steps_per_pass)
        clips = self._clips(draw // self.reuse)
        order = torch.randperm(len(clips), generator=seeded(self.seed, 1, draw))
        return clips[order[place * self.batch : (place + 1) * self.batch]]

    def _clips(self, number: int) -> Tensor:
        if self._round[0] != number:
            chunks = -(-CHUNKS * self.frames // CHUNK_FRAMES)
            pixels = self.render(self.scenes, chunks, seeded(self.seed, 0, number))
            pixels = pixels[:, : CHUNKS * self.frames]
            self._round = (number, pixels.unflatten(1, (-1, self.frames)).flatten(0, 1))
        return self._round[1]
