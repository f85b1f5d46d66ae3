"""What the tests of the toybox share."""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_scene import State

SOME = 32


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shift(state: State, clauses: Meaning | Clauses, chunks: int = 1) -> Tensor:
    """[B, 2]: how far the living objects moved on average, in room units."""
    last = toybox.continue_under(state, clauses, chunks, size=16).states[-1].position
    alive = state.alive.unsqueeze(-1).float()
    mean: Tensor = ((last - state.position) * alive).sum(1) / alive.sum(1)
    return mean


def heaps(seed: int, chunks: int = 6) -> State:
    """Rooms in which all things lie on the floor."""
    start = toybox.Toybox().sample(SOME, seeded(seed))
    end: State = toybox.continue_under(start, Meaning("gravity", "down"), chunks, size=16).states[
        -1
    ]
    return end
