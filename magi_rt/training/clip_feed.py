"""What a training step of the denoiser sees: some clips, and the prompts that they follow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.models.t5 import T5Encoder
from magi_rt.models.tokenizer import Tokenizer
from magi_rt.training.flow_settings import NO_TEXT, Clips
from magi_rt.training.latent_shards import Shard, ShardStore
from magi_rt.training.nano_text import encode_prompts, says_nothing
from magi_rt.training.packed_dit import TextBatch


@dataclass(frozen=True)
class FeedPlan:
    """Each new shard is made after ``steps_per_shard`` steps; draws come from all made so far.

    A shard is the later one of two drawn alike, so that over a run all are drawn about equally
    often. Among its clips one counts by the changes of its prompt, plus ``UNCHANGED``: a change is
    what there is to learn from, and a third of all chunks show none.

    ``openings`` further chunks are told as if a video began with them. They are to chunks what
    images are to videos in the paper's mixture: cheap lessons in what words look like, without any
    history.
    """

    batch: int
    steps_per_shard: int
    openings: int = 0


@dataclass(frozen=True)
class Drawn:
    """What one step draws.

    latents: [batch, channels, frames, h, w] float32; prompts: [batch][chunks]; still: [batch]
    bool, whether the clip begins with a still picture.
    """

    latents: Tensor
    prompts: list[list[str]]
    still: Tensor


UNCHANGED = 0.5
"""What a clip counts whose prompt stays the same, where each change counts 1."""


def worth(prompts: list[list[str]]) -> Tensor:
    """How readily each clip is drawn, [clips]."""
    changes = [sum(a != b for a, b in pairwise(clip)) for clip in prompts]
    return torch.tensor(changes) + UNCHANGED


def beginnings(openings: list[list[str | None]]) -> list[tuple[int, int]]:
    """The (clip, chunk) pairs that a video may begin with; every clip's first chunk is one."""
    told = enumerate(openings)
    return [
        (clip, chunk) for clip, row in told for chunk, words in enumerate(row) if words is not None
    ]


class ClipFeed:
    """Draws the clips of step k; the draw depends on (seed, k) alone."""

    def __init__(self, store: ShardStore, plan: FeedPlan) -> None:
        self.store, self.plan = store, plan
        self._shards: list[Shard] = []
        self._worth: list[Tensor] = []
        self._begins: list[list[tuple[int, int]]] = []

    def draw(self, step: int, generator: torch.Generator) -> Drawn:
        """The clips of a step, from all shards made so far."""
        return self._draw(step, self.plan.batch, generator)

    def draw_openings(self, step: int, frames: int, generator: torch.Generator) -> Drawn:
        """Beginnings: chunks of ``frames`` latent frames for which a shard has such words."""
        latents, prompts, still = [], [], []
        for number in self._numbers(step, self.plan.openings, generator):
            shard, begins = self._shards[number], self._begins[number]
            clip, chunk = begins[int(torch.randint(len(begins), (), generator=generator))]
            words = shard.openings[clip][chunk]
            assert words is not None  # as _grow listed them
            first = chunk * frames
            latents.append(shard.latents[clip, :, first : first + frames].float())
            prompts.append([words])
            still.append(chunk == 0 and clip < shard.still)
        return Drawn(torch.stack(latents), prompts, torch.tensor(still))

    def _numbers(self, step: int, count: int, generator: torch.Generator) -> list[int]:
        """The shards that ``count`` draws come from."""
        self._grow(step // self.plan.steps_per_shard + 1)
        which = torch.randint(0, len(self._shards), (2, count), generator=generator).amax(0)
        return [int(number) for number in which]

    def _draw(self, step: int, count: int, generator: torch.Generator) -> Drawn:
        latents, prompts, still = [], [], []
        for number in self._numbers(step, count, generator):
            shard = self._shards[number]
            clip = int(torch.multinomial(self._worth[number], 1, generator=generator))
            latents.append(shard.latents[clip].float())
            prompts.append(shard.prompts[clip])
            still.append(clip < shard.still)
        return Drawn(torch.stack(latents), prompts, torch.tensor(still))

    def _grow(self, count: int) -> None:
        while len(self._shards) < count:
            self.take(self.store.get(len(self._shards)))

    def take(self, shard: Shard) -> None:
        """Draws from one shard more."""
        self._shards.append(shard)
        self._worth.append(worth(shard.prompts))
        self._begins.append(beginnings(shard.openings))


class PromptReader:
    """Prompts -> rows of one text batch, through the text encoder that is trained along."""

    def __init__(self, dit: VideoDiT, encoder: T5Encoder, tokenizer: Tokenizer) -> None:
        self.dit, self.encoder, self.tokenizer = dit, encoder, tokenizer

    def read(self, drawn: Drawn) -> tuple[Clips, TextBatch]:
        """Give every distinct prompt one row; what says nothing gets the null caption."""
        spoken = dict.fromkeys(prompt for clip in drawn.prompts for prompt in clip)
        index = dict.fromkeys(filter(says_nothing, spoken), NO_TEXT)
        worded = [prompt for prompt in spoken if prompt not in index]
        index |= {prompt: row for row, prompt in enumerate(worded, NO_TEXT + 1)}
        rows, mask = self._rows(worded)
        chosen = torch.tensor([[index[prompt] for prompt in clip] for clip in drawn.prompts])
        return Clips(drawn.latents, chosen, drawn.still), TextBatch(rows, mask)

    def _rows(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        null = self.dit.null_text()
        if not prompts:
            return null[None], torch.ones(1, null.shape[0], dtype=torch.bool, device=null.device)
        limit = self.dit.config.caption_max_length
        rows, mask = encode_prompts(self.encoder, self.tokenizer, prompts, limit)
        longest = max(null.shape[0], rows.shape[1])
        all_rows = rows.new_zeros(1 + rows.shape[0], longest, rows.shape[2])
        all_mask = torch.zeros(all_rows.shape[:2], dtype=torch.bool, device=rows.device)
        all_rows[1:, : rows.shape[1]], all_mask[1:, : rows.shape[1]] = rows, mask
        all_mask[0, : null.shape[0]] = True
        first = torch.cat((null, null.new_zeros(longest - null.shape[0], null.shape[1])))
        return torch.cat((first[None], all_rows[1:])), all_mask
