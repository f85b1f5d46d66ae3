"""How far a student's chunks end from its teacher's, from the same noise on the same history."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.distill_grid import FINEST
from magi_rt.training.distill_layouts import AfterHistory, Sight
from magi_rt.training.distill_targets import Situation, Teacher, own_null, student_velocity
from magi_rt.training.flow_settings import Clips
from magi_rt.training.packed_dit import TextBatch

JUDGE_STEPS = 32
"""Guided steps of the teacher whose ends are the measure."""
COMPARED = (16, 8, 4)

Says = Callable[[Situation, Tensor], Tensor]
"""A situation and strides [B] -> velocity of its noisy chunks."""


class Distance:
    """Compares ends on a few held-out clips; the teacher's are computed once.

    Args:
        shortest: fewest steps that the student learns; fewer are not measured.
    """

    def __init__(
        self,
        clips: Clips,
        text: TextBatch,
        teacher: Teacher,
        sight: Sight,
        shortest: int,
        seed: int,
    ) -> None:
        self.text = text
        self.steps = tuple(steps for steps in COMPARED if steps >= shortest)
        noise = torch.randn(clips.latents.shape, generator=torch.Generator().manual_seed(seed))
        stride = torch.ones(len(clips.prompt), dtype=torch.long)
        self.start = Situation(
            AfterHistory(clips.latents, clips.prompt, sight),
            noise, torch.zeros_like(clips.prompt), stride, clips.given, clips.latents[:, :, 0],
        ).pinned()  # fmt: skip
        spoken = own_null(text, teacher.dit)
        self.ends = self._walk(lambda at, _: teacher.velocity(at, spoken), JUDGE_STEPS)
        guided = self._walk(lambda at, _: teacher.velocity(at, spoken), 8)
        self.teacher_apart = float((guided - self.ends).square().mean())

    @torch.no_grad()
    def measure(self, student: VideoDiT) -> dict[str, float]:
        """Mean squared distances of latents (variance 1), by the student's steps.

        ``teacher_8`` is what the teacher itself gives with eight guided steps.
        """
        spoken = own_null(self.text, student)
        found = {
            f"apart_{steps}": self._walk(
                lambda at, stride: student_velocity(student, at, stride, spoken).cpu(), steps
            )
            for steps in self.steps
        }
        apart = {name: float((end - self.ends).square().mean()) for name, end in found.items()}
        return apart | {"teacher_8": self.teacher_apart}

    def _walk(self, says: Says, steps: int) -> Tensor:
        """The ends of all chunks after some steps from pure noise."""
        at, stride = self.start, torch.full_like(self.start.stride, FINEST // steps)
        for _ in range(steps):
            at = at.moved(says(at, stride), stride)
        return at.noisy
