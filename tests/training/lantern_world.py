"""A whole world in one file: a lantern swings on a rope and takes the colours it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from magi_rt.training.worlds.base import FRAME_RATE, Prompt

COLOURS = {"red": (230.0, 50.0, 40.0), "green": (50.0, 190.0, 80.0), "white": (240.0, 240.0, 230.0)}
SWING = {"swings wide": 1.0, "hangs still": 0.0}


@dataclass(frozen=True)
class State:
    """Per clip [B]: angle of the rope, its speed, how far it is to swing, and the colour's name."""

    angle: Tensor
    speed: Tensor
    reach: Tensor
    colour: tuple[str, ...]


class Lantern:
    """Prompts name a colour or how the lantern swings; both hold until changed."""

    def __init__(self, size: int) -> None:
        self.size = size

    def sample(self, batch: int, generator: torch.Generator) -> State:
        angle = torch.rand(batch, generator=generator) * 2 - 1
        picks = torch.randint(len(COLOURS), (batch,), generator=generator).tolist()
        colour = tuple(list(COLOURS)[pick] for pick in picks)
        return State(angle, torch.zeros(batch), torch.ones(batch), colour)

    def caption(self, state: State, row: int, random: Random, split: str) -> Prompt:
        return Prompt(f"a {state.colour[row]} lantern on a rope", ())

    def prompt(self, state: State, row: int, random: Random, split: str) -> Prompt:
        others = [name for name in COLOURS if name != state.colour[row]]
        asked = random.choice([*others, *SWING])
        return Prompt(f"the lantern {asked if asked in SWING else 'turns ' + asked}", asked)

    def apply(self, state: State, meanings: Sequence[str]) -> State:
        colour = tuple(
            asked if asked in COLOURS else now
            for asked, now in zip(meanings, state.colour, strict=True)
        )
        reach = [SWING.get(asked, float(r)) for asked, r in zip(meanings, state.reach, strict=True)]
        return replace(state, colour=colour, reach=torch.tensor(reach))

    def step(self, state: State) -> State:
        push = torch.where(state.reach > 0, (1 - state.angle.abs()).clamp(-1, 1), -3.0)
        speed = state.speed + (push * state.speed - 9 * state.angle.sin()) / FRAME_RATE
        return replace(state, angle=state.angle + speed / FRAME_RATE, speed=speed)

    def render(self, state: State) -> Tensor:
        line = (torch.arange(self.size) + 0.5) / self.size
        x = 0.5 + 0.6 * state.angle.sin().view(-1, 1, 1)
        y = 0.6 * state.angle.cos().view(-1, 1, 1)
        far = (line - x).square() + (line.view(-1, 1) - y).square()
        glow = torch.exp(-far / 0.02).unsqueeze(-1)
        colour = torch.tensor([COLOURS[name] for name in state.colour]).view(-1, 1, 1, 3)
        return (20 + glow * (colour - 20)).clamp(0, 255).to(torch.uint8)
