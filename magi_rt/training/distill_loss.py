"""The loss of shortcut distillation (paper 2.3), one batch of clips at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.distill_grid import FINEST, draw_places, grid_times, history_codes
from magi_rt.training.distill_history import History, truth
from magi_rt.training.distill_layouts import AfterHistory, InFlight, Layout, Sight
from magi_rt.training.distill_targets import (
    Situation,
    Teacher,
    own_null,
    per_frame,
    student_velocity,
    two_steps,
)
from magi_rt.training.flow_loss import busy_places, worn
from magi_rt.training.flow_settings import Clips
from magi_rt.training.packed_dit import TextBatch

WINDOWS = (2, 4)
"""Chunks in flight of the staircase layout; they divide every step count."""


@dataclass(frozen=True)
class DistillSettings:
    """How situations are drawn.

    shortest: the fewest steps that the student learns, 8 or 4.
    copies: noisy copies of every chunk after one history, each with its own place and noise.
    staircase_share: share of batches with several chunks in flight.
    history_noise: as in FlowSettings.
    own_history: share of batches whose history the student makes itself.
    opening_text: least scale of the prompt in the teacher's first chunks, where no history says
        what there is, at the times at which prompts are guided at all (scales above 1); None: that
        of its other chunks. A student has it folded in and costs no more.
    motion_weight: as in FlowSettings.
    """

    shortest: int = 4
    copies: int = 2
    staircase_share: float = 0.2
    history_noise: float = 0.1
    own_history: float = 0.25
    opening_text: float | None = None
    motion_weight: float = 0.0


class DistillLoss:
    """Student against teacher; all randomness comes from the given generator.

    Args:
        student: learns; target: takes the two steps, such as the student's averaged weights.
        history: what lies behind each noisy chunk, for example what a model made itself.
    """

    def __init__(
        self,
        student: VideoDiT,
        target: VideoDiT,
        teacher: Teacher,
        sight: Sight,
        settings: DistillSettings,
        history: History = truth,
    ) -> None:
        self.student, self.target, self.teacher = student, target, teacher
        self.sight, self.settings, self.history = sight, settings, history

    def __call__(
        self, clips: Clips, text: TextBatch, stride: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared velocity error, and its parts of stride 1 and of longer strides.

        Args:
            text: rows of the prompts; the null caption is put in by each network itself.
            stride: [B] rising, see distill_grid.strides_of_step.
        """
        situation, counted = self._situation(clips, text, stride, generator)
        shuffle = torch.rand(stride.shape, generator=generator)
        target = self._target(situation, text)
        velocity = student_velocity(
            self.student, situation, stride, own_null(text, self.student),
            history_codes(stride, shuffle),
        )  # fmt: skip
        places = busy_places(clips.latents, self.settings.motion_weight).to(velocity.device)
        apart = (velocity - target.to(velocity.device)).square()
        error = (apart * places).mean(dim=(1, 3, 4))
        counted = counted.to(error.device)
        loss = (error * counted).sum() / counted.sum()
        return loss, self._parts(error.detach() * counted, counted, int((stride == 1).sum()))

    def _target(self, situation: Situation, text: TextBatch) -> Tensor:
        """The teacher for the clips of stride 1, which come first; two own steps for the others."""
        taught = int((situation.stride == 1).sum())
        parts = []
        if taught:
            some = situation.rows(slice(0, taught))
            parts.append(self.teacher.velocity(some, own_null(text, self.teacher.dit)))
        if taught < len(situation.stride):
            some = situation.rows(slice(taught, None))
            parts.append(two_steps(self.target, some, own_null(text, self.target)))
        return torch.cat(parts)

    def _parts(self, error: Tensor, counted: Tensor, taught: int) -> dict[str, Tensor]:
        parts = {"teacher": slice(0, taught), "shortcut": slice(taught, None)}
        return {
            name: error[some].sum() / counted[some].sum()
            for name, some in parts.items()
            if len(error[some])
        }

    def _situation(
        self, clips: Clips, text: TextBatch, stride: Tensor, generator: torch.Generator
    ) -> tuple[Situation, Tensor]:
        """Noisy chunks, and which of their frames count [B, N * chunk_width]."""
        staircase = torch.rand((), generator=generator) < self.settings.staircase_share
        history, follows = self.history(clips, text, generator)
        chunks = clips.prompt.shape[1]
        history = worn(history, chunks, self.settings.history_noise, generator)
        build = self._in_flight if staircase else self._after_history
        layout, place, flying = build(clips, history, stride, generator)
        clean = follows.repeat(1, 1, place.shape[1] // layout.chunks, 1, 1)
        noise = torch.randn(clean.shape, generator=generator)
        noisy = torch.lerp(noise, clean, per_frame(grid_times()[place], clean))
        picture = clips.latents[:, :, 0]
        situation = Situation(layout, noisy, place, stride, clips.given, picture).pinned()
        counted = flying.float().repeat_interleave(clean.shape[2] // place.shape[1], 1)
        for first in situation.pinned_frames:
            counted[clips.given, first] = 0
        return situation, counted

    def _after_history(
        self, clips: Clips, history: Tensor, stride: Tensor, generator: torch.Generator
    ) -> tuple[Layout, Tensor, Tensor]:
        place = draw_places(stride, self.settings.copies * clips.prompt.shape[1], generator)
        layout = AfterHistory(history, clips.prompt, self.sight)
        return layout, place, torch.ones_like(place, dtype=torch.bool)

    def _in_flight(
        self, clips: Clips, history: Tensor, stride: Tensor, generator: torch.Generator
    ) -> tuple[Layout, Tensor, Tensor]:
        batch, chunks = clips.prompt.shape
        which = torch.randint(0, len(WINDOWS), (batch,), generator=generator)
        stage = FINEST // torch.tensor(WINDOWS)[which]
        leading = torch.randint(0, chunks, (batch,), generator=generator)
        drawn = torch.rand(batch, generator=generator) * (stage // stride)
        oldest = FINEST - stage + drawn.long() * stride
        behind = torch.arange(chunks)[None] - leading[:, None]
        place = oldest[:, None] - behind * stage[:, None]
        flying = (behind >= 0) & (place >= 0)
        layout = InFlight(history, clips.prompt, self.sight, leading)
        return layout, place.masked_fill(~flying, 0), flying
