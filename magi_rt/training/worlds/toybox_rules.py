"""What prompts do to the toybox as they take hold: what is there, what pulls, what gets a kick."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.training.worlds.base import Clauses
from magi_rt.training.worlds.toybox_physics import facts_after, resting
from magi_rt.training.worlds.toybox_scene import (
    DIRECTIONS,
    HIGH,
    LOW,
    SMALL,
    UNIT,
    Facts,
    State,
    gravity_of,
    pace_of,
    places_of,
)

JUMP = 100.0
PUSH = 90.0
"""Units per second that a jump and a push give."""
FLOAT_AWAY = 16.0
"""Units per second that everything gets, away from the wall it rests on, as gravity goes."""
ELBOW_ROOM = 1.5
"""Units that a new object keeps from others if it can."""


def apply(state: State, clauses: list[Clauses]) -> State:
    """The state with each clip's prompt taking hold, as a chunk starts.

    Lasting clauses change the facts once; jump, push and wind act as long as they are applied.
    """
    velocity = _kicked(state, clauses)
    after = tuple(facts_after(f, c) for f, c in zip(state.facts, clauses, strict=True))
    device = state.position.device
    gravity, pace = gravity_of(after, device), pace_of(after, device)
    lets_go = (gravity.abs().sum(-1) == 0) & (state.gravity.abs().sum(-1) > 0)
    lift = torch.where(lets_go.view(-1, 1, 1), -FLOAT_AWAY * state.gravity.unsqueeze(1), 0.0)
    winds = [
        next((DIRECTIONS[c.value] for c in clip if c.kind == "wind"), (0.0, 0.0))
        for clip in clauses
    ]
    state = _refilled(replace(state, velocity=velocity + lift), after)
    moves = state.alive & (pace > 0).unsqueeze(-1)
    return replace(
        state,
        velocity=torch.where(moves.unsqueeze(-1), state.velocity, 0.0),
        gravity=gravity,
        pace=pace,
        wind=torch.tensor(winds, device=device),
    )


def _refilled(state: State, after: tuple[Facts, ...]) -> State:
    """The state with the things of new facts; what is gone keeps its look, to fade out in it."""
    if after == state.facts:
        return state
    alive, half, rounding, colour = places_of(after, state.position.device)
    arrived = alive & ~state.alive
    colour = torch.where(alive, colour, state.colour)
    turned = (colour != state.colour) & ~arrived
    before = torch.where(turned, state.colour, state.colour_before)
    mix = torch.where(turned, 0.0, state.colour_mix)
    position, velocity = state.position, state.velocity
    if arrived.any():
        position, velocity = position.clone(), velocity.clone()
        for row, place in arrived.nonzero().tolist():
            position[row, place] = _entrance(state, row, after[row].gravity)
            velocity[row, place] = 0.0
    return replace(
        state,
        facts=after,
        position=position,
        velocity=velocity,
        half=torch.where(alive, half, state.half),
        rounding=torch.where(alive, rounding, state.rounding),
        alive=alive,
        opacity=torch.where(arrived, 0.0, state.opacity),
        colour=colour,
        colour_before=torch.where(arrived, colour, before),
        colour_mix=torch.where(arrived, 1.0, mix),
    )


def _entrance(state: State, row: int, gravity: str) -> Tensor:
    """[2]: where a small new object comes in: by the wall that the pull comes from, or high up.

    The free spot nearest to that wall, then nearest to its middle; the freest if none is free.
    """
    device = state.position.device
    spots = [torch.linspace(LOW[a] + SMALL, HIGH[a] - SMALL, 17, device=device) for a in (0, 1)]
    spot = torch.cartesian_prod(*spots)
    pull = torch.tensor(DIRECTIONS[gravity], device=device)
    if gravity == "none":
        wanted = torch.tensor(((LOW[0] + HIGH[0]) / 2, LOW[1] + (HIGH[1] - LOW[1]) / 4))
        cost = (spot - wanted.to(device)).norm(dim=-1)
    else:
        middle = spot.mean(0)
        sideways = ((spot - middle) * (1 - pull.abs())).abs().sum(-1)
        cost = 4 * (spot @ pull) + sideways
    others = state.position[row, state.alive[row]]
    reach = state.extent[row, state.alive[row]] + SMALL
    gap = (spot.unsqueeze(1) - others).abs().amax(-1) - reach
    room = torch.cat([gap, torch.full_like(cost, UNIT).unsqueeze(1)], 1).amin(1)
    free = room > ELBOW_ROOM
    best = torch.where(free, cost, torch.inf).argmin() if free.any() else room.argmax()
    return spot[best]


def _kicked(state: State, clauses: list[Clauses]) -> Tensor:
    """Velocities [B, N, 2] after jumps (only from rest) and pushes."""
    if not any(c.kind in ("jump", "push") for clip in clauses for c in clip):
        return state.velocity
    velocity, may_jump = state.velocity.clone(), resting(state).tolist()
    for row, (room, clip) in enumerate(zip(state.facts, clauses, strict=True)):
        places = {thing.colour: thing.place for thing in room.things}
        for clause in clip:
            if clause.kind not in ("jump", "push") or clause.thing not in places:
                continue
            place = places[clause.thing]
            floating = room.gravity == "none"
            if clause.kind == "jump" and not (floating or may_jump[row][place]):
                continue
            pull = DIRECTIONS["down" if floating else room.gravity]
            way = DIRECTIONS[clause.value] if clause.kind == "push" else (-pull[0], -pull[1])
            speed = PUSH if clause.kind == "push" else PUSH / 2 if floating else JUMP
            for axis in (0, 1):
                if way[axis]:
                    velocity[row, place, axis] = way[axis] * speed
    return velocity
