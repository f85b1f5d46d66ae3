"""What a student finds in its memory while it learns: the truth, or chunks that it made itself.

During play a student goes on from its own chunks and no longer from its teacher's. Here, as there,
the teacher says what should follow; and since it is asked about the very same history, its answer
is right however far the student has strayed. So chunks can be remade from nearly pure noise. Where
chunks were made on top of such a history, these are what is made noisy, and not the truth: a noisy
truth would say that all is where it would have been had the student not strayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.distill_grid import FINEST, grid_times
from magi_rt.training.distill_layouts import AfterHistory, Sight
from magi_rt.training.distill_targets import (
    Situation,
    own_null,
    per_frame,
    student_velocity,
)
from magi_rt.training.flow_settings import Clips
from magi_rt.training.packed_dit import TextBatch


class Lived(NamedTuple):
    """Both shaped like the latents of the clips: what the student finds in its memory, and for each
    chunk what follows from those before it."""

    history: Tensor
    follows: Tensor


History = Callable[[Clips, TextBatch, torch.Generator], Lived]
"""Clips and their prompts -> what the student lives through."""

STRIDE = 8
"""Own chunks are made in steps of 1/8, as the built-in world makes them."""
BEGINNINGS = (1, 2, 4)
"""Steps that a remade chunk skips: after them it is 0.5, 2 and 10 % truth."""
SECOND_ROUND = 0.5
"""Chance that chunks are made once more, on top of those made before."""


def truth(clips: Clips, text: TextBatch, generator: torch.Generator) -> Lived:
    """The history that really was."""
    return Lived(clips.latents, clips.latents)


class OwnHistory:
    """In a share of the batches the chunks are remade by the student.

    Args:
        dit: the student, or its averaged weights.
        share: of batches, 0 to 1.
    """

    def __init__(self, dit: VideoDiT, sight: Sight, share: float) -> None:
        self.dit, self.sight, self.share = dit, sight, share

    @torch.no_grad()
    def __call__(self, clips: Clips, text: TextBatch, generator: torch.Generator) -> Lived:
        """[B, channels, R * chunk_width, H, W] float32 each."""
        if torch.rand((), generator=generator) >= self.share:
            return truth(clips, text, generator)
        again = torch.rand((), generator=generator) < SECOND_ROUND
        history = self._remade(clips.latents, clips, text, generator)
        follows = self._remade(history, clips, text, generator) if again else clips.latents
        return Lived(history, follows)

    def _remade(
        self, history: Tensor, clips: Clips, text: TextBatch, generator: torch.Generator
    ) -> Tensor:
        """Every chunk made anew, as it follows from ``history``."""
        skipped = BEGINNINGS[int(torch.randint(len(BEGINNINGS), (), generator=generator))]
        place = torch.full_like(clips.prompt, skipped * STRIDE)
        noise = torch.randn(clips.latents.shape, generator=generator)
        begun = torch.lerp(noise, clips.latents, per_frame(grid_times()[place], noise))
        stride = torch.full((len(place),), STRIDE)
        situation = Situation(
            AfterHistory(history, clips.prompt, self.sight), begun, place, stride, clips.given,
            clips.latents[:, :, 0],
        ).pinned()  # fmt: skip
        told = own_null(text, self.dit)
        for _ in range(skipped, FINEST // STRIDE):
            velocity = student_velocity(self.dit, situation, stride, told).float().cpu()
            situation = situation.moved(velocity, stride)
        return situation.noisy
