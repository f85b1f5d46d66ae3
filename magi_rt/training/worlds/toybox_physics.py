"""How the toybox moves: rounded boxes under gravity and wind, in a room, all clips at once.

A ball is a point with a large rounding, a box a core box with a small one. The gap between two
of them is the distance of their core boxes less both roundings, so one formula serves every pair.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.training.worlds.base import FRAME_RATE, Clauses
from magi_rt.training.worlds.toybox_scene import (
    COLOURS,
    DIRECTIONS,
    HIGH,
    LOW,
    PLACES,
    WEATHER_PERIOD,
    Facts,
    State,
    falling_of,
    gravity_of,
)

GRAVITY = 200.0
WIND = 170.0
JUMP = 100.0
PUSH = 90.0
FLOAT_AWAY = 16.0
"""Units per second that everything gets, away from the wall it rests on, as gravity goes."""
TOP_SPEED = 150.0
BOUNCE = 0.5
BOUNCE_FLOATING = 0.8
QUIET = 25.0
"""Impacts slower than this do not bounce, so that things come to rest."""
FRICTION = 0.25
GRIP = 0.06
"""Share of the sliding speed that two touching objects lose per substep."""
NEAR = 0.6
"""Units within which an object counts as resting on something."""
SUBSTEPS = 3
FADE_FRAMES = 5
"""Frames that changes of light, weather and colour take."""

FIRST, SECOND = (0, 0, 1), (1, 2, 2)
"""The pairs among three places."""


def gaps(half: Tensor, rounding: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Gap [B, 3] of every pair, negative in overlap, and normals [B, 3, 2] from first to second."""
    first, second = list(FIRST), list(SECOND)
    away = position[:, second] - position[:, first]
    core = away.abs() - (half[:, first] + half[:, second]).unsqueeze(-1)
    outside = core.clamp(min=0)
    distance = outside.norm(dim=-1)
    inside = core.amax(-1).clamp(max=0)
    axis = torch.nn.functional.one_hot(core.argmax(-1), 2).to(position.dtype)
    direction = torch.where((distance > 1e-4).unsqueeze(-1), outside, axis)
    sign = torch.where(away < 0, -1.0, 1.0)
    normal = direction * sign / direction.norm(dim=-1, keepdim=True)
    gap = distance + inside - rounding[:, first] - rounding[:, second]
    return gap, normal


def _incidence(like: Tensor) -> Tensor:
    """[N, 3]: -1 where a place is first of a pair, +1 where it is second."""
    table = torch.zeros(PLACES, len(FIRST), dtype=like.dtype, device=like.device)
    for pair, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
        table[first, pair], table[second, pair] = -1.0, 1.0
    return table


