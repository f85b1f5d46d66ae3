"""What a made-up world offers, and what training and evaluation receive from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

FRAME_RATE = 24
SPLITS = ("train", "held_out", "all")
"""Which wordings a prompt may use."""


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


class Prompt(NamedTuple):
    """What is said and what it means; only the world itself looks into the meaning."""

    words: str
    meaning: Any


NOTHING = Prompt("", ())
"""The empty prompt; what was set stays as it is."""


@dataclass(frozen=True)
class Film:
    """A batch of clips of any world; F = chunks * frames per chunk.

    ``pixels`` uint8 [B, F, H, W, 3] sRGB, top row first. ``prompts`` [B][chunks]: the prompt that
    holds for each chunk; ``meanings`` [B][chunks]: what it means. ``states``: the world before each
    chunk, then after the last one. ``frames``: the world in each of the F frames.
    """

    pixels: Tensor
    prompts: list[list[str]]
    meanings: list[list[Any]]
    states: tuple[Any, ...]
    frames: tuple[Any, ...]


@dataclass(frozen=True)
class Clips(Film):
    """A batch of clips with the facts behind every frame."""

    truth: Truth


class World(Protocol):
    """A made-up world: batches of states, moved by prompts, drawn as pictures.

    This is all that filming, and so training, asks of a world. ``film.film`` decides when a prompt
    changes; the world says what may be asked next. States are the world's own: any object, never
    changed in place, holding a whole batch. ``random`` is a clip's own, ``row`` its index in the
    batch. ``split`` is "train", "held_out" or "all": which wordings may be used.
    """

    def sample(self, batch: int, generator: torch.Generator) -> Any:
        """``batch`` random starts. The generator lives on the CPU."""
        ...

    def caption(self, state: Any, row: int, random: Random, split: str) -> Prompt:
        """A prompt that describes one clip as it is in this state.

        Asked at the start, and again of later chunks whose prompt has held for two chunks before:
        by then what it changed should be over, or the words say what the picture does not show.
        """
        ...

    def prompt(self, state: Any, row: int, random: Random, split: str) -> Prompt:
        """A new prompt for one clip: something that will show, in its present state."""
        ...

    def apply(self, state: Any, meanings: Sequence[Any]) -> Any:
        """The state with one meaning per clip taking hold; called as each chunk starts.

        A prompt that holds is applied again at every chunk. () means nothing new.
        """
        ...

    def step(self, state: Any) -> Any:
        """The state one frame later; there are 24 frames in a second."""
        ...

    def render(self, state: Any) -> Tensor:
        """uint8 [B, H, W, 3] sRGB, top row first, H and W as ``size`` asked for."""
        ...
