"""Some of a ring's slots side by side, as graphs read them."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from magi_rt.models.quiet_copy import quiet_copy


class LaidOut:
    """Room for a number of chunks; which slot of the ring lies at which place changes.

    It is scratch: a slot is copied here when it is asked for, and again when it was overwritten.

    Attributes:
        keys: [layers, 1, groups, places * tokens, head_dim]; the same memory throughout.
        values: likewise.
        slots: per place the slot that lies there, ``None`` where nothing does.
    """

    def __init__(self, ring: tuple[int, ...], places: int, like: Tensor) -> None:
        """``ring``: [layers, slots, groups, tokens, head_dim]."""
        layers, _, groups, self.tokens, dim = ring
        self.keys = like.new_zeros(layers, 1, groups, places * self.tokens, dim)
        self.values = torch.zeros_like(self.keys)
        self.slots: list[int | None] = [None] * places

    def hold(self, wanted: Collection[int], keys: Tensor, values: Tensor) -> None:
        """Lays out the slots of ``keys`` and ``values`` that are not here yet; most stay.

        What is not wanted may be pushed out.
        """
        missing = [slot for slot in wanted if slot not in self.slots]
        free = [place for place, slot in enumerate(self.slots) if slot not in wanted]
        free.sort(key=lambda place: self.slots[place] is not None)
        for slot, place in zip(missing, free, strict=False):
            self.slots[place] = None  # an interrupt would leave a mixture
            span = slice(place * self.tokens, (place + 1) * self.tokens)
            quiet_copy(self.keys[:, 0, :, span], keys[:, slot])
            quiet_copy(self.values[:, 0, :, span], values[:, slot])
            self.slots[place] = slot

    def drop(self, slot: int) -> None:
        """That slot is about to be overwritten."""
        self.slots = [None if held == slot else held for held in self.slots]
