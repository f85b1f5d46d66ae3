"""The toybox at the pace of play: things come to rest, and a prompt holds for a second or more.

The toybox itself asks for much in little time, so that every clip shows many changes. What it
hardly shows is what a player sees most: a room at rest, one prompt, and all that follows from it
until things rest again. Here that is the rule, and pulls and paces are asked for more often.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch

from magi_rt.training.worlds.base import Clauses, Meaning, Prompt
from magi_rt.training.worlds.film import Rhythm, clip_randoms
from magi_rt.training.worlds.toybox import Toybox
from magi_rt.training.worlds.toybox_physics import step
from magi_rt.training.worlds.toybox_prompts import prompt_words
from magi_rt.training.worlds.toybox_rules import apply
from magi_rt.training.worlds.toybox_scene import State
from magi_rt.training.worlds.toybox_script import draw_clauses, seen_in, standing_clause

KINDS = {
    "gravity": 0.5,
    "light": 0.08,
    "weather": 0.09,
    "wind": 0.12,
    "jump": 0.14,
    "push": 0.1,
    "colour": 0.15,
    "pace": 0.3,
    "appear": 0.08,
    "vanish": 0.08,
}
"""As in ``toybox_script``."""
PULLED = 0.6
"""Share of rooms whose pull is drawn anew, all ways alike; things begin on any wall."""
PULLS = ("down", "up", "left", "right", "none")
PACED = {"slow": 0.1, "freeze": 0.22}
"""Shares of rooms in which time does not go at its normal pace."""
RESTATED = 0.08
"""Share of prompts that say again what holds already."""
SETTLED = 0.65
"""Share of rooms that have been left alone before their clip begins,"""
SETTLING = 120
"""for so many frames, after which things lie still wherever something pulls."""


class CalmToybox(Toybox):
    """The same rooms, rules, words and pictures as the toybox; other scripts."""

    rhythm = Rhythm(empty=0.15, caption=0.75, quiet=0.08, change=0.33)

    def sample(self, batch: int, generator: torch.Generator) -> State:
        state = super().sample(batch, generator)
        randoms = clip_randoms(batch, generator)
        state = apply(state, [_standing(random) for random in randoms])
        later = state
        for _ in range(SETTLING):
            later = step(later)
        left = torch.tensor([random.random() < SETTLED for random in randoms])
        settled = left.to(later.position.device).view(-1, 1, 1)
        return replace(
            state,
            position=torch.where(settled, later.position, state.position),
            velocity=torch.where(settled, later.velocity, state.velocity),
        )

    def prompt(self, state: State, row: int, random: Random, split: str = "train") -> Prompt:
        facts = state.facts[row]
        if random.random() < RESTATED:
            clauses: Clauses = (standing_clause(facts, random),)
        else:
            clauses = draw_clauses(facts, random, seen_in(state, row), KINDS)
        return Prompt(prompt_words(clauses, random, split), clauses)


def _standing(random: Random) -> Clauses:
    """What held long before a clip begins."""
    clauses = []
    if random.random() < PULLED:
        clauses.append(Meaning("gravity", random.choice(PULLS)))
    chance = random.random()
    for pace, share in PACED.items():
        if 0 <= chance < share:
            clauses.append(Meaning("pace", pace))
        chance -= share
    return tuple(clauses)
