"""Films any made-up world: chooses when prompts change, lets the world run, draws every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import NOTHING, SPLITS, Film, Prompt, World


@dataclass(frozen=True)
class Rhythm:
    """How often prompts come and change.

    Of first prompts a share of ``empty`` is empty and ``caption`` describes the start; the others
    already ask for something. ``quiet`` clips keep their first prompt to the end; in the others a
    prompt changes at a chunk's start with chance ``change``, ``pause`` of them to the empty one.
    """

    empty: float = 0.1
    caption: float = 0.6
    quiet: float = 0.12
    change: float = 0.5
    pause: float = 0.05


def film(
    world: World,
    batch: int,
    chunks: int,
    generator: torch.Generator,
    *,
    frames_per_chunk: int = 8,
    split: str = "train",
    rhythm: Rhythm | None = None,
) -> Film:
    """``batch`` clips of ``chunks`` chunks from random starts, under prompts of the world's choice.

    The generator lives on the CPU; the same generator state gives the same clips. OptionError for
    a number below 1, an unknown split, or a world that does not draw pictures.
    """
    _check(batch, chunks, frames_per_chunk, split)
    rhythm = rhythm or Rhythm()
    state = world.sample(batch, generator)
    randoms = clip_randoms(batch, generator)
    quiet = [random.random() < rhythm.quiet for random in randoms]
    holding = [first_prompt(world, state, row, r, split, rhythm) for row, r in enumerate(randoms)]
    told: list[list[Prompt]] = [[] for _ in range(batch)]
    states, frames = [state], []
    for chunk in range(chunks):
        for row, random in enumerate(randoms):
            if chunk and not quiet[row] and random.random() < rhythm.change:
                pause = random.random() < rhythm.pause
                holding[row] = NOTHING if pause else world.prompt(state, row, random, split)
            told[row].append(holding[row])
        made = run_chunk(world, state, [prompt.meaning for prompt in holding], frames_per_chunk)
        state = made[-1]
        states.append(state)
        frames += made
    prompts = [[prompt.words for prompt in row] for row in told]
    meanings = [[prompt.meaning for prompt in row] for row in told]
    return Film(draw(world, frames), prompts, meanings, tuple(states), tuple(frames))


def _check(batch: int, chunks: int, frames_per_chunk: int, split: str) -> None:
    if min(batch, chunks, frames_per_chunk) < 1:
        raise OptionError(
            f"batch is {batch}, chunks {chunks}, frames_per_chunk {frames_per_chunk}; "
            "each must be at least 1.",
            field="batch",
        )
    if split not in SPLITS:
        raise OptionError(f"split is {split!r}; use one of {', '.join(SPLITS)}.", field="split")


def play(
    world: World,
    state: Any,
    meanings: Sequence[Sequence[Any]],
    prompts: list[list[str]] | None = None,
    *,
    frames_per_chunk: int = 8,
) -> Film:
    """The clips that follow from a state under given meanings [B][chunks].

    ``prompts`` are only passed through; without them all are empty.
    """
    states, frames = [state], []
    for chunk in range(len(meanings[0])):
        made = run_chunk(world, state, [row[chunk] for row in meanings], frames_per_chunk)
        state = made[-1]
        states.append(state)
        frames += made
    words = prompts or [["" for _ in row] for row in meanings]
    script = [list(row) for row in meanings]
    return Film(draw(world, frames), words, script, tuple(states), tuple(frames))


def clip_randoms(count: int, generator: torch.Generator) -> list[Random]:
    """One random source per clip."""
    return [Random(s) for s in torch.randint(2**62, (count,), generator=generator).tolist()]


def first_prompt(
    world: World, state: Any, row: int, random: Random, split: str, rhythm: Rhythm
) -> Prompt:
    """The prompt of one clip's first chunk."""
    chance = random.random()
    if chance < rhythm.empty:
        return NOTHING
    if chance < rhythm.empty + rhythm.caption:
        return world.caption(state, row, random, split)
    return world.prompt(state, row, random, split)


def run_chunk(world: World, state: Any, meanings: Sequence[Any], frames: int) -> list[Any]:
    """The states of a chunk's frames, one meaning per clip taking hold as it starts."""
    state = world.apply(state, meanings)
    made = []
    for _ in range(frames):
        state = world.step(state)
        made.append(state)
    return made


def draw(world: World, frames: Sequence[Any]) -> Tensor:
    """uint8 [B, F, H, W, 3]: every frame's picture; OptionError where a world draws no pictures."""
    first = torch.as_tensor(world.render(frames[0]))
    if first.dtype != torch.uint8 or first.ndim != 4 or first.shape[-1] != 3:
        raise OptionError(
            f"{type(world).__name__}.render gave {str(first.dtype).removeprefix('torch.')} "
            f"{list(first.shape)}; it must give uint8 [clips, height, width, 3].",
            field="world",
        )
    pixels = first.new_empty(len(first), len(frames), *first.shape[1:])
    pixels[:, 0] = first
    for index, frame in enumerate(frames[1:], 1):
        pixels[:, index] = torch.as_tensor(world.render(frame))
    return pixels
