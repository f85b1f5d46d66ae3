"""The rolling memory of a stream: keys and values of the most recent finished chunks.

Storage only: how far a chunk looks back is decided by the sampler; the ring knows how much of that
it still has (``first_visible``). All buffers are made once. A ring of ``depth + 1`` slots holds
``depth`` committed chunks and one staging slot, so a forward pass that fails half-way has not
touched the history. Where a chunk lies follows from its number alone, so a copy, and a ring that
was saved and loaded, gives its keys to sums in the same order, to the same last bit. Keys are
stored rotated at positions counted from ``base``, a chunk index that follows the stream in large
steps: when the oldest kept chunk is ``REBASE_CHUNKS`` past it, the kept keys are turned back
(``settle``) and the count starts again, so position numbers (and with them float rounding) stay
those of a short stream forever.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from magi_rt.errors import OptionError, ShapeError
from magi_rt.models.kv_layout import LaidOut
from magi_rt.models.quiet_copy import quiet_copy
from magi_rt.models.rotary import shift_time

REBASE_CHUNKS = 64
OWN_SCRATCH_BYTES = 2**26  # scratch of all layers together up to which every layer has its own


@dataclass(frozen=True)
class CacheShape:
    """Sizes of one ring; tokens are per chunk."""

    layers: int
    depth: int
    groups: int
    tokens: int
    head_dim: int
    frames_per_chunk: int

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise OptionError(
                f"a cache depth of {self.depth} chunks keeps no history; use 1 or more",
                field="depth",
            )

    @property
    def ring(self) -> tuple[int, ...]:
        return (self.layers, self.depth + 1, self.groups, self.tokens, self.head_dim)


@dataclass
class Workspace:
    """Scratch for one layer's history and current tokens; not state.

    keys, values: [branches, groups, tokens, head_dim].
    holds: what lies at its start since the last :meth:`RollingKVCache.recall`.
    """

    keys: Tensor
    values: Tensor
    holds: tuple[int, ...] | None = None


@dataclass
class RollingKVCache:
    """A ring of finished chunks.

    keys, values: [layers, depth + 1, groups, tokens, head_dim] in the working dtype.
    bands: [head_dim / 8], the model's rotary frequencies.
    version: grows whenever what is kept changes.
    """

    shape: CacheShape
    keys: Tensor
    values: Tensor
    bands: Tensor
    chunks: tuple[int, ...] = ()
    base: int = 0
    version: int = 0
    _turned: int = 0  # layers that :meth:`settle` has turned, when it could not finish
    _laid_out: dict[int, LaidOut] = field(default_factory=dict, repr=False)
    _scratch: dict[int, Workspace] = field(default_factory=dict, repr=False)

    @classmethod
    def allocate(
        cls, shape: CacheShape, bands: Tensor, dtype: torch.dtype, device: torch.device
    ) -> RollingKVCache:
        """All memory that this stream's history will ever use."""
        keys, values = (torch.zeros(shape.ring, dtype=dtype, device=device) for _ in range(2))
        return cls(shape, keys, values, bands.detach().float())

    @property
    def depth(self) -> int:
        """How many finished chunks are kept at most."""
        return self.shape.depth

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def local(self, chunk: int) -> int:
        """Position of a chunk counted from the ring's zero point, in chunks."""
        return chunk - self.base

    @property
    def following(self) -> int:
        """The chunk that can be staged and committed next."""
        return self.chunks[-1] + 1 if self.chunks else self.base

    @property
    def staging_slot(self) -> int:
        """The slot that :meth:`stage` writes into; nobody sees it before the commit."""
        return self.slot(self.following)

    def stage(self, layer: int | slice, keys: Tensor, values: Tensor) -> None:
        """Write one layer of a finished chunk into the staging slot; [groups, tokens, d] each.

        A slice of layers takes [layers, groups, tokens, d] each.
        """
        slot = self.staging_slot
        for room in self._laid_out.values():
            room.drop(slot)
        quiet_copy(self.keys[layer, slot], keys)
        quiet_copy(self.values[layer, slot], values)

    def laid_out(self, slots: Collection[int], places: int) -> LaidOut:
        """These slots side by side, each at one of ``places`` that follows from its chunk; scratch.

        The room for a number of places is made when first asked for.

        Args:
            slots: of chunks that follow each other, the staging slot among them or not.
        """
        assert len(slots) <= places
        room = self._laid_out.get(places)
        if room is None:
            room = self._laid_out[places] = LaidOut(self.shape.ring, places, self.keys)
        held = (*self.chunks, self.following)
        wanted = {self.slot(chunk): chunk % places for chunk in held if self.slot(chunk) in slots}
        room.hold(wanted, self.keys, self.values)
        return room

    def commit(self, chunk: int) -> None:
        """Make the staged chunk the newest one of the history; the oldest falls out when full.

        What is read or staged next needs :meth:`settle` first.

        Raises:
            ShapeError: the chunk does not follow the newest one.
        """
        if chunk != self.following:
            raise ShapeError(
                f"chunk {chunk} does not follow "
                f"{f'chunk {self.chunks[-1]}' if self.chunks else f'the zero point {self.base}'}; "
                f"commit chunk {self.following} next",
                field="chunk",
            )
        self.settle()
        self._forget_layout()
        self.chunks = (*self.chunks, chunk)[-self.depth :]

    def settle(self) -> None:
        """Makes the oldest kept chunk the zero point, where it is far from it; to be called before
        positions are asked for.

        One layer after the other, as the numbers in between take more memory than the keys.
        When it fails on the way, calling it again turns the other layers.
        """
        moved = self.local(self.chunks[0]) if self.chunks else 0
        if moved < REBASE_CHUNKS:
            return
        self._forget_layout()
        self._laid_out.clear()
        for layer in range(self._turned, self.shape.layers):
            shift_time(self.keys[layer], self.bands, -moved * self.shape.frames_per_chunk)
            self._turned = layer + 1
        self.base, self._turned = self.chunks[0], 0

    def slot(self, chunk: int) -> int:
        """Ring slot of a committed chunk, or of the one that follows."""
        return chunk % (self.depth + 1)

    def first_visible(self, first: int, place: int, width: int) -> int:
        """First chunk that range ``place`` of a call starting at chunk ``first`` can see.

        It may look at ``width`` chunks, itself included; what has fallen out of the ring is gone.
        """
        wanted = max(0, first + place + 1 - width)
        return max(wanted, min(self.chunks[0], first) if self.chunks else first)

    def workspace(self, branches: int, tokens: int, layer: int = 0) -> Workspace:
        """Room for ``tokens`` keys and values per branch; grows, never shrinks.

        Small rings give every layer a room of its own, where the history stays laid out from step
        to step; in large ones the layers share one.
        """
        layer = layer if self._scratch_bytes(branches, tokens) <= OWN_SCRATCH_BYTES else 0
        room = self._scratch.get(layer)
        if room is None or room.keys.shape[0] < branches or room.keys.shape[2] < tokens:
            if room is not None:
                branches = max(branches, room.keys.shape[0])
                tokens = max(tokens, room.keys.shape[2])
            size = (branches, self.shape.groups, tokens, self.shape.head_dim)
            keys = torch.empty(size, dtype=self.keys.dtype, device=self.keys.device)
            room = self._scratch[layer] = Workspace(keys, torch.empty_like(keys))
        return room

    def _scratch_bytes(self, branches: int, tokens: int) -> int:
        """Memory of a room for every layer."""
        shape = self.shape
        numbers = 2 * branches * shape.groups * tokens * shape.head_dim
        return shape.layers * numbers * self.keys.itemsize

    def recall(self, layer: int, first: int, last: int, into: Workspace, branches: int) -> None:
        """Lay chunks ``first..last - 1`` of one layer side by side at the workspace's start.

        What lies there already is left as it is; the caller writes behind it only.
        """
        wanted = (layer, first, last, branches)
        if into.holds == wanted:
            return
        into.holds = None
        n = self.shape.tokens
        for place, chunk in enumerate(range(first, last)):
            slot, span = self.slot(chunk), slice(place * n, (place + 1) * n)
            into.keys[:branches, :, span].copy_(self.keys[layer, slot].expand(branches, -1, -1, -1))
            into.values[:branches, :, span].copy_(
                self.values[layer, slot].expand(branches, -1, -1, -1)
            )
        into.holds = wanted

    def _forget_layout(self) -> None:
        """The ring has changed: what the scratch holds is laid out anew before it is read."""
        self.version += 1
        for room in self._scratch.values():
            room.holds = None

    def clone(self) -> RollingKVCache:
        """An independent copy; the scratch is not copied."""
        return RollingKVCache(
            self.shape,
            quiet_copy(torch.empty_like(self.keys), self.keys),
            quiet_copy(torch.empty_like(self.values), self.values),
            self.bands,
            self.chunks,
            self.base,
            _turned=self._turned,
        )

    def reset(self, base: int = 0) -> None:
        """Forget all chunks; the buffers stay."""
        self._forget_layout()
        self._laid_out.clear()
        self.chunks, self.base, self._turned = (), base, 0

    def let_go(self) -> None:
        """Frees all buffers; the ring cannot be used any more."""
        self.reset()
        self._scratch.clear()
        self.keys = self.values = self.keys.new_empty(0)

    def to_tensors(self) -> dict[str, Tensor]:
        """The kept chunks in main memory, oldest first: [layers, chunks, groups, tokens, d]."""
        self.settle()
        slots = [self.slot(chunk) for chunk in self.chunks]
        return {"keys": self.keys[:, slots].cpu(), "values": self.values[:, slots].cpu()}

    def load_tensors(self, tensors: dict[str, Tensor], chunks: tuple[int, ...], base: int) -> None:
        """The inverse of :meth:`to_tensors`.

        Raises:
            ShapeError: the tensors do not fit this ring.
        """
        layers, _, groups, tokens, dim = self.shape.ring
        expected = (layers, len(chunks), groups, tokens, dim)
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != expected or len(chunks) > self.depth:
                raise ShapeError(
                    f"saved {name} have shape {tuple(tensor.shape)} but this stream needs "
                    f"{expected} with at most {self.depth} chunks",
                    field=name,
                )
        self.reset(base)
        for place, chunk in enumerate(chunks):
            quiet_copy(self.keys[:, self.slot(chunk)], tensors["keys"][:, place])
            quiet_copy(self.values[:, self.slot(chunk)], tensors["values"][:, place])
        self.chunks = tuple(chunks)
