"""The toybox's state: what is in the room, where, and under which sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

PLACES = 4
"""Objects at most; an empty place is kept as a dead object, so that batches stay rectangular."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
WEATHERS = ("clear", "rain", "snow")
LIGHTS = {"day": 1.0, "dusk": 0.5, "night": 0.0}
PACES = {"normal": 1.0, "slow": 1 / 3, "freeze": 0.0}
"""How fast time goes, for the weather too."""
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
CORNER = 1.2
"""Rounding of a box's corners."""
ROW = 56.0
"""Things are only drawn as large as fits side by side in this length."""
WEATHER_PERIOD = 72
"""Frames after which drops and flakes are where they were."""


@dataclass(frozen=True)
class Thing:
    """One object as words: its present colour, shape and whether it is large; and its place.

    ``place`` is its index among the N places of the tensors, from which it never moves.
    """

    colour: str
    shape: str
    large: bool
    place: int = 0


@dataclass(frozen=True)
class Facts:
    """One room as words; prompts are chosen, and take hold, on these.

    ``things`` holds only what is there; a place may be empty, and be taken again later.
    """

    things: tuple[Thing, ...]
    gravity: str
    light: str
    weather: str
    pace: str = "normal"


@dataclass(frozen=True)
class State:
    """B rooms. Lengths in room units (64 a side), velocities in units per second
    of the room, which are ``TEMPO`` of a second of video.

    ``facts`` [B]; ``position``, ``velocity`` float32 [B, N, 2]; ``half`` float32 [B, N]: half side
    of the core box (0 for balls); ``rounding`` float32 [B, N]: its rounding (a ball's radius);
    ``alive`` bool [B, N]: moves and collides; ``opacity`` float32 [B, N]: how much of it shows,
    which lags behind ``alive``; ``gravity``, ``wind`` float32 [B, 2]: unit vectors or zero;
    ``pace`` float32 [B]: see ``PACES``; ``colour``, ``colour_before`` int64 [B, N],
    ``colour_mix`` float32 [B, N]: share of the new colour; ``light`` float32 [B]: 1 day, 0.5 dusk,
    0 night; ``falling`` float32 [B, 2]: how much rain, snow; ``clock`` float32 [B]: frames of the
    room's own time, for the drops.
    """

    facts: tuple[Facts, ...]
    position: Tensor
    velocity: Tensor
    half: Tensor
    rounding: Tensor
    alive: Tensor
    opacity: Tensor
    gravity: Tensor
    wind: Tensor
    pace: Tensor
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
    count = random.choice((1, 2, 2, 3, 3, 4))
    colours = random.sample(COLOURS, count)
    shapes = [random.choice(("ball", "ball", "box")) for _ in colours]
    large = [random.random() < 0.5 for _ in colours]
    while sum(2 * (LARGE if one else SMALL) for one in large) > ROW:
        large[random.choice([place for place, one in enumerate(large) if one])] = False
    things = tuple(map(Thing, colours, shapes, large, range(count)))
    gravity = random.choices(tuple(DIRECTIONS), (0.52, 0.12, 0.12, 0.12, 0.12))[0]
    light = random.choices(tuple(LIGHTS), (0.5, 0.15, 0.35))[0]
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
    alive, half, rounding, colour = places_of(facts, device)
    velocity = torch.tensor(speeds, device=device) * alive.unsqueeze(-1)
    return State(
        facts=facts,
        position=torch.tensor(centres, device=device),
        velocity=velocity,
        half=half,
        rounding=rounding,
        alive=alive,
        opacity=alive.float(),
        gravity=gravity_of(facts, device),
        wind=torch.zeros(len(facts), 2, device=device),
        pace=pace_of(facts, device),
        colour=colour,
        colour_before=colour,
        colour_mix=torch.ones(colour.shape, device=device),
        light=light_of(facts, device),
        falling=falling_of(facts, device),
        clock=torch.tensor(clocks, device=device),
    )


def places_of(
    facts: tuple[Facts, ...], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per room and place [B, N]: alive (bool), half, rounding (float32), colour (int64).

    Empty places hold a small red ball that is not alive.
    """
    alive = [[False] * PLACES for _ in facts]
    box = [[False] * PLACES for _ in facts]
    extent = [[SMALL] * PLACES for _ in facts]
    colour = [[0] * PLACES for _ in facts]
    for row, room in enumerate(facts):
        for thing in room.things:
            alive[row][thing.place] = True
            box[row][thing.place] = thing.shape == "box"
            extent[row][thing.place] = LARGE if thing.large else SMALL
            colour[row][thing.place] = COLOURS.index(thing.colour)
    boxes, extents = torch.tensor(box, device=device), torch.tensor(extent, device=device)
    half = torch.where(boxes, extents - CORNER, 0.0)
    rounding = torch.where(boxes, CORNER, extents)
    living, colours = torch.tensor(alive, device=device), torch.tensor(colour, device=device)
    return living, half, rounding, colours


def gravity_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B, 2]: unit vectors of the pull, zero where things float."""
    return torch.tensor([DIRECTIONS[room.gravity] for room in facts], device=device)


def falling_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B, 2]: 1 where it is to rain, to snow."""
    kinds = [[float(room.weather == kind) for kind in WEATHERS[1:]] for room in facts]
    return torch.tensor(kinds, device=device)


def light_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B]: the light that is to be."""
    return torch.tensor([LIGHTS[room.light] for room in facts], device=device)


def pace_of(facts: tuple[Facts, ...], device: torch.device) -> Tensor:
    """float32 [B]: how fast time goes."""
    return torch.tensor([PACES[room.pace] for room in facts], device=device)


def perturbed(state: State, generator: torch.Generator, amount: float) -> State:
    """The same rooms, each living object a little elsewhere and a little faster or slower.

    ``amount``: standard deviation, in room units for positions (kept inside the room) and ten
    times that per second for velocities. The generator lives on the CPU.
    """
    device = state.position.device
    noise = amount * torch.randn(2, *state.position.shape, generator=generator)
    moved, faster = noise.to(device) * state.alive.unsqueeze(-1)
    extent = state.extent.unsqueeze(-1)
    low = torch.tensor(LOW, device=device) + extent
    high = torch.tensor(HIGH, device=device) - extent
    position = torch.minimum(torch.maximum(state.position + moved, low), high)
    moving = (state.pace > 0).view(-1, 1, 1)
    velocity = torch.where(moving, state.velocity + 10 * faster, state.velocity)
    return replace(state, position=position, velocity=velocity)
