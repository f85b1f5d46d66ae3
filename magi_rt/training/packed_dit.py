"""The denoiser over whole training sequences: every chunk of a clip in one pass.

Two layouts of the same rules. In the *history* layout each clip appears twice, once clean and
one or more times noisy; every noisy chunk attends to the clean chunks before it and to itself,
which is what one chunk in flight sees at run time, and every noisy copy of every chunk contributes
to the loss. Several noisy copies share the cost of the clean one. In the
*staircase* layout the clip appears once, with leading clean chunks and then chunks of growing
noise that see each other, as with several chunks in flight (paper 2.2).

Letters in shapes: B clips, R chunks per clip, n tokens per chunk, P prompts of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.flow_settings import NO_TEXT, FlowSettings


@dataclass(frozen=True)
class TextBatch:
    """The prompts of one batch; row 0 stands for "no text".

    rows: [P, tokens, caption_channels]; mask: [P, tokens] bool, True for real tokens.
    """

    rows: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ChunkBatch:
    """Chunks laid out for one pass; S chunks per clip, in attention order.

    latents: [B, channels, S * chunk_width, H, W] float32.
    times: [B, S] in 0..1.
    prompt: [B, S] index into the text batch.
    drop: [B, S] bool, the modulation row.
    position: [S] chunk index in time, the same for a clean and a noisy copy.
    sees: [B or 1, S, S] bool, whether the row's chunk attends to the column's chunk.
    codes: [B, S] step codes, told to distilled models only.
    """

    latents: Tensor
    times: Tensor
    prompt: Tensor
    drop: Tensor
    position: Tensor
    sees: Tensor
    codes: Tensor | None = None

    def after(self, count: int) -> ChunkBatch:
        """The batch without its first ``count`` chunks, which nobody else may see."""
        frames = self.latents.shape[2] // self.times.shape[1]
        return replace(
            self,
            latents=self.latents[:, :, count * frames :],
            times=self.times[:, count:],
            prompt=self.prompt[:, count:],
            drop=self.drop[:, count:],
            position=self.position[count:],
            sees=self.sees[:, count:, count:],
            codes=None if self.codes is None else self.codes[:, count:],
        )

    def to(self, device: torch.device) -> ChunkBatch:
        """The same on a device; the layout (``position`` and ``sees``) stays on the CPU."""
        return replace(
            self,
            latents=self.latents.to(device),
            times=self.times.to(device),
            prompt=self.prompt.to(device),
            drop=self.drop.to(device),
            codes=None if self.codes is None else self.codes.to(device),
        )


def history_visibility(chunks: int, width: int, clean_width: int, copies: int = 1) -> Tensor:
    """Who sees whom when a clean copy of ``chunks`` is followed by ``copies`` noisy ones.

    Returns [1, S, S] bool with S = (1 + copies) * chunks.
    """
    place = torch.arange(chunks)
    back = place[:, None] - place[None, :]
    clean = (back >= 0) & (back < clean_width)
    to_clean = (back > 0) & (back < width)
    own = torch.eye(copies * chunks, dtype=torch.bool)
    top = torch.cat((clean, clean.new_zeros(chunks, copies * chunks)), dim=1)
    bottom = torch.cat((to_clean.repeat(copies, 1), own), dim=1)
    return torch.cat((top, bottom))[None]


def staircase_visibility(chunks: int, clean: Tensor, width: int, clean_width: int) -> Tensor:
    """The same for one copy of each chunk; ``clean`` [B] counts the leading clean chunks.

    Returns [B, chunks, chunks] bool.
    """
    place = torch.arange(chunks)
    back = place[:, None] - place[None, :]
    reach = torch.where(place[None, :, None] < clean[:, None, None], clean_width, width)
    return (back >= 0)[None] & (back[None] < reach)


def history_batch(
    clean: Tensor,
    noisy: Tensor,
    times: Tensor,
    prompt: Tensor,
    drop: Tensor,
    settings: FlowSettings,
) -> ChunkBatch:
    """The history layout: clean chunks without text, then one or more noisy copies of them.

    clean: [B, channels, R * chunk_width, H, W]; noisy: the same with ``copies`` times the frames,
    copy after copy; times, prompt, drop: [B, copies * R], of the noisy chunks.
    """
    batch, count = times.shape
    copies = noisy.shape[2] // clean.shape[2]
    chunks = count // copies
    place = torch.arange(chunks)
    ones = torch.ones(batch, chunks)
    return ChunkBatch(
        latents=torch.cat((clean, noisy), dim=2),
        times=torch.cat((settings.clean_time * ones, times), dim=1),
        prompt=torch.cat((torch.full((batch, chunks), NO_TEXT), prompt), dim=1),
        drop=torch.cat((ones.bool(), drop), dim=1),
        position=place.repeat(1 + copies),
        sees=history_visibility(chunks, settings.width, settings.clean_width, copies),
    )


class PackedSelfAttention:
    """Chunk-level visibility: only chunks that somebody sees are gathered.

    Rows that see equally many chunks are computed together, so that with windows of w chunks the
    weights take n * w * n numbers for each row instead of n * S * n, and a clean chunk that sees
    itself alone pays for nothing else.
    """

    def __init__(self, sees: Tensor, tokens: int, device: torch.device) -> None:
        self.tokens = tokens
        widest = sees.sum(-1).amax(0)
        self.groups = [
            _Rows.seeing(sees, torch.nonzero(widest == width).flatten(), tokens, device)
            for width in widest.unique().tolist()
        ]
        self.places = torch.cat([group.rows for group in self.groups]).argsort()

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        batch, length, heads, dim = queries.shape
        n, groups = self.tokens, keys.shape[2]
        chunks = length // n
        q = queries.reshape(batch, chunks, n, groups, heads // groups, dim)
        q = q.permute(0, 1, 3, 4, 2, 5).reshape(batch, chunks, groups, -1, dim)
        q = q * (1 / math.sqrt(dim))
        found = [self._attend(rows, q, keys, values) for rows in self.groups]
        out = torch.cat(found, dim=1).index_select(1, self.places)
        out = out.reshape(batch, chunks, groups, heads // groups, n, dim)
        return out.permute(0, 1, 4, 2, 3, 5).reshape(batch, length, heads, dim)

    def _attend(self, rows: _Rows, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        k, v = self._windows(keys, rows.order), self._windows(values, rows.order)
        scores = q.index_select(1, rows.rows) @ k.transpose(-1, -2)
        if rows.bias is not None:
            scores = scores + rows.bias.to(scores.dtype)
        return scores.softmax(dim=-1) @ v

    def _windows(self, x: Tensor, order: Tensor) -> Tensor:
        """[B, S * n, groups, d] -> [B, rows, groups, width * n, d], each row's visible tokens."""
        batch, length, groups, dim = x.shape
        chunks = x.reshape(batch, -1, self.tokens * groups * dim)
        rows = order + length // self.tokens * torch.arange(batch, device=x.device)[:, None, None]
        picked = chunks.flatten(0, 1).index_select(0, rows.flatten())
        windows = picked.reshape(batch, *order.shape[1:], self.tokens, groups, dim)
        return windows.permute(0, 1, 4, 2, 3, 5).flatten(3, 4)


