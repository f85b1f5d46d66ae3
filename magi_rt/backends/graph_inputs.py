"""A call of the denoiser, told to a graph: every input as one tensor of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magi_rt.backends.remembered import Remembered
from magi_rt.config import RuntimeConfig
from magi_rt.export.graphs import HIDDEN, DenoiserShape
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import RollingKVCache

TEXTS_KEPT = 8
TABLES_KEPT = 256  # of some hundred bytes
TEXTS_BYTES = 2**31  # four prompts of the 4.5B model take 0.4 GiB


Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Call:
    """One run of a graph.

    visible: a row for each range of each branch, over the ring's slots and then the call's own
        ranges: 0 where it sees a chunk, else ``HIDDEN``.
    """

    inputs: DenoiseInputs
    visible: Rows

    def history(self) -> frozenset[int]:
        """The slots of the ring that anyone sees."""
        slots = len(self.visible[0]) - len(self.inputs.times)
        seen = (enumerate(row[:slots]) for row in self.visible)
        return frozenset(slot for row in seen for slot, bias in row if bias == 0)

    def over(self, places: Sequence[int | None]) -> Tensor:
        """[branches, ranges, places + ranges] float32: ``visible`` over the slots that lie there.

        Nobody sees what lies at a place with ``None``.
        """
        ranges = len(self.inputs.times)
        rows = tuple(
            (*(HIDDEN if slot is None else row[slot] for slot in places), *row[-ranges:])
            for row in self.visible
        )
        return _table(rows, len(self.inputs.branches))


def calls_of(inputs: DenoiseInputs, cache: RollingKVCache) -> list[Call]:
    """A finished chunk and the one that follows it, alone in a call, run one after the other.

    The second sees the first in the staging slot. So a world with one chunk in flight needs a
    single graph, of one range. All other calls are run as they are.
    """
    visible = visible_rows(inputs, cache)
    if (len(inputs.branches), len(inputs.times), inputs.stage_branch) != (1, 2, 0):
        return [Call(inputs, visible)]
    (*first, alone, _), (*second, older, itself) = visible
    second[cache.staging_slot] = older
    return [
        Call(_range(inputs, 0), ((*first, alone),)),
        Call(_range(inputs, 1), ((*second, itself),)),
    ]


def looked_back(runtime: RuntimeConfig, depth: int) -> int:
    """How many chunks of a ring any call of a model sees at most, the staged one included."""
    if not runtime.noise2clean_kvrange:
        return depth + 1
    widest = max(*runtime.noise2clean_kvrange, runtime.clean_chunk_kvrange, 2)
    return min(depth + 1, widest - 1)


def _range(inputs: DenoiseInputs, place: int) -> DenoiseInputs:
    """One range of a call of one branch."""
    (branch,), width = inputs.branches, inputs.latents.shape[1] // len(inputs.times)
    return replace(
        inputs,
        latents=inputs.latents[:, place * width : (place + 1) * width],
        times=inputs.times[place : place + 1],
        first_chunk=inputs.first_chunk + place,
        branches=(
            replace(
                branch,
                texts=branch.texts[place : place + 1],
                visible=branch.visible[place : place + 1],
            ),
        ),
        stage_branch=inputs.stage_branch if place == 0 else None,
    )


def shape_of(inputs: DenoiseInputs, cache: RollingKVCache, room: int) -> DenoiserShape:
    """The graph that answers a call; tensors are not looked at, only their sizes.

    With one branch there is one graph, which gives keys and values whether they are staged or not.

    Args:
        room: tokens of the longest prompt; all prompts are padded to it.
    """
    return DenoiserShape(
        cache=cache.shape,
        branches=len(inputs.branches),
        ranges=len(inputs.times),
        height=inputs.latents.shape[2],
        width=inputs.latents.shape[3],
        text=room,
        stage=0 if len(inputs.branches) == 1 else inputs.stage_branch,
    )


def visible_chunks(inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
    """[branches, ranges, slots + ranges] float32: 0 where a range sees a chunk, else ``HIDDEN``."""
    return _table(visible_rows(inputs, cache), len(inputs.branches))


def _table(rows: Rows, branches: int) -> Tensor:
    return torch.tensor(rows).view(branches, len(rows) // branches, -1)


def visible_rows(inputs: DenoiseInputs, cache: RollingKVCache) -> Rows:
    """The same as plain numbers, a row for each range of each branch."""
    first, slots = inputs.first_chunk, cache.depth + 1
    rows = []
    for branch in inputs.branches:
        for place, width in enumerate(branch.visible):
            row = [HIDDEN] * (slots + len(inputs.times))
            for chunk in range(cache.first_visible(first, place, width), first + place + 1):
                row[cache.slot(chunk) if chunk < first else slots + chunk - first] = 0.0
            rows.append(tuple(row))
    return tuple(rows)


class VisibleRoom:
    """What ranges see in the last calls, on a device: a stream comes back to a few such tables."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: Remembered[Tensor] = Remembered(TABLES_KEPT)

    def get(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """As :func:`visible_chunks`; copied to the device once."""
        rows, branches = visible_rows(inputs, cache), len(inputs.branches)
        return self._kept.get((branches, rows), lambda: _table(rows, branches).to(self.device))


@dataclass(frozen=True)
class PaddedTexts:
    """Prompts of every branch and range, padded to one room.

    keys, values: [layers, branches * ranges, groups, room, head_dim].
    visible: [branches * ranges, room] float32, on their device.
    """

    texts: tuple[TextContext, ...]
    keys: Tensor
    values: Tensor
    visible: Tensor

    @classmethod
    def of(cls, texts: tuple[TextContext, ...], room: int) -> PaddedTexts:
        layers, groups, _, dim = texts[0].keys.shape
        keys = texts[0].keys.new_zeros(layers, len(texts), groups, room, dim)
        values = torch.zeros_like(keys)
        visible = torch.full((len(texts), room), HIDDEN, device=keys.device)
        for place, text in enumerate(texts):
            keys[:, place, :, : text.tokens] = text.keys
            values[:, place, :, : text.tokens] = text.values
            visible[place, : text.tokens] = 0.0
        return cls(texts, keys, values, visible)

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class TextRoom:
    """The padded prompts of the last calls: they change with the prompt, not with the step."""

    def __init__(self) -> None:
        self._kept: Remembered[PaddedTexts] = Remembered(TEXTS_KEPT, TEXTS_BYTES)

    def get(self, inputs: DenoiseInputs, room: int) -> PaddedTexts:
        """What a call's branches and ranges are told, branch by branch."""
        texts = tuple(text for branch in inputs.branches for text in branch.texts)
        # What is kept holds the prompts it was made of, so no other object gets their numbers.
        key = (room, *(id(text) for text in texts))
        return self._kept.get(key, lambda: PaddedTexts.of(texts, room))
