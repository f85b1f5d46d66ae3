"""What a made-up world offers, and what training and evaluation receive from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

FRAME_RATE = 24


@dataclass(frozen=True)
class Meaning:
    """What one clause of a prompt does, apart from its words.

    ``kind`` and ``value``: gravity (down, up, left, right, none), light (day, dusk, night), weather
    (clear, rain, snow), pace (freeze, slow, normal), wind (left, right), jump (no value), push
    (left, right, up, down), colour (a colour name), appear (the colour of what appears), vanish
    (no value), scene (no value: a caption, which changes nothing). ``thing`` is the colour of the
    object that jump, push, colour and vanish speak of, ``shape`` its shape (ball, box), or that
    of what appears.
    """

    kind: str
    value: str = ""
    thing: str = ""
    shape: str = ""


Clauses = tuple[Meaning, ...]
"""What a whole prompt means: its clauses in the order of the words; () for the empty prompt."""


@dataclass(frozen=True)
class Truth:
    """The facts behind every frame of a batch of clips; F frames, N object places.

    ``position`` float32 [B, F, N, 2]: centres (x, y) in pixels, y grows downwards.
    ``extent`` float32 [B, F, N]: radius of a ball, half side of a box, in pixels.
    ``alive`` bool [B, F, N]: whether the place holds an object that moves and collides; what fades
    out is no longer alive. ``box`` bool [B, F, N]: box or ball. ``colour`` int64 [B, F, N]: index
    of the named colour. A place that was left may be taken by another object later.
    ``gravity`` float32 [B, F, 2]: unit vector of the pull, or zero.
    ``light`` float32 [B, F]: 1 day, 0.5 dusk, 0 night. ``weather`` int64 [B, F]: clear, rain,
    snow = 0, 1, 2. ``pace`` float32 [B, F]: 1 normal, 1/3 slow, 0 frozen.
    ``meanings``: [B][chunks], what the prompt that holds for a chunk means.
    """

    position: Tensor
    extent: Tensor
    alive: Tensor
    box: Tensor
    colour: Tensor
    gravity: Tensor
    light: Tensor
    weather: Tensor
    pace: Tensor
    meanings: list[list[Clauses]]


@dataclass(frozen=True)
class Clips:
    """A batch of clips.

    ``pixels`` uint8 [B, F, H, W, 3] sRGB, top row first. ``prompts`` [B][chunks]: the prompt that
    holds for each chunk. ``states``: the world before each chunk, then after the last one.
    """

    pixels: Tensor
    prompts: list[list[str]]
    truth: Truth
    states: tuple[Any, ...]


class ToyWorld(Protocol):
    """A procedural world: batches of states, moved by clauses, drawn as pictures."""

    def sample(self, batch: int, generator: torch.Generator) -> Any:
        """``batch`` random starts. The generator lives on the CPU."""
        ...

    def apply(self, state: Any, clauses: Sequence[Clauses]) -> Any:
        """The state with one prompt's meaning per clip taking hold; called as a chunk starts."""
        ...

    def step(self, state: Any) -> Any:
        """The state one frame later."""
        ...

    def render(self, state: Any) -> Tensor:
        """float32 [B, 3, H, W] in 0..1."""
        ...

    def caption(self, state: Any, generator: torch.Generator, split: str = "train") -> list[str]:
        """One scene caption per clip."""
        ...
