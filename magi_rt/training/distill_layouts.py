"""How noisy chunks on the sampler's grid are laid out, for the student and for its teacher.

The two layouts of packed_dit.py, with what each network is told at run time. The *student* has
one branch, without a text-dropped row even for its history, and a step code on every chunk. The
*teacher* has three views of the same noisy chunks; one pass computes them all, and after a history
they share its keys and values (of the view without text, as in the sampler's memory).

Letters in shapes: B clips, R chunks per clip, N noisy chunks per clip (R times the copies).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magi_rt.config import RuntimeConfig
from magi_rt.sampling.guidance import View
from magi_rt.sampling.visibility import Visibility
from magi_rt.training.distill_grid import FINEST, grid_times
from magi_rt.training.flow_settings import NO_TEXT
from magi_rt.training.packed_dit import ChunkBatch

VIEWS = (View.TEXT, View.HISTORY, View.ALONE)
EVERYTHING = 1 << 20  # a width that no clip reaches


@dataclass(frozen=True)
class Sight:
    """What a model's configuration says about history.

    widths: [64] long, chunks that a noisy chunk sees at each place of the grid, itself included.
    clean_width: the same for clean chunks.
    clean_time: the time they are told, a float32 value.
    """

    widths: Tensor
    clean_width: int
    clean_time: float

    @classmethod
    def from_config(cls, runtime: RuntimeConfig) -> Sight:
        rules = Visibility.from_config(runtime, FINEST)
        if not rules.by_stage:
            return cls(torch.full((FINEST,), EVERYTHING), EVERYTHING, runtime.clean_t)
        widths = torch.tensor([rules.noisy(0, place) for place in range(FINEST)])
        return cls(widths, rules.finished(0), runtime.clean_t)


@dataclass(frozen=True)
class Layout(ABC):
    """Clips with their history and prompts, ready to take noisy chunks.

    history: [B, channels, R * chunk_width, H, W] float32.
    prompt: [B, R] rows of the text batch.
    """

    history: Tensor
    prompt: Tensor
    sight: Sight

    @property
    def chunks(self) -> int:
        return int(self.prompt.shape[1])

    def rows(self, some: slice) -> Layout:
        """The same for some of the clips."""
        return replace(self, history=self.history[some], prompt=self.prompt[some])

    @abstractmethod
    def told(
        self, noisy: Tensor, place: Tensor, codes: Tensor, history_codes: Tensor
    ) -> ChunkBatch:
        """The student's pass.

        noisy: [B, channels, N * chunk_width, H, W]; place: [B, N] in 0 .. 63; codes,
        history_codes: [B].
        """

    @abstractmethod
    def viewed(self, noisy: Tensor, place: Tensor) -> ChunkBatch:
        """The teacher's pass over all three views."""

    @abstractmethod
    def noisy_part(self, velocity: Tensor) -> Tensor:
        """What the student's pass says about the noisy chunks, shaped like them."""

    @abstractmethod
    def views(self, velocity: Tensor) -> dict[View, Tensor]:
        """What the teacher's pass says about them in each view."""


