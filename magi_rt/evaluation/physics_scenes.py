"""Scenes for physics: things in motion, what the simulator makes of them, and two simpler guesses.

Things float and bounce, or fall because gravity has just turned, at normal speed or in slow motion.
Only scenes are used in which things keep moving, and in which going straight on would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.evaluation.trials import joined, rows_of
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import FRAME_RATE, Clauses, Meaning
from magi_rt.training.worlds.film import run_chunk
from magi_rt.training.worlds.toybox_physics import TEMPO
from magi_rt.training.worlds.toybox_prompts import phrasings
from magi_rt.training.worlds.toybox_scene import DIRECTIONS, HIGH, LOW, State, perturbed

GIVEN, PREDICTED = FRAME_RATE, 3 * FRAME_RATE
"""Frames: one second given, three predicted."""
CHUNK = 8
"""Frames before the cut at which gravity turns, where things do not float."""
GOING = 0.6
"""Units per frame from which a thing counts as moving: masks of motion hardly see less."""
LEAST_MOVING = {"video": 0.35, "image": 0.25}
"""Share of the predicted frames in which something must move."""
LEAST_BENT = 6.0
"""Units between the true places and those straight on, on average, that make a scene worth it."""
FLOATING_SPEED = (25.0, 60.0)
"""Units per second that floating things are given."""
TREMBLE = 0.25
"""Standard deviation of the second take's start: units, and ten times that per second."""
STARTS = ("video", "image")
ROOMS, TRIES = 16, 60
"""Rooms that are tried at once, and how often before giving up."""


@dataclass(frozen=True)
class Scene:
    """What is given and what is true; videos uint8 [F, size, size, 3].

    ``start``: "video" or "image". ``given``: GIVEN frames, or one. ``prompt``: the words of the
    gravity that holds. ``true``, ``again``, ``straight``: PREDICTED frames of the simulator, of
    its second take, and of straight lines.
    """

    start: str
    prompt: str
    seed: int
    given: Pixels
    true: Pixels
    again: Pixels
    straight: Pixels


def draw_scenes(
    count: int, seed: int, *, size: int = 64, starts: Sequence[str] = STARTS
) -> Iterator[Scene]:
    """``count`` scenes of each start, drawn as they are taken; the same numbers give the same.

    OptionError for fewer than one.
    """
    if count < 1:
        raise OptionError(f"scenes is {count}; at least 1 is needed", field="scenes")
    for start in starts:
        random = Random(f"{seed} physics {start}")
        fit = _fit_rooms(start, random)
        for _ in range(count):
            yield _drawn(start, next(fit), random, toybox.Toybox(size))


def straight_on(state: State, frames: int) -> list[State]:
    """Every thing goes on with its present velocity, through all others, until it meets a wall."""
    extent = state.extent.unsqueeze(-1)
    low, high = torch.tensor(LOW) + extent, torch.tensor(HIGH) - extent
    per_frame = state.velocity * state.pace.view(-1, 1, 1) * (TEMPO / FRAME_RATE)
    states = []
    for frame in range(1, frames + 1):
        moved = state.position + frame * per_frame
        position = torch.minimum(torch.maximum(moved, low), high)
        states.append(replace(state, position=position))
    return states


def _fit_rooms(start: str, random: Random) -> Iterator[list[State]]:
    """The frames before the cut of one fit room after the other; in turns floating and falling."""
    makers = (_floating, _falling, _floating, _falling_slowly) if start == "video" else (_held,)
    waiting: list[list[list[State]]] = [[] for _ in makers]
    turn = 0
    while True:
        place = turn % len(makers)
        tries = 0
        while not waiting[place]:
            tries += 1
            if tries > TRIES:  # a fault of the rules above or of the toybox
                raise AssertionError(f"no {start} scene by {makers[place].__name__}")
            world = toybox.Toybox()
            rooms = world.sample(ROOMS, torch.Generator().manual_seed(random.randrange(2**62)))
            rooms = run_chunk(world, rooms, _all(Meaning("weather", "clear")), CHUNK)[-1]
            lead = makers[place](world, rooms, random)
            fit = _fit(lead[-1], LEAST_MOVING[start])
            waiting[place] = [[rows_of(s, [row]) for s in lead] for row in fit]
        yield waiting[place].pop()
        turn += 1


