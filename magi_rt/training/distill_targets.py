"""What a student learns to say: its teacher's guided velocity, and two of its own steps as one.

With stride 1 the target is the teacher's velocity, guided as the sampler guides it (paper 2.4.1).
With longer strides it is the mean velocity over two steps of half the stride, taken by the student
itself without gradients (paper 2.3, equation 7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magi_rt.config import MagiConfig
from magi_rt.models.dit import VideoDiT
from magi_rt.sampling.guidance import Guidance
from magi_rt.training.distill_grid import FINEST, codes_of, grid_times
from magi_rt.training.distill_layouts import VIEWS, Layout
from magi_rt.training.packed_dit import TextBatch, packed_velocity


@dataclass(frozen=True)
class Situation:
    """Noisy chunks of a batch on the sampler's grid. Letters as in distill_layouts.py.

    noisy: [B, channels, N * chunk_width, H, W] float32.
    place: [B, N] long in 0 .. 63, where the chunks are on the grid.
    stride: [B] long, the steps that are asked for.
    given: [B] bool, clips that begin with a picture; picture: [B, channels, H, W], its latents.
    """

    layout: Layout
    noisy: Tensor
    place: Tensor
    stride: Tensor
    given: Tensor
    picture: Tensor

    def rows(self, some: slice) -> Situation:
        """The same for some of the clips."""
        return Situation(
            self.layout.rows(some), self.noisy[some], self.place[some], self.stride[some],
            self.given[some], self.picture[some],
        )  # fmt: skip

    def moved(self, velocity: Tensor, stride: Tensor) -> Situation:
        """One Euler step on; given pictures stay as they are."""
        stepped = self.noisy + per_frame(self.lengths(stride), self.noisy) * velocity
        there = self.place + stride[:, None]
        return replace(self, noisy=stepped, place=there).pinned()

    def lengths(self, stride: Tensor) -> Tensor:
        """How long steps of these strides [B] last in time, [B, N]."""
        times = grid_times()
        return times[self.place + stride[:, None]] - times[self.place]

    def pinned(self) -> Situation:
        """The same with given pictures pasted into the first chunk of each copy."""
        noisy = self.noisy.clone()
        for first in self.pinned_frames:
            noisy[self.given, :, first] = self.picture[self.given]
        return replace(self, noisy=noisy)

    @property
    def pinned_frames(self) -> range:
        """Frames that hold the picture in the clips that begin with one."""
        return range(0, self.noisy.shape[2], self.layout.history.shape[2])


def per_frame(values: Tensor, like: Tensor) -> Tensor:
    """[B, N] -> [B, 1, N * chunk_width, 1, 1], to multiply latents like ``like``."""
    return values.repeat_interleave(like.shape[2] // values.shape[1], 1)[:, None, :, None, None]


@dataclass(frozen=True)
class Teacher:
    """A guided model.

    weights: [64, 3] float32, what text, history and alone views add at each place of the grid;
    first: the same for the first chunk of a video.
    """

    dit: VideoDiT
    weights: Tensor
    first: Tensor

    @classmethod
    def from_config(
        cls, dit: VideoDiT, config: MagiConfig, opening_text: float | None = None
    ) -> Teacher:
        """Guided as its configuration says; ``opening_text``: as in DistillSettings."""
        guidance = Guidance.from_config(config)
        opening = guidance
        if opening_text is not None:
            more = [max(one, opening_text) if one > 1 else one for one in guidance.text]
            opening = replace(guidance, text=tuple(more))
        return cls(dit, guidance_table(guidance), guidance_table(opening))

    @torch.no_grad()
    def velocity(self, situation: Situation, text: TextBatch) -> Tensor:
        """Guided, shaped like the noisy chunks, float32 on the CPU."""
        layout, noisy, place = situation.layout, situation.noisy, situation.place
        batch = layout.viewed(noisy, place).to(self.dit.rope.bands.device)
        found = layout.views(packed_velocity(self.dit, batch, text).float().cpu())
        is_first = torch.arange(place.shape[1]) % layout.chunks == 0
        weights = torch.where(is_first[:, None], self.first[place], self.weights[place])
        return sum(
            (
                per_frame(weights[..., which], noisy) * found[view]
                for which, view in enumerate(VIEWS)
            ),
            start=torch.zeros_like(noisy),
        )


def guidance_table(guidance: Guidance) -> Tensor:
    """What text, history and alone views add at each place of the grid, [64, 3] float32."""
    each = guidance.weights(grid_times().tolist()[:FINEST])
    return torch.tensor([[one.of(view) for view in VIEWS] for one in each])


def student_velocity(
    dit: VideoDiT,
    situation: Situation,
    stride: Tensor,
    text: TextBatch,
    history_codes: Tensor | None = None,
) -> Tensor:
    """What a student says for steps of some strides [B], shaped like the noisy chunks, float32.

    history_codes: [B], the codes of the history where they are not those of the steps.
    """
    codes = codes_of(stride)
    batch = situation.layout.told(
        situation.noisy, situation.place, codes, codes if history_codes is None else history_codes
    )
    velocity = packed_velocity(dit, batch.to(dit.rope.bands.device), text)
    return situation.layout.noisy_part(velocity).float()


@torch.no_grad()
def two_steps(dit: VideoDiT, situation: Situation, text: TextBatch) -> Tensor:
    """Mean velocity over two steps of half the situation's strides, float32 on the CPU."""
    half = situation.stride // 2
    first = student_velocity(dit, situation, half, text).cpu()
    between = situation.moved(first, half)
    second = student_velocity(dit, between, half, text).cpu()
    one, two = (per_frame(each.lengths(half), first) for each in (situation, between))
    return (one * first + two * second) / (one + two)


def own_null(text: TextBatch, dit: VideoDiT) -> TextBatch:
    """The same prompts with the null caption of one network as row 0, with its gradients."""
    null = dit.null_text()
    rest = text.rows.new_zeros(text.rows.shape[1] - null.shape[0], null.shape[1])
    first = torch.cat((null, rest.to(null.dtype)))
    return TextBatch(torch.cat((first[None], text.rows[1:].to(null.dtype))), text.mask)
