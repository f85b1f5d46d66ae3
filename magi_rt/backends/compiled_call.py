"""One kind of denoiser call in buffers that stay where they are, so that it can be replayed.

A captured CUDA graph repeats the same kernels on the same addresses. What differs from call to
call (latents, gates, positions, prompts, history) is therefore copied into buffers made once; what
decides which kernels run (how many branches, ranges and visible chunks) is the call's shape, and
every shape has a graph of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from magi_rt.backends.ranges import SelfAttention
from magi_rt.models.attention import Attention, fold_groups, unfold_groups
from magi_rt.models.dit import VideoDiT
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import CacheShape, RollingKVCache, Workspace

TEXT_STEP = 128
"""Room for a prompt is a multiple of so many tokens; a graph serves all prompts that fit it."""
WARM_UP_RUNS = 2
"""Runs before a capture, in which libraries choose kernels and take their memory."""


@dataclass(frozen=True)
class CallShape:
    """What a graph is made for.

    latents: [channels, frames, H, W].
    visible: per branch and range, its first visible chunk counted from range 0 (0 or below).
    text: room for every prompt, in tokens.
    """

    cache: CacheShape
    latents: tuple[int, ...]
    visible: tuple[tuple[int, ...], ...]
    text: int
    stage_branch: int | None

    @classmethod
    def of(cls, inputs: DenoiseInputs, cache: RollingKVCache) -> CallShape:
        """The shape of a call; tensors are not looked at, only their sizes."""
        first = inputs.first_chunk
        longest = max(text.tokens for branch in inputs.branches for text in branch.texts)
        return cls(
            cache=cache.shape,
            latents=tuple(inputs.latents.shape),
            visible=tuple(
                tuple(
                    cache.first_visible(first, place, width) - first
                    for place, width in enumerate(branch.visible)
                )
                for branch in inputs.branches
            ),
            text=-(-longest // TEXT_STEP) * TEXT_STEP,
            stage_branch=inputs.stage_branch,
        )

    @property
    def branches(self) -> int:
        return len(self.visible)

    @property
    def ranges(self) -> int:
        return len(self.visible[0])

    @property
    def history(self) -> int:
        """Finished chunks that the call reads."""
        return max(0, -min(min(row) for row in self.visible))

    @property
    def keys(self) -> int:
        """Tokens that self-attention has room for: history, then the call's own."""
        return (self.history + self.ranges) * self.cache.tokens


class Rooms:
    """Keys and values of all layers side by side: history first, then a call's own.

    keys, values: [layers, branches, groups, tokens, head_dim].
    """

    def __init__(self, shape: CallShape, like: Tensor) -> None:
        cache = shape.cache
        size = (cache.layers, shape.branches, cache.groups, shape.keys, cache.head_dim)
        self.keys = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self._holds: tuple[weakref.ref[RollingKVCache], int, int, int] | None = None

    def fit(self, shape: CallShape) -> bool:
        """True when calls of a shape fit."""
        fits = self.keys.shape[1] == shape.branches and self.keys.shape[3] >= shape.keys
        same = (self.keys.shape[0], self.keys.shape[2], self.keys.shape[4])
        return fits and same == (shape.cache.layers, shape.cache.groups, shape.cache.head_dim)

    def recall(self, cache: RollingKVCache, first: int, last: int) -> None:
        """Lay chunks ``first..last - 1`` of all layers side by side, unless they lie there."""
        wanted = (weakref.ref(cache), cache.version, first, last)
        if self._holds and self._holds[0]() is cache and self._holds[1:] == wanted[1:]:
            return
        n = cache.shape.tokens
        self._holds = None
        for place, chunk in enumerate(range(first, last)):
            slot, span = cache.slot(chunk), slice(place * n, (place + 1) * n)
            self.keys[:, :, :, span].copy_(cache.keys[:, slot].unsqueeze(1))
            self.values[:, :, :, span].copy_(cache.values[:, slot].unsqueeze(1))
        self._holds = wanted


@dataclass
class StaticMemory(RollingKVCache):
    """Stands in for a stream's memory inside a graph: fixed rooms, one slot to stage into."""

    rooms: Rooms | None = field(default=None, repr=False)

    @classmethod
    def of(cls, shape: CallShape, rooms: Rooms, like: RollingKVCache) -> StaticMemory:
        layers, _, *rest = shape.cache.ring
        keys = torch.zeros(layers, 1, *rest, dtype=like.keys.dtype, device=rooms.keys.device)
        return cls(shape.cache, keys, torch.zeros_like(keys), like.bands, rooms=rooms)

    def workspace(self, branches: int, tokens: int, layer: int = 0) -> Workspace:
        assert self.rooms is not None
        return Workspace(self.rooms.keys[layer], self.rooms.values[layer])

    def recall(self, layer: int, first: int, last: int, into: Workspace, branches: int) -> None:
        """The rooms hold the history before a graph runs."""