def _all(*clauses: Meaning) -> list[Clauses]:
    return [clauses] * ROOMS


def _floating(world: toybox.Toybox, rooms: State, random: Random) -> list[State]:
    rooms = world.apply(rooms, _all(Meaning("gravity", "none")))
    noise = torch.Generator().manual_seed(random.randrange(2**62))
    least, most = FLOATING_SPEED
    speed = least + (most - least) * torch.rand(rooms.position.shape[:2], generator=noise)
    angle = 2 * torch.pi * torch.rand(speed.shape, generator=noise)
    velocity = torch.stack([angle.cos(), angle.sin()], -1) * (speed * rooms.alive).unsqueeze(-1)
    return run_chunk(world, replace(rooms, velocity=velocity), _all(), GIVEN)


def _falling(world: toybox.Toybox, rooms: State, random: Random) -> list[State]:
    lead = run_chunk(world, rooms, _all(), GIVEN - CHUNK)
    turned: list[Clauses] = [(Meaning("gravity", _other(r.gravity, random)),) for r in rooms.facts]
    return lead + run_chunk(world, lead[-1], turned, CHUNK)


def _falling_slowly(world: toybox.Toybox, rooms: State, random: Random) -> list[State]:
    return _falling(world, world.apply(rooms, _all(Meaning("pace", "slow"))), random)


def _held(world: toybox.Toybox, rooms: State, random: Random) -> list[State]:
    """Things at rest in mid-air, let go at the cut: a picture does not tell speeds."""
    frozen = run_chunk(world, rooms, _all(Meaning("pace", "freeze")), CHUNK)[-1]
    free: list[Clauses] = [
        (Meaning("pace", "normal"), Meaning("gravity", _other(room.gravity, random)))
        for room in rooms.facts
    ]
    return [world.apply(frozen, free)]


def _other(gravity: str, random: Random) -> str:
    return random.choice([way for way in DIRECTIONS if way not in ("none", gravity)])


def _fit(rooms: State, least_moving: float) -> list[int]:
    """The rooms in which things keep moving, and not straight on."""
    true = torch.stack([state.position for state in _later(toybox.Toybox(), rooms)])
    guess = torch.stack([state.position for state in straight_on(rooms, PREDICTED)])
    went = (true[1:] - true[:-1]).norm(dim=-1)  # [frames, rooms, places]
    moving = ((went >= GOING) & rooms.alive).any(-1).float().mean(0)
    bent = _mean_of_things((true - guess).norm(dim=-1).mean(0), rooms.alive)
    return torch.nonzero((moving >= least_moving) & (bent >= LEAST_BENT)).flatten().tolist()


def _mean_of_things(values: Tensor, alive: Tensor) -> Tensor:
    return (values * alive).sum(-1) / alive.sum(-1).clamp(min=1)


def _drawn(start: str, lead: list[State], random: Random, world: toybox.Toybox) -> Scene:
    cut = lead[-1]
    noise = torch.Generator().manual_seed(random.randrange(2**62))
    return Scene(
        start=start,
        prompt=phrasings("gravity", cut.facts[0].gravity, "train")[0],
        seed=random.randrange(2**62),
        given=_pictures(world, lead),
        true=_pictures(world, _later(world, cut)),
        again=_pictures(world, _later(world, perturbed(cut, noise, TREMBLE))),
        straight=_pictures(world, straight_on(cut, PREDICTED)),
    )


def _later(world: toybox.Toybox, state: State) -> list[State]:
    nothing: list[Clauses] = [()] * len(state.facts)
    return list(run_chunk(world, state, nothing, PREDICTED))


def _pictures(world: toybox.Toybox, states: Sequence[State]) -> Pixels:
    pictures: Pixels = world.render(joined(states)).numpy()
    return pictures
