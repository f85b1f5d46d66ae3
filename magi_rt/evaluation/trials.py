"""Trials of steering: a short video, a prompt that asks for a change, and what should follow.

Every start is a toybox room under another condition than the one asked for: objects rest on
another wall, or the light is the other one. Starts in which the asked change would hardly show
(everything lies where it is to go already) are left out, by the simulator's truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_prompts import clause_words
from magi_rt.training.worlds.toybox_scene import DIRECTIONS, UNIT, State
from magi_rt.world.start import PREFIX_FRAMES

ASKED = (
    Meaning("light", "day"),
    Meaning("light", "night"),
    *(Meaning("gravity", way) for way in ("down", "up", "left", "right")),
)
"""What trials ask for, in equal shares."""
CHUNKS = 3
"""Chunks that a world gets to obey."""
REST_FRAMES = 72
"""Frames before the video in which objects come to rest under the standing gravity."""
LIGHT_FRAMES = 12
"""Frames before the video after which a change of light is over; objects may still move."""
LEAST_MOVE = 12 / UNIT
"""Share of the picture by which the objects' common centre must truly move in the asked direction
for a start to be used."""
SPLITS = ("train", "held_out")


@dataclass(frozen=True)
class Trial:
    """One question to a world.

    Attributes:
        number: 0 for the first.
        asked: the change that is asked for.
        prompt: the words for it; ``split`` says whether training used them ("train") or not
            ("held_out").
        standing: the gravity or light of the video.
        seed: of the world's noise.
        video: uint8 [32 or more, 64, 64, 3], the start.
        truth: uint8 [frames, 64, 64, 3], how the simulator goes on when it is asked.
        unasked: the same when nothing is asked.
    """

    number: int
    asked: Meaning
    prompt: str
    split: str
    standing: str
    seed: int
    video: Pixels
    truth: Pixels
    unasked: Pixels

    @property
    def name(self) -> str:
        """What is asked for, for people: "night", "gravity left"."""
        light = self.asked.kind == "light"
        return self.asked.value if light else f"gravity {self.asked.value}"


def draw_trials(count: int, seed: int, frames_per_chunk: int = 8) -> list[Trial]:
    """``count`` trials spread evenly over ``ASKED``; half of each kind with either split's words.

    The same numbers give the same trials. OptionError for fewer than one trial.
    """
    if count < 1:
        raise OptionError(f"trials is {count}; at least 1 is needed", field="trials")
    drawn: list[Trial] = []
    for place, asked in enumerate(ASKED):
        numbers = range(place, count, len(ASKED))
        if numbers:
            drawn += _draw_kind(asked, numbers, seed, frames_per_chunk)
    return sorted(drawn, key=lambda trial: trial.number)


def _draw_kind(
    asked: Meaning, numbers: Sequence[int], seed: int, frames_per_chunk: int
) -> list[Trial]:
    random = Random(f"{seed} {asked.kind} {asked.value}")
    lead = max(PREFIX_FRAMES, frames_per_chunk)
    ahead = CHUNKS * frames_per_chunk
    rooms = _starts(asked, len(numbers), random, lead, ahead)
    nothing: list[list[Clauses]] = [[()] for _ in numbers]
    video = toybox.play(rooms, nothing, None, lead)
    after = video.states[-1]
    truth = toybox.continue_under(after, asked, CHUNKS, frames_per_chunk)
    unasked = toybox.continue_under(after, (), CHUNKS, frames_per_chunk)
    trials = []
    for row, number in enumerate(numbers):
        split = SPLITS[row % 2]
        facts = after.facts[row]
        trials.append(
            Trial(
                number=number,
                asked=asked,
                prompt=clause_words(asked, random, split),
                split=split,
                standing=facts.light if asked.kind == "light" else facts.gravity,
                seed=random.randrange(2**62),
                video=video.pixels[row].numpy(),
                truth=truth.pixels[row].numpy(),
                unasked=unasked.pixels[row].numpy(),
            )
        )
    return trials


def _starts(asked: Meaning, need: int, random: Random, lead: int, ahead: int) -> State:
    """``need`` rooms under another standing condition, in which the asked change will show."""
    world = toybox.Toybox()
    generator = torch.Generator().manual_seed(random.randrange(2**62))
    kept: list[State] = []
    while len(kept) < need:
        rooms = world.sample(2 * need + 4, generator)
        rooms = world.apply(rooms, [_standing(asked, random) for _ in rooms.facts])
        rooms = _later(world, rooms, REST_FRAMES if asked.kind == "gravity" else LIGHT_FRAMES)
        shows = _will_show(world, rooms, asked, lead, ahead)
        kept += [_rows(rooms, [row]) for row, good in enumerate(shows) if good]
    return _joined(kept[:need])


def _standing(asked: Meaning, random: Random) -> Clauses:
    """Another gravity that objects rest under, or the other light."""
    if asked.kind == "light":
        return (Meaning("light", "night" if asked.value == "day" else "day"),)
    others = [way for way in DIRECTIONS if way not in (asked.value, "none")]
    return (Meaning("gravity", random.choice(others)),)


def _later(world: toybox.Toybox, rooms: State, frames: int) -> State:
    for _ in range(frames):
        rooms = world.step(rooms)
    return rooms


def _will_show(
    world: toybox.Toybox, rooms: State, asked: Meaning, lead: int, ahead: int
) -> list[bool]:
    if asked.kind == "light":
        return [True] * len(rooms.facts)
    before = _later(world, rooms, lead)
    after = _later(world, world.apply(before, [(asked,)] * len(rooms.facts)), ahead)
    way = torch.tensor(DIRECTIONS[asked.value])
    moved = (_centre(after) - _centre(before)) @ way / UNIT
    return [bool(enough) for enough in moved >= LEAST_MOVE]


def _centre(rooms: State) -> Tensor:
    """[B, 2]: common centre of the objects, weighted by their size."""
    weight = (rooms.extent**2 * rooms.alive).unsqueeze(-1)
    return (rooms.position * weight).sum(1) / weight.sum(1)


def _rows(rooms: State, rows: list[int]) -> State:
    def picked(value: Any) -> Any:
        return tuple(value[row] for row in rows) if isinstance(value, tuple) else value[rows]

    return State(**{field.name: picked(getattr(rooms, field.name)) for field in fields(State)})


def _joined(rooms: list[State]) -> State:
    def all_of(name: str) -> Any:
        values = [getattr(room, name) for room in rooms]
        return torch.cat(values) if isinstance(values[0], Tensor) else sum(values, ())

    return State(**{field.name: all_of(field.name) for field in fields(State)})
