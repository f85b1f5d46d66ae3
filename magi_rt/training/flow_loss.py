"""Flow matching per chunk, as the paper trains it, in small (paper 2.2.1 and 2.2.3).

A noisy chunk is ``(1 - t) * noise + t * clean`` and its target is ``clean - noise``. Clean
history chunks carry no text and up to ``history_noise`` of noise against exposure bias; the loss
is taken on noisy chunks only, with gradients through the clean ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.packed_dit import (
    ChunkBatch,
    TextBatch,
    history_visibility,
    packed_velocity,
    staircase_visibility,
)

NO_TEXT = 0  # row of the text batch that stands for the null caption


@dataclass(frozen=True)
class FlowSettings:
    """How times, history and captions are drawn.

    width, clean_width: K ranges in chunks, for noisy and for clean chunks.
    staircase_share: share of batches in the staircase layout.
    uniform_share: share of chunks whose time is uniform instead of shifted logit-normal.
    history_noise: largest noise share of a clean chunk; half of the clips get none.
    caption_dropout: share of noisy chunks whose caption is dropped.
    """

    width: int = 5
    clean_width: int = 1
    clean_time: float = 0.9999
    staircase_share: float = 0.2
    uniform_share: float = 0.25
    history_noise: float = 0.1
    caption_dropout: float = 0.15


def shifted_logit_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """t = u / (3 - 2 u) with u ~ LogitNormal(0, 0.5): 70 % of the mass below 0.3."""
    u = torch.sigmoid(0.5 * torch.randn(shape, generator=generator))
    return u / (3 - 2 * u)


def draw_times(shape: tuple[int, ...], uniform: float, generator: torch.Generator) -> Tensor:
    shifted = shifted_logit_normal(shape, generator)
    flat = torch.rand(shape, generator=generator)
    choose = torch.rand(shape, generator=generator) < uniform
    return torch.where(choose, flat, shifted)


def staircase_times(clips: int, chunks: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Times as during play with 2 to 4 chunks in flight, on the inference grid's quarters.

    Returns (times [clips, chunks], number of clean chunks [clips]). Chunk j in flight is one
    stage behind its predecessor: u_j = u_0 - j / window, warped like the grid (paper 2.4.2).
    """
    window = torch.randint(2, 5, (clips, 1), generator=generator)
    clean = torch.randint(0, chunks, (clips,), generator=generator)
    behind = torch.arange(chunks)[None] - clean[:, None]
    lead = 1 - torch.rand((clips, 1), generator=generator) / window
    u = (lead - behind / window).clamp(0, 1)
    t = u.square() / (3 - 2 * u.square())
    return torch.where(behind < 0, torch.ones_like(t), t), clean


@dataclass(frozen=True)
class Clips:
    """latents: [B, channels, R * chunk_width, H, W]; prompt: [B, R] rows of the text batch."""

    latents: Tensor
    prompt: Tensor


class FlowLoss:
    """The loss of one batch of clips; all randomness comes from the given generator."""

    def __init__(self, dit: VideoDiT, settings: FlowSettings, chunk_width: int) -> None:
        self.dit, self.settings, self.chunk_width = dit, settings, chunk_width

    def __call__(self, clips: Clips, text: TextBatch, generator: torch.Generator) -> Tensor:
        """Mean squared velocity error over noisy chunks, a scalar."""
        staircase = torch.rand((), generator=generator) < self.settings.staircase_share
        build = self._staircase if staircase else self._history
        batch, target, counted = build(clips, generator)
        device = self.dit.rope.bands.device
        velocity = packed_velocity(self.dit, batch.to(device), text)
        error = (velocity - target.to(device)).square()
        per_chunk = error.unflatten(2, (-1, self.chunk_width)).mean(dim=(1, 3, 4, 5))
        counted = counted.to(device)
        out: Tensor = (per_chunk * counted).sum() / counted.sum()
        return out

    def _history(
        self, clips: Clips, generator: torch.Generator
    ) -> tuple[ChunkBatch, Tensor, Tensor]:
        batch, chunks = clips.prompt.shape
        times = draw_times((batch, chunks), self.settings.uniform_share, generator)
        noise = torch.randn(clips.latents.shape, generator=generator)
        noisy = self._mix(clips.latents, noise, times)
        clean = self._worn(clips.latents, generator)
        text, drop = self._captions(clips.prompt, generator)
        kept = torch.rand((batch, 1), generator=generator) < 0.1
        place = torch.arange(chunks)
        packed = ChunkBatch(
            latents=torch.cat((clean, noisy), dim=2),
            times=torch.cat((torch.full_like(times, self.settings.clean_time), times), dim=1),
            prompt=torch.cat((torch.full_like(text, NO_TEXT), text), dim=1),
            drop=torch.cat((~kept.expand_as(drop), drop), dim=1),
            position=torch.cat((place, place)),
            sees=history_visibility(chunks, self.settings.width, self.settings.clean_width),
        )
        target = torch.cat((torch.zeros_like(clean), clips.latents - noise), dim=2)
        counted = torch.cat((torch.zeros_like(times), torch.ones_like(times)), dim=1)
        return packed, target, counted

    def _staircase(
        self, clips: Clips, generator: torch.Generator
    ) -> tuple[ChunkBatch, Tensor, Tensor]:
        batch, chunks = clips.prompt.shape
        times, clean = staircase_times(batch, chunks, generator)
        is_clean = torch.arange(chunks)[None] < clean[:, None]
        noise = torch.randn(clips.latents.shape, generator=generator)
        noisy = self._mix(clips.latents, noise, times)
        per_frame = is_clean.repeat_interleave(self.chunk_width, 1)[:, None, :, None, None]
        latents = torch.where(per_frame, self._worn(clips.latents, generator), noisy)
        text, drop = self._captions(clips.prompt, generator)
        packed = ChunkBatch(
            latents=latents,
            times=torch.where(is_clean, torch.full_like(times, self.settings.clean_time), times),
            prompt=torch.where(is_clean, torch.full_like(text, NO_TEXT), text),
            drop=drop | is_clean,
            position=torch.arange(chunks),
            sees=staircase_visibility(
                chunks, clean, self.settings.width, self.settings.clean_width
            ),
        )
        counted = ((times > 0) & ~is_clean).float()
        return packed, clips.latents - noise, counted

    def _mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        t = times.repeat_interleave(self.chunk_width, 1)[:, None, :, None, None]
        return (1 - t) * noise + t * clean

    def _worn(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """History as the model will meet it: half of the clips with a little noise mixed in."""
        size = (latents.shape[0], 1, 1, 1, 1)
        share = torch.rand(size, generator=generator) * self.settings.history_noise
        share = share * (torch.rand(size, generator=generator) < 0.5)
        return (1 - share) * latents + share * torch.randn(latents.shape, generator=generator)

    def _captions(self, prompt: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drop = torch.rand(prompt.shape, generator=generator) < self.settings.caption_dropout
        return torch.where(drop, torch.full_like(prompt, NO_TEXT), prompt), drop
