"""Who attends to what in one call, turned into contiguous slices of one workspace."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.models.attention import Attention
from magi_rt.models.inputs import Branch, DenoiseInputs, TextContext
from magi_rt.models.kv_cache import RollingKVCache, Workspace


@dataclass(frozen=True)
class Slice:
    """The queries of one range in some branches, and the keys that they may see."""

    branches: slice
    queries: slice
    keys: slice


class SelfAttention:
    """Self-attention of one call: history from the ring, then the keys of the call itself."""

    def __init__(self, inputs: DenoiseInputs, cache: RollingKVCache, attention: Attention) -> None:
        self.inputs, self.cache, self.attention = inputs, cache, attention
        first, n = inputs.first_chunk, cache.shape.tokens
        ranges = len(inputs.times)
        starts = [
            [cache.first_visible(first, j, width) for j, width in enumerate(branch.visible)]
            for branch in inputs.branches
        ]
        oldest = min(first, *(min(row) for row in starts))
        self.history = first - oldest
        self.slices = _slices(starts, oldest, self.history, n)
        self.own = slice(self.history * n, (self.history + ranges) * n)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        first, count = self.inputs.first_chunk, queries.shape[0]
        room = self.cache.workspace(count, self.own.stop, layer)
        self.cache.recall(layer, first - self.history, first, room, count)
        room.keys[:count, :, self.own].copy_(keys.transpose(1, 2))
        room.values[:count, :, self.own].copy_(values.transpose(1, 2))
        self._stage(layer, keys, values)
        parts = [self._attend(queries, room, part) for part in self.slices]
        return parts[0] if len(parts) == 1 else _assemble(queries, self.slices, parts)

    def _attend(self, queries: Tensor, room: Workspace, part: Slice) -> Tensor:
        keys = room.keys[part.branches, :, part.keys]
        values = room.values[part.branches, :, part.keys]
        return self.attention(queries[part.branches, part.queries], keys, values)

    def _stage(self, layer: int, keys: Tensor, values: Tensor) -> None:
        branch = self.inputs.stage_branch
        if branch is not None:
            n = self.cache.shape.tokens
            self.cache.stage(
                layer, keys[branch, :n].transpose(0, 1), values[branch, :n].transpose(0, 1)
            )


class CrossAttention:
    """Cross-attention of every range to its own prompt, whose keys and values are ready made."""

    def __init__(self, branches: tuple[Branch, ...], attention: Attention) -> None:
        self.attention = attention
        self.runs = _runs([branch.texts for branch in branches])

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        out = torch.empty_like(queries)
        for branches, place, text in self.runs:
            keys, values = text.keys[layer][None], text.values[layer][None]
            asked = queries[branches, place]
            answers = self.attention(asked.flatten(0, 1)[None], keys, values)
            out[branches, place] = answers.view(asked.shape)
        return out


def _runs(texts: list[tuple[TextContext, ...]]) -> list[tuple[slice, int, TextContext]]:
    """Neighbouring branches that tell a range the same share one attention call."""
    runs = []
    for place in range(len(texts[0])):
        told = [row[place] for row in texts]
        begin = 0
        for end in range(1, len(told) + 1):
            if end == len(told) or told[end] is not told[begin]:
                runs.append((slice(begin, end), place, told[begin]))
                begin = end
    return runs


def _slices(starts: list[list[int]], oldest: int, history: int, n: int) -> list[Slice]:
    """Neighbouring branches with the same view of a range share one attention call."""
    parts = []
    for j in range(len(starts[0])):
        stop = (history + j + 1) * n
        b = 0
        while b < len(starts):
            end = b
            while end < len(starts) and starts[end][j] == starts[b][j]:
                end += 1
            begin = (starts[b][j] - oldest) * n
            parts.append(Slice(slice(b, end), slice(j * n, (j + 1) * n), slice(begin, stop)))
            b = end
    return parts


def _assemble(queries: Tensor, slices: list[Slice], parts: list[Tensor]) -> Tensor:
    out = torch.empty_like(queries)
    for part, result in zip(slices, parts, strict=True):
        out[part.branches, part.queries] = result
    return out
