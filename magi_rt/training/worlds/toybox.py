"""The toybox: balls and boxes in a room, moved by gravity, wind, jumps and pushes, under a sky.

Everything is made from a seed; there are no files. A prompt takes hold at a chunk's start and holds
until the next one. Gravity, light, weather, pace, colours and what is there stay as they were
set; wind, jumps and pushes last only as long as their prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import Clauses, Clips, Meaning, Truth
from magi_rt.training.worlds.toybox_physics import FADE_FRAMES, step
from magi_rt.training.worlds.toybox_prompts import SPLITS, caption_words
from magi_rt.training.worlds.toybox_render import look, pictures, render
from magi_rt.training.worlds.toybox_rules import apply
from magi_rt.training.worlds.toybox_scene import UNIT, WEATHERS, State, draw_state
from magi_rt.training.worlds.toybox_script import (
    CHANGE,
    QUIET,
    first_prompt,
    next_prompt,
    seen_in,
)

Script = list[list[Clauses]]
"""[B][chunks]: what the prompt that holds for each chunk means."""


class Toybox:
    """The toybox behind the interface that all made-up worlds share."""

    def __init__(self, size: int = 64, device: torch.device | str = "cpu") -> None:
        if size < 16:
            raise OptionError(f"size is {size}; a toybox picture needs 16 pixels.", field="size")
        self.size, self.device = size, device

    def sample(self, batch: int, generator: torch.Generator) -> State:
        return draw_state(batch, generator, self.device)

    def apply(self, state: State, clauses: Sequence[Clauses]) -> State:
        return apply(state, list(clauses))

    def step(self, state: State) -> State:
        return step(state)

    def render(self, state: State) -> Tensor:
        return render(look([state]), self.size).permute(0, 3, 1, 2) / 255

    def caption(self, state: State, generator: torch.Generator, split: str = "train") -> list[str]:
        randoms = _randoms(len(state.facts), generator)
        return [caption_words(f, r, split) for f, r in zip(state.facts, randoms, strict=True)]


def clips(
    batch: int,
    chunks: int,
    generator: torch.Generator,
    frames_per_chunk: int = 8,
    size: int = 64,
    split: str = "train",
    device: torch.device | str = "cpu",
) -> Clips:
    """``batch`` clips of ``chunks`` chunks with their prompts and the truth behind them.

    The generator lives on the CPU; the same generator state gives the same clips. ``split`` says
    which phrasings may be used: "train", "held_out" (only those kept from training) or "all".
    """
    if min(batch, chunks, frames_per_chunk) < 1:
        raise OptionError(
            f"batch is {batch}, chunks {chunks}, frames_per_chunk {frames_per_chunk}; "
            "each must be at least 1.",
            field="batch",
        )
    if split not in SPLITS:
        raise OptionError(f"split is {split!r}; use one of {', '.join(SPLITS)}.", field="split")
    world = Toybox(size, device)
    state = world.sample(batch, generator)
    randoms = _randoms(batch, generator)
    quiet = [random.random() < QUIET for random in randoms]
    states, frames = [state], []
    rooms = zip(state.facts, randoms, seen_in(state), strict=True)
    drawn = [first_prompt(facts, random, split, seen) for facts, random, seen in rooms]
    prompts: list[list[str]] = [[] for _ in range(batch)]
    script: Script = [[] for _ in range(batch)]
    for chunk in range(chunks):
        seen = seen_in(state)
        for row, random in enumerate(randoms):
            if chunk and not quiet[row] and random.random() < CHANGE:
                drawn[row] = next_prompt(state.facts[row], random, split, seen[row])
            prompts[row].append(drawn[row][0])
            script[row].append(drawn[row][1])
        state, made = _play_chunk(state, [clauses for _, clauses in drawn], frames_per_chunk)
        states.append(state)
        frames += made
    return _film(states, frames, prompts, script, size)


def play(
    state: State,
    script: Script,
    prompts: list[list[str]] | None = None,
    frames_per_chunk: int = 8,
    size: int = 64,
) -> Clips:
    """The clips that follow from a state under a given script; prompts are only passed through."""
    states, frames = [state], []
    for chunk in range(len(script[0])):
        state, made = _play_chunk(state, [row[chunk] for row in script], frames_per_chunk)
        states.append(state)
        frames += made
    words = prompts or [["" for _ in row] for row in script]
    return _film(states, frames, words, script, size)


def continue_under(
    state: State,
    meaning: Meaning | Clauses,
    chunks: int,
    frames_per_chunk: int = 8,
    size: int = 64,
) -> Clips:
    """What would have followed from ``state`` (such as ``clips.states[k]``) under one meaning."""
    clauses = (meaning,) if isinstance(meaning, Meaning) else meaning
    script: Script = [[clauses] * chunks for _ in state.facts]
    return play(state, script, None, frames_per_chunk, size)


def images(
    batch: int, generator: torch.Generator, size: int = 64, device: torch.device | str = "cpu"
) -> Tensor:
    """uint8 [batch, size, size, 3]: single moments, some with light or weather just changing."""
    state = Toybox(size, device).sample(batch, generator)
    randoms = _randoms(batch, generator)
    drawn = [first_prompt(f, r, "all") for f, r in zip(state.facts, randoms, strict=True)]
    _, frames = _play_chunk(state, [clauses for _, clauses in drawn], FADE_FRAMES + 3)
    pick = torch.randint(len(frames), (batch,), generator=generator)
    rows = torch.arange(batch) * len(frames) + pick
    return pictures(look(frames).take(rows.to(state.position.device)), size)


def _randoms(count: int, generator: torch.Generator) -> list[Random]:
    return [Random(s) for s in torch.randint(2**62, (count,), generator=generator).tolist()]


def _play_chunk(state: State, clauses: list[Clauses], frames: int) -> tuple[State, list[State]]:
    """The state after a chunk, and the states of its frames."""
    state = apply(state, clauses)
    made = []
    for _ in range(frames):
        state = step(state)
        made.append(state)
    return state, made


def _film(
    states: list[State],
    frames: list[State],
    prompts: list[list[str]],
    script: Script,
    size: int,
) -> Clips:
    """Draw all frames at once and gather their truth."""
    drawn = pictures(look(frames), size)
    scale = size / UNIT

    def over_time(name: str) -> Tensor:
        return torch.stack([getattr(frame, name) for frame in frames], 1)

    weather = [[WEATHERS.index(room.weather) for room in frame.facts] for frame in frames]
    truth = Truth(
        position=over_time("position") * scale,
        extent=over_time("extent") * scale,
        alive=over_time("alive"),
        box=over_time("half") > 0,
        colour=over_time("colour"),
        gravity=over_time("gravity"),
        light=over_time("light"),
        weather=torch.tensor(weather, device=drawn.device).t(),
        pace=over_time("pace"),
        meanings=script,
    )
    return Clips(drawn.unflatten(0, (len(prompts), -1)), prompts, truth, tuple(states))
