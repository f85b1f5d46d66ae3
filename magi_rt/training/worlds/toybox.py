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
from magi_rt.training.worlds.base import Clauses, Clips, Film, Meaning, Prompt, Truth
from magi_rt.training.worlds.film import film
from magi_rt.training.worlds.film import play as play_film
from magi_rt.training.worlds.toybox_physics import step
from magi_rt.training.worlds.toybox_prompts import caption_words, prompt_words
from magi_rt.training.worlds.toybox_render import look, pictures
from magi_rt.training.worlds.toybox_rules import apply
from magi_rt.training.worlds.toybox_scene import UNIT, WEATHERS, State, draw_state
from magi_rt.training.worlds.toybox_script import draw_clauses, seen_in

Script = list[list[Clauses]]
"""[B][chunks]: what the prompt that holds for each chunk means."""


class Toybox:
    """The toybox behind the calls that all made-up worlds share."""

    def __init__(self, size: int = 64, device: torch.device | str = "cpu") -> None:
        if size < 16:
            raise OptionError(f"size is {size}; a toybox picture needs 16 pixels.", field="size")
        self.size, self.device = size, device

    def sample(self, batch: int, generator: torch.Generator) -> State:
        return draw_state(batch, generator, self.device)

    def caption(self, state: State, row: int, random: Random, split: str = "train") -> Prompt:
        return Prompt(caption_words(state.facts[row], random, split), (Meaning("scene"),))

    def prompt(self, state: State, row: int, random: Random, split: str = "train") -> Prompt:
        clauses = draw_clauses(state.facts[row], random, seen_in(state, row))
        return Prompt(prompt_words(clauses, random, split), clauses)

    def apply(self, state: State, meanings: Sequence[Clauses]) -> State:
        return apply(state, list(meanings))

    def step(self, state: State) -> State:
        return step(state)

    def render(self, state: State) -> Tensor:
        return pictures(look(state), self.size)


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
    world = Toybox(size, device)
    made = film(world, batch, chunks, generator, frames_per_chunk=frames_per_chunk, split=split)
    return _with_truth(made, size)


def play(
    state: State,
    script: Script,
    prompts: list[list[str]] | None = None,
    frames_per_chunk: int = 8,
    size: int = 64,
) -> Clips:
    """The clips that follow from a state under a given script; prompts are only passed through."""
    world = Toybox(size, state.position.device)
    made = play_film(world, state, script, prompts, frames_per_chunk=frames_per_chunk)
    return _with_truth(made, size)


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


def _with_truth(made: Film, size: int) -> Clips:
    scale = size / UNIT

    def over_time(name: str) -> Tensor:
        return torch.stack([getattr(frame, name) for frame in made.frames], 1)

    weather = [[WEATHERS.index(room.weather) for room in frame.facts] for frame in made.frames]
    truth = Truth(
        position=over_time("position") * scale,
        extent=over_time("extent") * scale,
        alive=over_time("alive"),
        box=over_time("half") > 0,
        colour=over_time("colour"),
        gravity=over_time("gravity"),
        light=over_time("light"),
        weather=torch.tensor(weather, device=made.pixels.device).t(),
        pace=over_time("pace"),
        meanings=made.meanings,
    )
    return Clips(made.pixels, made.prompts, made.meanings, made.states, made.frames, truth)
