"""Some of a ring's slots side by side, as graphs read them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from magi_rt.models.quiet_copy import quiet_copy


class LaidOut:
    """Room for a number of chunks; which slot of the ring lies at which place changes.

    It is scratch: a slot is copied here when it is asked for, and again when it was overwritten.
    The order of places is the order in which a graph sums, so what lies where may not depend on
    what was asked for before.

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

    def hold(self, wanted: Mapping[int, int], keys: Tensor, values: Tensor) -> None:
        """Lays out slots of ``keys`` and ``values``, each at its place, that are not there yet.

        Args:
            wanted: slot -> place, each place once. What lies elsewhere stays.
        """
        assert len({*wanted.values()}) == len(wanted)
        for slot, place in wanted.items():
            if self.slots[place] == slot:
                continue
            self.drop(slot)
            self.slots[place] = None  # an interrupt would leave a mixture
            span = slice(place * self.tokens, (place + 1) * self.tokens)
            quiet_copy(self.keys[:, 0, :, span], keys[:, slot])
            quiet_copy(self.values[:, 0, :, span], values[:, slot])
            self.slots[place] = slot

    def drop(self, slot: int) -> None:
        """That slot is about to be overwritten, or to lie elsewhere."""
        self.slots = [None if held == slot else held for held in self.slots]