class _Mover:
    """The constants of one step, so that substeps do not make them again."""

    def __init__(self, state: State) -> None:
        self.state = state
        like = state.position
        self.incidence = _incidence(like)
        extent = state.extent.unsqueeze(-1)
        self.low = torch.tensor(LOW, device=like.device) + extent
        self.high = torch.tensor(HIGH, device=like.device) - extent
        self.pull = (GRAVITY * state.gravity + WIND * state.wind).unsqueeze(1)
        floating = state.gravity.abs().sum(-1) == 0
        self.bounce = torch.where(floating, BOUNCE_FLOATING, BOUNCE).view(-1, 1, 1)
        self.pair_alive = state.alive[:, list(FIRST)] & state.alive[:, list(SECOND)]
        self.dt = 1.0 / (FRAME_RATE * SUBSTEPS)

    def substep(self, position: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        velocity = (velocity + self.pull * self.dt).clamp(-TOP_SPEED, TOP_SPEED)
        position = position + velocity * self.dt
        position, velocity = self.meet(position, velocity)
        return self.walls(position, velocity)

    def meet(self, position: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Equal impulses along the normal, a little grip across it, and overlaps pushed apart."""
        state = self.state
        gap, normal = gaps(state.half, state.rounding, position)
        touching = ((gap < 0) & self.pair_alive).unsqueeze(-1)
        relative = velocity[:, list(SECOND)] - velocity[:, list(FIRST)]
        closing = (relative * normal).sum(-1, keepdim=True)
        slide = relative - closing * normal
        bounce = torch.where(closing < -QUIET, self.bounce, 0.0)
        push = (-(1 + bounce) * closing).clamp(min=0) * normal - GRIP * slide
        push = torch.where(touching, push, 0.0) * 0.5
        apart = torch.where(touching, -gap.unsqueeze(-1), 0.0) * normal * 0.5
        return position + self.incidence @ apart, velocity + self.incidence @ push

    def walls(self, position: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Bounce off the room's walls, and rub along the one that is pressed against."""
        below, above = position <= self.low, position >= self.high
        into = (below & (velocity < 0)) | (above & (velocity > 0))
        bounce = torch.where(velocity.abs() > QUIET, self.bounce, 0.0)
        velocity = torch.where(into, -bounce * velocity, velocity)
        pressed = (below & (self.pull < 0)) | (above & (self.pull > 0))
        rub = torch.where(pressed, FRICTION * self.pull.abs() * self.dt, 0.0).flip(-1)
        velocity = velocity.sign() * (velocity.abs() - rub).clamp(min=0)
        return torch.minimum(torch.maximum(position, self.low), self.high), velocity


def _toward(now: Tensor, goal: Tensor) -> Tensor:
    return now + (goal - now).clamp(-1 / FADE_FRAMES, 1 / FADE_FRAMES)


def step(state: State) -> State:
    """The state one frame later."""
    mover = _Mover(state)
    position, velocity = state.position, state.velocity
    for _ in range(SUBSTEPS):
        position, velocity = mover.substep(position, velocity)
    device = position.device
    day = torch.tensor([float(room.light == "day") for room in state.facts], device=device)
    return replace(
        state,
        position=position,
        velocity=velocity,
        colour_mix=(state.colour_mix + 1 / FADE_FRAMES).clamp(max=1),
        light=_toward(state.light, day),
        falling=_toward(state.falling, falling_of(state.facts, device)),
        clock=(state.clock + 1) % WEATHER_PERIOD,
    )


def resting(state: State) -> Tensor:
    """bool [B, N]: whether an object has a wall or another object right below it, by gravity."""
    pull = state.gravity.unsqueeze(1)
    extent = state.extent.unsqueeze(-1)
    low = torch.tensor(LOW, device=pull.device) + extent
    high = torch.tensor(HIGH, device=pull.device) - extent
    at_wall = ((state.position < low + NEAR) & (pull < 0)) | (
        (state.position > high - NEAR) & (pull > 0)
    )
    gap, normal = gaps(state.half, state.rounding, state.position)
    alive = state.alive[:, list(FIRST)] & state.alive[:, list(SECOND)]
    near = (gap < NEAR) & alive
    downward = (normal * pull).sum(-1)
    on_second, on_first = near & (downward > 0.5), near & (downward < -0.5)
    on_thing = torch.zeros_like(state.alive)
    for pair, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
        on_thing[:, first] |= on_second[:, pair]
        on_thing[:, second] |= on_first[:, pair]
    return at_wall.any(-1) | on_thing


def facts_after(facts: Facts, clauses: Clauses) -> Facts:
    """One room as words once a prompt's lasting clauses hold."""
    for clause in clauses:
        if clause.kind == "gravity":
            facts = replace(facts, gravity=clause.value)
        elif clause.kind == "light":
            facts = replace(facts, light=clause.value)
        elif clause.kind == "weather":
            facts = replace(facts, weather=clause.value)
        elif clause.kind == "colour":
            things = tuple(
                replace(thing, colour=clause.value) if thing.colour == clause.thing else thing
                for thing in facts.things
            )
            facts = replace(facts, things=things)
    return facts


def apply(state: State, clauses: list[Clauses]) -> State:
    """The state with each clip's prompt taking hold, as a chunk starts.

    Lasting clauses change the facts once; jump, push and wind act as long as they are applied.
    """
    velocity = _kicked(state, clauses)
    after = tuple(facts_after(f, c) for f, c in zip(state.facts, clauses, strict=True))
    device = state.position.device
    gravity = gravity_of(after, device)
    lets_go = (gravity.abs().sum(-1) == 0) & (state.gravity.abs().sum(-1) > 0)
    lift = torch.where(lets_go.view(-1, 1, 1), -FLOAT_AWAY * state.gravity.unsqueeze(1), 0.0)
    names = [[thing.colour for thing in room.things] for room in after]
    rows = [[COLOURS.index(n) for n in row] + [0] * (PLACES - len(row)) for row in names]
    colour = torch.tensor(rows, device=device)
    turned = colour != state.colour
    winds = [
        next((DIRECTIONS[c.value] for c in clip if c.kind == "wind"), (0.0, 0.0))
        for clip in clauses
    ]
    return replace(
        state,
        facts=after,
        velocity=velocity + lift,
        gravity=gravity,
        wind=torch.tensor(winds, device=device),
        colour=colour,
        colour_before=torch.where(turned, state.colour, state.colour_before),
        colour_mix=torch.where(turned, 0.0, state.colour_mix),
    )


def _kicked(state: State, clauses: list[Clauses]) -> Tensor:
    """Velocities [B, N, 2] after jumps (only from rest) and pushes."""
    if not any(c.kind in ("jump", "push") for clip in clauses for c in clip):
        return state.velocity
    velocity, may_jump = state.velocity.clone(), resting(state).tolist()
    for row, (room, clip) in enumerate(zip(state.facts, clauses, strict=True)):
        names = [thing.colour for thing in room.things]
        for clause in clip:
            if clause.kind not in ("jump", "push") or clause.thing not in names:
                continue
            place = names.index(clause.thing)
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