@dataclass(frozen=True)
class _Rows:
    """Chunks that see at most ``width`` chunks in any clip, and exactly so many in one.

    rows: [rows] their places; order: [B or 1, rows, width] whom they see, padded with others;
    bias: [B or 1, rows, 1, 1, width * n], minus infinity on those others; None without any.
    """

    rows: Tensor
    order: Tensor
    bias: Tensor | None

    @classmethod
    def seeing(cls, sees: Tensor, rows: Tensor, tokens: int, device: torch.device) -> _Rows:
        some = sees[:, rows]
        width = int(some.sum(-1).max())
        order = some.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :width]
        real = some.gather(-1, order)
        bias = None
        if not bool(real.all()):
            least = torch.zeros(real.shape).masked_fill(~real, -math.inf)
            bias = least.repeat_interleave(tokens, dim=-1)[:, :, None, None, :].to(device)
        return cls(rows.to(device), order.to(device), bias)


class PackedCrossAttention:
    """Cross-attention of every chunk to its own prompt, keys computed once per prompt."""

    def __init__(self, dit: VideoDiT, text: TextBatch, prompt: Tensor) -> None:
        self.prompt = prompt.flatten()
        self.embedded = dit.embed_text(text.rows)
        self.blocks = dit.blocks()
        bias = torch.zeros_like(text.mask, dtype=torch.float32).masked_fill(~text.mask, -math.inf)
        self.bias = bias[self.prompt][:, None, None, :]

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        batch, chunks, n, heads, dim = queries.shape
        keys, values = self.blocks[layer].self_attention.text_keys_values(self.embedded)
        groups = keys.shape[2]
        k = keys.transpose(1, 2)[self.prompt]
        v = values.transpose(1, 2)[self.prompt]
        q = queries.reshape(batch * chunks, n, groups, heads // groups, dim)
        q = q.permute(0, 2, 3, 1, 4).reshape(batch * chunks, groups, -1, dim)
        scores = (q * (1 / math.sqrt(dim))) @ k.transpose(-1, -2)
        weights = (scores + self.bias.to(scores.dtype)).softmax(dim=-1)
        out = (weights @ v).reshape(batch, chunks, groups, heads // groups, n, dim)
        return out.permute(0, 1, 4, 2, 3, 5).reshape(batch, chunks, n, heads, dim)


def packed_velocity(dit: VideoDiT, batch: ChunkBatch, text: TextBatch) -> Tensor:
    """Velocity of every chunk, [B, channels, S * chunk_width, H, W] float32, with gradients."""
    chunks = batch.times.shape[1]
    _, _, frames, height, width = batch.latents.shape
    per_chunk = frames // chunks
    tokens = per_chunk * (height // dit.config.patch_size) * (width // dit.config.patch_size)
    gates = dit.gates(packed_condition(dit, batch.times, batch.drop, batch.codes))
    first = dit.rope_table(0, per_chunk * int(batch.position.max() + 1), height, width)
    rope = first.unflatten(0, (-1, tokens))[batch.position.to(first.device)].flatten(0, 1)
    out: Tensor = dit(
        batch.latents,
        gates,
        rope,
        PackedSelfAttention(batch.sees, tokens, batch.latents.device),
        PackedCrossAttention(dit, text, batch.prompt),
    )
    return out


def packed_condition(
    dit: VideoDiT, times: Tensor, drop: Tensor, codes: Tensor | None = None
) -> Tensor:
    """[B, S] times, drop flags and step codes, if any -> [B, S, D/4]."""
    time = dit.t_embedder(times, dit.working_dtype)
    if codes is not None:
        time = time + dit.t_embedder(codes, dit.working_dtype)
    rows = torch.stack((dit.y_embedder.modulation(False), dit.y_embedder.modulation(True)))
    out: Tensor = (time + F.embedding(drop.long(), rows)).to(dit.working_dtype)
    return out
