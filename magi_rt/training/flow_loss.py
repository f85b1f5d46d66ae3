"""Flow matching per chunk, as the paper trains it, in small (paper 2.2.1 and 2.2.3).

A noisy chunk is ``(1 - t) * noise + t * clean`` and its target is ``clean - noise``. Clean
history chunks carry no text and up to ``history_noise`` of noise against exposure bias; the loss
is taken on noisy chunks only, with gradients through the clean ones. In a share of the batches the
history is the model's own (self_history.py), the known cure for drift.
"""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.flow_settings import NO_TEXT, Clips, FlowSettings
from magi_rt.training.packed_dit import (
    ChunkBatch,
    TextBatch,
    history_batch,
    packed_velocity,
    staircase_visibility,
)
from magi_rt.training.self_history import relived

TEXT_ROW_FOR_HISTORY = 0.1  # share of clips whose clean chunks get the "text kept" modulation


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


def worn(latents: Tensor, chunks: int, most: float, generator: torch.Generator) -> Tensor:
    """History as the model will meet it: half of the chunks with up to ``most`` of noise.

    Each chunk has its own share, so that older chunks are at times better than the newest, and
    looking further back pays.
    """
    size = (latents.shape[0], chunks)
    share = torch.rand(size, generator=generator) * most
    share = share * (torch.rand(size, generator=generator) < 0.5)
    share = share.repeat_interleave(latents.shape[2] // chunks, 1)[:, None, :, None, None]
    return (1 - share) * latents + share * torch.randn(latents.shape, generator=generator)


def busy_places(latents: Tensor, weight: float) -> Tensor:
    """What each place of a picture counts, [B, 1, 1, H, W], 1 on average of every clip.

    Most of a picture stands still, and most of the error that can be learned away is where it does
    not. A place counts up to ``1 + weight`` times as much, by how far its latents range over the
    whole clip, so that within a clip no outcome of a chunk counts more than another. Clips count
    alike: those in which little happens are lessons too, of slow motion for one.
    """
    span = (latents.amax(2) - latents.amin(2)).square().mean(1).sqrt()
    places = 1 + weight * (span / BUSY).clamp(max=1)
    return (places / places.mean((1, 2), keepdim=True)).unsqueeze(1).unsqueeze(1)


BUSY = 1.0
"""Range of latents, root mean square over channels, from which a place counts in full."""


def pace_weights(latents: Tensor, chunks: int, most: float) -> Tensor:
    """What each frame counts by the pace of its chunk, [B, frames]; ``most`` 0: all alike.

    An error of a tenth of a motion matters alike in slow and in fast ones, and its square is
    smaller by the square of the pace; so chunks in which little moves count up to ``most`` times,
    those in which much does down to half. First chunks, and those in which nothing moves, count 1.
    """
    if not most or chunks == 1:
        return torch.ones_like(latents[:, 0, :, 0, 0])
    change = latents.diff(dim=2).square().mean((1, 3, 4))
    change = torch.cat((change[:, :1], change), 1).unflatten(1, (chunks, -1)).mean(2)
    weight = torch.where(change < STILL, 1.0, (USUAL / change).clamp(0.5, most))
    weight[:, 0] = 1.0
    return weight.repeat_interleave(latents.shape[2] // chunks, 1)


USUAL, STILL = 0.15, 0.004
"""Mean squared change of latents from frame to frame: where things move as usual, and below which
nothing does."""


class FlowLoss:
    """The loss of one batch of clips; all randomness comes from the given generator."""

    def __init__(self, dit: VideoDiT, settings: FlowSettings, chunk_width: int) -> None:
        self.dit, self.settings, self.chunk_width = dit, settings, chunk_width

    def __call__(self, clips: Clips, text: TextBatch, generator: torch.Generator) -> Tensor:
        """Mean squared velocity error over the frames of noisy chunks, a scalar."""
        staircase = torch.rand((), generator=generator) < self.settings.staircase_share
        own = torch.rand((), generator=generator) < self.settings.own_history
        history = relived(self.dit, clips, text, self.settings, generator) if own else clips.latents
        build = self._staircase if staircase else self._history
        chunks = clips.prompt.shape[1]
        history = worn(history, chunks, self.settings.history_noise, generator)
        batch, target, counted = build(clips, history, generator)
        device = self.dit.rope.bands.device
        velocity = packed_velocity(self.dit, batch.to(device), text)
        places = busy_places(clips.latents, self.settings.motion_weight).to(device)
        error = ((velocity - target.to(device)).square() * places).mean(dim=(1, 3, 4))
        pace = pace_weights(clips.latents, chunks, self.settings.pace_weight)
        counted = (counted * pace.repeat(1, counted.shape[1] // pace.shape[1])).to(device)
        out: Tensor = (error * counted).sum() / counted.sum()
        return out

    def _history(
        self, clips: Clips, clean: Tensor, generator: torch.Generator
    ) -> tuple[ChunkBatch, Tensor, Tensor]:
        batch, chunks = clips.prompt.shape
        copies = self.settings.copies
        times = draw_times((batch, copies * chunks), self.settings.uniform_share, generator)
        truth = clips.latents.repeat(1, 1, copies, 1, 1)
        noise = torch.randn(truth.shape, generator=generator)
        text, drop = self._captions(clips.prompt, copies, generator)
        packed = history_batch(
            clean, self._mix(truth, noise, times), times, text, drop, self.settings
        )
        kept = torch.rand((batch, 1), generator=generator) < TEXT_ROW_FOR_HISTORY
        packed.drop[:, :chunks] = ~kept
        target = torch.cat((torch.zeros_like(clean), truth - noise), dim=2)
        counted = torch.ones(batch, target.shape[2])
        counted[:, : clean.shape[2]] = 0
        for first in range(clean.shape[2], target.shape[2], clean.shape[2]):
            self._weigh(packed.latents, clips, counted, first)
        if chunks == 1:  # nothing looks back at an only chunk
            width = self.chunk_width
            return packed.after(1), target[:, :, width:], counted[:, width:]
        return packed, target, counted

    def _staircase(
        self, clips: Clips, history: Tensor, generator: torch.Generator
    ) -> tuple[ChunkBatch, Tensor, Tensor]:
        batch, chunks = clips.prompt.shape
        times, clean = staircase_times(batch, chunks, generator)
        is_clean = torch.arange(chunks)[None] < clean[:, None]
        noise = torch.randn(clips.latents.shape, generator=generator)
        noisy = self._mix(clips.latents, noise, times)
        per_frame = is_clean.repeat_interleave(self.chunk_width, 1)[:, None, :, None, None]
        latents = torch.where(per_frame, history, noisy)
        text, drop = self._captions(clips.prompt, 1, generator)
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
        counted = ((times > 0) & ~is_clean).float().repeat_interleave(self.chunk_width, 1)
        self._weigh(packed.latents, clips, counted, 0)
        return packed, clips.latents - noise, counted

    def _weigh(self, latents: Tensor, clips: Clips, counted: Tensor, first: int) -> None:
        """Weights of the copies that begin at frame ``first``: of new prompts, of the first chunk,
        and of its picture where one is given, which does not count."""
        given, width = clips.given, self.chunk_width
        onset = (clips.prompt[:, 1:] != clips.prompt[:, :-1]).repeat_interleave(width, 1)
        later = counted[:, first + width : first + clips.latents.shape[2]]
        later *= torch.where(onset, self.settings.onset_weight, 1.0)
        counted[:, first : first + width] *= self.settings.first_weight
        latents[given, :, first] = clips.latents[given, :, 0]
        counted[given, first] = 0

    def _mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        t = times.repeat_interleave(self.chunk_width, 1)[:, None, :, None, None]
        return (1 - t) * noise + t * clean

    def _captions(
        self, prompt: Tensor, copies: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Rows of the text batch for all copies, and where a caption was dropped."""
        goes_on = torch.ones_like(prompt, dtype=torch.bool)
        goes_on[:, 1:] = prompt[:, 1:] == prompt[:, :-1]
        told, goes_on = prompt.repeat(1, copies), goes_on.repeat(1, copies)
        drop = torch.rand(told.shape, generator=generator) < self.settings.caption_dropout
        drop &= goes_on
        return torch.where(drop, torch.full_like(told, NO_TEXT), told), drop
