"""The toybox's state: what is in the room, where, and under which sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

PLACES = 3
"""Objects at most; an empty place is kept as a dead object, so that batches stay rectangular."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
WEATHERS = ("clear", "rain", "snow")
DIRECTIONS = {
    "down": (0.0, 1.0),
    "up": (0.0, -1.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "none": (0.0, 0.0),
}
OPPOSITE = {"down": "up", "up": "down", "left": "right", "right": "left"}

UNIT = 64.0
"""The room is simulated as a picture of 64 pixels; other sizes are scaled when drawn."""
LOW = (2.0, 2.0)
HIGH = (62.0, 59.0)
"""Inner edges of the room (x, y); the band below is the floor."""
SMALL, LARGE = 6.0, 9.0
CORNER = 1.5
"""Rounding of a box's corners."""
WEATHER_PERIOD = 72
"""Frames after which drops and flakes are where they were."""


@dataclass(frozen=True)
class Thing:
    """One object as words: its present colour, shape and whether it is large."""

    colour: str
    shape: str
    large: bool


@dataclass(frozen=True)
class Facts:
    """One room as words; prompts are chosen, and take hold, on these."""

    things: tuple[Thing, ...]
    gravity: str
    light: str
    weather: str


@dataclass(frozen=True)
class State:
    """B rooms. Lengths in room units (64 a side), velocities in units per second.

    ``facts`` [B]; ``position``, ``velocity`` float32 [B, N, 2]; ``half`` float32 [B, N]: half side
    of the core box (0 for balls); ``rounding`` float32 [B, N]: its rounding (a ball's radius);
    ``alive`` bool [B, N]; ``gravity``, ``wind`` float32 [B, 2]: unit vectors or zero;
    ``colour``, ``colour_before`` int64 [B, N], ``colour_mix`` float32 [B, N]: share of the new
    colour; ``light`` float32 [B]: 1 day, 0 night; ``falling`` float32 [B, 2]: how much rain, snow;
    ``clock`` float32 [B]: frames, for the drops.
    """

    facts: tuple[Facts, ...]
    position: Tensor
    velocity: Tensor
    half: Tensor
    rounding: Tensor
    alive: Tensor
    gravity: Tensor
    wind: Tensor
    colour: Tensor
    colour_before: Tensor
    colour_mix: Tensor
    light: Tensor
    falling: Tensor
    clock: Tensor

    @property
    def extent(self) -> Tensor:
        """float32 [B, N]: radius of balls, half side of boxes."""
        return self.half + self.rounding


def draw_facts(random: Random) -> Facts:
    """One random room as words; no two objects share a colour."""
    count = random.choice((1, 2, 2, 3))
    colours = random.sample(COLOURS, count)
    things = tuple(
        Thing(colour, random.choice(("ball", "ball", "box")), random.random() < 0.5)
        for colour in colours
    )
    gravity = random.choices(tuple(DIRECTIONS), (0.52, 0.12, 0.12, 0.12, 0.12))[0]
    light = "day" if random.random() < 0.6 else "night"
    weather = random.choices(WEATHERS, (0.6, 0.2, 0.2))[0]
    return Facts(things, gravity, light, weather)


def _extents(facts: Facts) -> list[float]:
    return [LARGE if thing.large else SMALL for thing in facts.things]


def _place_in_row(facts: Facts, random: Random) -> list[tuple[float, float]]:
    """Centres of objects at rest side by side on the wall that gravity pulls to."""
    extents = _extents(facts)
    axis = 1 if facts.gravity in ("left", "right") else 0
    order = random.sample(range(len(extents)), len(extents))
    room = HIGH[axis] - LOW[axis]
    spare = max(0.0, room - 2 * sum(extents) - 0.2)
    cuts = sorted(random.random() * spare for _ in extents)
    along, edge = LOW[axis] + 0.1, 0.0
    centres = [(0.0, 0.0)] * len(extents)
    for cut, index in zip(cuts, order, strict=True):
        extent = extents[index]
        middle = along + (cut - edge) + extent
        other = 1 - axis
        far = facts.gravity in ("down", "right", "none")
        wall = HIGH[other] - extent if far else LOW[other] + extent
        centres[index] = (middle, wall) if axis == 0 else (wall, middle)
        along, edge = middle + extent, cut
    return centres


def _place_freely(facts: Facts, random: Random) -> list[tuple[float, float]]:
    """Centres anywhere in the room, apart from each other; a row when luck runs out."""
    extents = _extents(facts)
    for _ in range(20):
        centres = [tuple(random.uniform(LOW[a] + e, HIGH[a] - e) for a in (0, 1)) for e in extents]
        apart = all(
            max(abs(centres[i][0] - centres[j][0]), abs(centres[i][1] - centres[j][1]))
            > extents[i] + extents[j]
            for i in range(len(extents))
            for j in range(i)
        )
        if apart:
            return [(x, y) for x, y in centres]
    return _place_in_row(facts, random)


def _padded(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return rows + [(UNIT / 2, UNIT / 2)] * (PLACES - len(rows))


def draw_state(batch: int, generator: torch.Generator, device: torch.device | str) -> State:
    """``batch`` random rooms, about half of them with objects at rest, the others in flight."""
    seeds = torch.randint(2**62, (batch,), generator=generator).tolist()
    facts, centres, speeds, clocks = [], [], [], []
    for seed in seeds:
        random = Random(seed)
        room = draw_facts(random)
        resting = random.random() < 0.45 and room.gravity != "none"
        places = _place_in_row(room, random) if resting else _place_freely(room, random)
        top = 0.0 if resting else 30.0 if room.gravity == "none" else 60.0
        facts.append(room)
        centres.append(_padded(places))
        speeds.append(
            [(random.uniform(-top, top), random.uniform(-top, top)) for _ in range(PLACES)]
        )
        clocks.append(float(random.randrange(WEATHER_PERIOD)))
    return _as_tensors(tuple(facts), centres, speeds, clocks, torch.device(device))


def _as_tensors(
    facts: tuple[Facts, ...],
    centres: list[list[tuple[float, float]]],
    speeds: list[list[tuple[float, float]]],
    clocks: list[float],
    device: torch.device,
) -> State:
    filler = Thing("red", "ball", False)
    rows = [[*room.things, *[filler] * (PLACES - len(room.things))] for room in facts]
    box = torch.tensor([[t.shape == "box" for t in row] for row in rows], device=device)
    extent = torch.tensor([[LARGE if t.large else SMALL for t in row] for row in rows])
    alive = [[place < len(room.things) for place in range(PLACES)] for room in facts]
    extent = extent.to(device)
    colour = torch.tensor([[COLOURS.index(t.colour) for t in row] for row in rows], device=device)
    state = State(
        facts=facts,
        position=torch.tensor(centres, device=device),
        velocity=torch.tensor(speeds, device=device),
        half=torch.where(box, extent - CORNER, 0.0),
        rounding=torch.where(box, CORNER, extent),
        alive=torch.tensor(alive, device=device),
        gravity=torch.zeros(len(facts), 2, device=device),
        wind=torch.zeros(len(facts), 2, device=device),
        colour=colour,
        colour_before=colour,
        colour_mix=torch.ones(colour.shape, device=device),
        light=torch.tensor([float(room.light == "day") for room in facts], device=device),
        falling=falling_of(facts, device),
        clock=torch.tensor(clocks, device=device),
    )
    return replace(state, gravity=gravity_of(facts, device))


def gravity_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B, 2]: unit vectors of the pull, zero where things float."""
    return torch.tensor([DIRECTIONS[room.gravity] for room in facts], device=device)


def falling_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B, 2]: 1 where it is to rain, to snow."""
    kinds = [[float(room.weather == kind) for kind in WEATHERS[1:]] for room in facts]
    return torch.tensor(kinds, device=device)
