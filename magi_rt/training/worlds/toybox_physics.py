"""How the toybox moves: rounded boxes under gravity and wind, in a room, all clips at once.

A ball is a point with a large rounding, a box a core box with a small one. The gap between two
of them is the distance of their core boxes less both roundings, so one formula serves every pair.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from magi_rt.training.worlds.base import FRAME_RATE, Clauses, Meaning
from magi_rt.training.worlds.toybox_scene import (
    HIGH,
    LOW,
    PLACES,
    WEATHER_PERIOD,
    Facts,
    State,
    Thing,
    falling_of,
    light_of,
)

TEMPO = 0.6
"""Seconds of the room per second of video. A fall through the room takes a second, three chunks of
eight frames, and nothing crosses more than two of the auto-encoder's patches in four frames."""
GRAVITY = 200.0
WIND = 170.0
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
STILL = 0.02
"""Units per frame; what moves less is stuck, and loses the speed that nobody could see."""
SUBSTEPS = 3
FADE_FRAMES = 5
"""Frames that changes of light and weather take, and that things take to vanish."""
TURN_FRAMES = 2
"""Frames that a thing takes to turn to another colour: within four frames, which are one latent, so
that no chunk's end and no latent is of a colour between, where a world could get stuck."""
APPEAR_FRAMES = 3

PAIRS = tuple(combinations(range(PLACES), 2))
FIRST, SECOND = [first for first, _ in PAIRS], [second for _, second in PAIRS]
"""P pairs of places that may meet."""


def gaps(half: Tensor, rounding: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Gap [B, P] of every pair, negative in overlap, and normals [B, P, 2] from first to second."""
    first, second = FIRST, SECOND
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
    """[N, P]: -1 where a place is first of a pair, +1 where it is second."""
    table = torch.zeros(PLACES, len(PAIRS), dtype=like.dtype, device=like.device)
    for pair, (first, second) in enumerate(PAIRS):
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
        self.pair_alive = state.alive[:, FIRST] & state.alive[:, SECOND]
        self.dt = TEMPO * state.pace.view(-1, 1, 1) / (FRAME_RATE * SUBSTEPS)

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
        relative = velocity[:, SECOND] - velocity[:, FIRST]
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
    """The state one frame later. Fades take frames of the picture, all else the room's own time."""
    mover = _Mover(state)
    position, velocity = state.position, state.velocity
    for _ in range(SUBSTEPS):
        position, velocity = mover.substep(position, velocity)
    moves = state.alive.unsqueeze(-1) & (state.pace > 0).view(-1, 1, 1)
    went = (position - state.position).norm(dim=-1, keepdim=True)
    freely = moves & (went > STILL * state.pace.view(-1, 1, 1))
    device = position.device
    shown = torch.where(state.alive, 1 / APPEAR_FRAMES, -1 / FADE_FRAMES)
    return replace(
        state,
        position=torch.where(moves, position, state.position),
        velocity=torch.where(freely, velocity, 0.0),
        opacity=(state.opacity + shown).clamp(0, 1),
        colour_mix=(state.colour_mix + 1 / TURN_FRAMES).clamp(max=1),
        light=_toward(state.light, light_of(state.facts, device)),
        falling=_toward(state.falling, falling_of(state.facts, device)),
        clock=(state.clock + state.pace) % WEATHER_PERIOD,
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
    alive = state.alive[:, FIRST] & state.alive[:, SECOND]
    near = (gap < NEAR) & alive
    downward = (normal * pull).sum(-1)
    on_second, on_first = near & (downward > 0.5), near & (downward < -0.5)
    on_thing = torch.zeros_like(state.alive)
    for pair, (first, second) in enumerate(PAIRS):
        on_thing[:, first] |= on_second[:, pair]
        on_thing[:, second] |= on_first[:, pair]
    return at_wall.any(-1) | on_thing


def facts_after(facts: Facts, clauses: Clauses) -> Facts:
    """One room as words once a prompt's lasting clauses hold.

    What is asked for but cannot be (a thing that is not there, no free place) changes nothing.
    """
    taken = {thing.place for thing in facts.things}
    for clause in clauses:
        if clause.kind == "gravity":
            facts = replace(facts, gravity=clause.value)
        elif clause.kind == "light":
            facts = replace(facts, light=clause.value)
        elif clause.kind == "weather":
            facts = replace(facts, weather=clause.value)
        elif clause.kind == "pace":
            facts = replace(facts, pace=clause.value)
        elif clause.kind in ("colour", "vanish", "appear"):
            facts = replace(facts, things=_things_after(facts.things, clause, taken))
    return facts


def _things_after(things: tuple[Thing, ...], clause: Meaning, taken: set[int]) -> tuple[Thing, ...]:
    """``taken``: the places that held something before the prompt, which nothing new may take."""
    if clause.kind == "colour":
        return tuple(
            replace(thing, colour=clause.value) if thing.colour == clause.thing else thing
            for thing in things
        )
    if clause.kind == "vanish":
        return tuple(thing for thing in things if thing.colour != clause.thing)
    taken = taken | {thing.place for thing in things}
    free = [place for place in range(PLACES) if place not in taken]
    if not free or clause.value in {thing.colour for thing in things}:
        return things
    return (*things, Thing(clause.value, clause.shape, False, free[0]))