@dataclass(frozen=True)
class AfterHistory(Layout):
    """One chunk in flight: each noisy chunk sees the clean ones before it, and itself."""

    def told(
        self, noisy: Tensor, place: Tensor, codes: Tensor, history_codes: Tensor
    ) -> ChunkBatch:
        copies = place.shape[1] // self.chunks
        keep = torch.zeros(place.shape, dtype=torch.bool)
        batch = self._laid(noisy, place, self.prompt.repeat(1, copies), keep, keep[0])
        each = torch.cat(
            (
                history_codes[:, None].repeat(1, self.chunks),
                codes[:, None].repeat(1, place.shape[1]),
            ),
            dim=1,
        )
        return replace(batch, drop=torch.zeros_like(batch.drop), codes=each)

    def viewed(self, noisy: Tensor, place: Tensor) -> ChunkBatch:
        count = place.shape[1]
        silent = torch.full((len(place), 2 * count), NO_TEXT)
        prompt = torch.cat((self.prompt.repeat(1, count // self.chunks), silent), dim=1)
        view = torch.arange(3).repeat_interleave(count)
        drop = (view > 0).expand(len(place), -1)
        return self._laid(noisy.repeat(1, 1, 3, 1, 1), place.repeat(1, 3), prompt, drop, view == 2)

    def noisy_part(self, velocity: Tensor) -> Tensor:
        return velocity[:, :, self.history.shape[2] :]

    def views(self, velocity: Tensor) -> dict[View, Tensor]:
        return dict(zip(VIEWS, self.noisy_part(velocity).chunk(3, dim=2), strict=True))

    def _laid(
        self, noisy: Tensor, place: Tensor, prompt: Tensor, drop: Tensor, alone: Tensor
    ) -> ChunkBatch:
        """alone: [N] bool, chunks that see no history."""
        clean = torch.ones(len(place), self.chunks)
        return ChunkBatch(
            latents=torch.cat((self.history, noisy), dim=2),
            times=torch.cat((self.sight.clean_time * clean, grid_times()[place]), dim=1),
            prompt=torch.cat((torch.full_like(self.prompt, NO_TEXT), prompt), dim=1),
            drop=torch.cat((clean.bool(), drop), dim=1),
            position=torch.arange(self.chunks).repeat(1 + place.shape[1] // self.chunks),
            sees=self._sees(place, alone),
        )

    def _sees(self, place: Tensor, alone: Tensor) -> Tensor:
        batch, count = place.shape
        index = torch.arange(self.chunks)
        back = index[:, None] - index[None]
        top = torch.zeros(batch, self.chunks, self.chunks + count, dtype=torch.bool)
        top[..., : self.chunks] = (back >= 0) & (back < self.sight.clean_width)
        back = back.repeat(count // self.chunks, 1)
        near = back[None] < self.sight.widths[place][..., None]
        to_clean = (back > 0) & near & ~alone[:, None]
        own = torch.eye(count, dtype=torch.bool).expand(batch, -1, -1)
        return torch.cat((top, torch.cat((to_clean, own), dim=2)), dim=1)


@dataclass(frozen=True)
class InFlight(Layout):
    """Several chunks in flight that see each other, after ``leading`` [B] clean ones."""

    leading: Tensor

    def rows(self, some: slice) -> Layout:
        return replace(
            self,
            history=self.history[some],
            prompt=self.prompt[some],
            leading=self.leading[some],
        )

    @property
    def clean(self) -> Tensor:
        """[B, R] bool."""
        return torch.arange(self.chunks)[None] < self.leading[:, None]

    def told(
        self, noisy: Tensor, place: Tensor, codes: Tensor, history_codes: Tensor
    ) -> ChunkBatch:
        each = torch.where(self.clean, history_codes[:, None], codes[:, None])
        batch = self._laid(noisy, place)
        return replace(batch, drop=torch.zeros_like(batch.drop), codes=each)

    def viewed(self, noisy: Tensor, place: Tensor) -> ChunkBatch:
        one, clean = self._laid(noisy, place), self.clean
        own = torch.eye(self.chunks, dtype=torch.bool)
        silent = torch.full_like(one.prompt, NO_TEXT)
        return replace(
            one,
            latents=one.latents.repeat(3, 1, 1, 1, 1),
            times=one.times.repeat(3, 1),
            prompt=torch.cat((one.prompt, silent, silent)),
            drop=torch.cat((clean, torch.ones_like(clean).repeat(2, 1))),
            sees=torch.cat((one.sees, one.sees, one.sees & (own | clean[..., None]))),
        )

    def noisy_part(self, velocity: Tensor) -> Tensor:
        return velocity

    def views(self, velocity: Tensor) -> dict[View, Tensor]:
        return dict(zip(VIEWS, velocity.chunk(3), strict=True))

    def _laid(self, noisy: Tensor, place: Tensor) -> ChunkBatch:
        clean, index = self.clean, torch.arange(self.chunks)
        per_frame = clean.repeat_interleave(noisy.shape[2] // self.chunks, 1)
        times = grid_times()[place].masked_fill(clean, self.sight.clean_time)
        back = index[:, None] - index[None]
        reach = self.sight.widths[place].masked_fill(clean, self.sight.clean_width)
        return ChunkBatch(
            latents=torch.where(per_frame[:, None, :, None, None], self.history, noisy),
            times=times,
            prompt=self.prompt.masked_fill(clean, NO_TEXT),
            drop=clean,
            position=index,
            sees=(back >= 0)[None] & (back[None] < reach[..., None]),
        )