class StaticText:
    """Prompts of every branch and range in padded buffers; what is padding is masked.

    keys, values: [layers, branches * ranges, groups, room, head_dim].
    """

    def __init__(self, shape: CallShape, like: Tensor) -> None:
        cache, places = shape.cache, shape.branches * shape.ranges
        size = (cache.layers, places, cache.groups, shape.text, cache.head_dim)
        self.keys = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.mask = torch.ones(places, 1, 1, shape.text, dtype=torch.bool, device=like.device)
        self._told: list[TextContext | None] = [None] * places

    def tell(self, texts: list[TextContext]) -> None:
        """Copies the prompts that are not there already."""
        for place, text in enumerate(texts):
            if self._told[place] is not text:
                self._told[place] = None  # an interrupt would leave a mixture
                self.keys[:, place, :, : text.tokens].copy_(text.keys)
                self.values[:, place, :, : text.tokens].copy_(text.values)
                self.mask[place, :, :, : text.tokens].fill_(True)
                self.mask[place, :, :, text.tokens :].fill_(False)
                self._told[place] = text

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        """queries [B, R, n, heads, d] -> [B, R, n, heads, d]."""
        flat = queries.flatten(0, 1)
        folded = fold_groups(flat, self.keys.shape[2])
        out = F.scaled_dot_product_attention(
            folded, self.keys[layer], self.values[layer], attn_mask=self.mask
        )
        return unfold_groups(out, flat.shape[1]).view(queries.shape)


class StaticCall:
    """Calls of one shape: copy in, run, copy out."""

    def __init__(
        self,
        shape: CallShape,
        dit: VideoDiT,
        rooms: Rooms,
        like: tuple[DenoiseInputs, RollingKVCache],
        attention: Attention,
    ) -> None:
        inputs, cache = like
        self.shape, self.dit, self.rooms = shape, dit, rooms
        device, config = rooms.keys.device, dit.config
        self.latents = torch.zeros(1, *shape.latents, device=device)
        gates = (config.num_layers, shape.branches, shape.ranges, 2, config.hidden_size)
        self.gates = torch.zeros(gates, device=device)
        tokens = shape.ranges * shape.cache.tokens
        self.rope = torch.zeros(tokens, 6 * cache.bands.numel(), device=device)
        self.memory = StaticMemory.of(shape, rooms, cache)
        self.own = SelfAttention(inputs, cache, attention)
        self.own.cache = self.memory
        self.text = StaticText(shape, rooms.keys)
        self.velocity = torch.zeros(shape.branches, *shape.latents, device=device)
        self.replay: Callable[[], None] | None = None

    def forward(self) -> None:
        """The call itself, from static buffers into static buffers; this is what is captured."""
        found = self.dit(self.latents, self.gates, self.rope, self.own, self.text)
        self.velocity.copy_(found)

    def fill(
        self, inputs: DenoiseInputs, cache: RollingKVCache, gates: Tensor, rope: Tensor
    ) -> None:
        """Everything that differs from call to call."""
        self.latents[0].copy_(inputs.latents)
        self.gates.copy_(gates)
        self.rope.copy_(rope)
        self.text.tell([text for branch in inputs.branches for text in branch.texts])
        first = inputs.first_chunk
        self.rooms.recall(cache, first - self.shape.history, first)

    def take(self, cache: RollingKVCache) -> Tensor:
        """The velocity, as a tensor of the caller's; staged keys and values go to the ring."""
        if self.shape.stage_branch is not None:
            cache.stage(slice(None), self.memory.keys[:, 0], self.memory.values[:, 0])
        return self.velocity.clone()


def capture(call: StaticCall, pool: Any, side: Any) -> Callable[[], None] | None:
    """Makes a call ready: compiled, and on a GPU recorded as one CUDA graph.

    Args:
        pool: memory that all graphs share. They run one after the other and leave nothing behind
            but what is in the call's own buffers.
        side: the stream of all captures; libraries keep memory for every stream they have seen.

    Returns:
        What runs the call in place of ``forward``; ``None`` on a processor.
    """
    device = call.latents.device
    if device.type != "cuda":
        call.forward()
        return None
    with torch.cuda.device(device):
        present = torch.cuda.current_stream(device)
        side.wait_stream(present)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                call.forward()
        present.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the GPU: only what this one does is recorded.
        with torch.cuda.graph(graph, pool, side, capture_error_mode="thread_local"):
            call.forward()
    return graph.replay
