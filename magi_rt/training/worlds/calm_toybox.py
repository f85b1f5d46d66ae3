"""The toybox at the pace of play: things come to rest, and a prompt holds for a second or more.

The toybox itself asks for much in little time, so that every clip shows many changes. What it
hardly shows is what a player sees most: a room at rest, one prompt, and all that follows from it
until things rest again. Here that is the rule, and pulls and paces are asked for more often.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from magi_rt.training.worlds.base import Clauses, Meaning, Prompt
from magi_rt.training.worlds.film import Rhythm, clip_randoms
from magi_rt.training.worlds.toybox import Toybox
from magi_rt.training.worlds.toybox_physics import step
from magi_rt.training.worlds.toybox_prompts import prompt_words
from magi_rt.training.worlds.toybox_rules import apply
from magi_rt.training.worlds.toybox_scene import State
from magi_rt.training.worlds.toybox_script import draw_clauses, seen_in, standing_clause

KINDS = {
    "gravity": 0.6,
    "light": 0.08,
    "weather": 0.09,
    "wind": 0.12,
    "jump": 0.14,
    "push": 0.1,
    "colour": 0.2,
    "pace": 0.25,
    "appear": 0.08,
    "vanish": 0.08,
}
"""As in ``toybox_script``."""
PULLED = 0.6
"""Share of rooms whose pull is drawn anew, all ways alike; things begin on any wall."""
PULLS = ("down", "up", "left", "right", "none")
PACED = {"slow": 0.12, "freeze": 0.18}
"""Shares of rooms in which time does not go at its normal pace."""
SLOWED = 0.35
"""Share of prompts to rooms in full motion that slow it down: how slowly things go is a small
difference in the picture, seen only where nothing else holds them up."""
BRISK = 20.0
"""Units per second from which motion is fast enough for that."""
LET_GO = 0.18
"""Share of prompts to rooms with a pull that end it."""
RESTATED = 0.15
"""Share of prompts that say again what holds already."""
SETTLED = 0.65
"""Share of rooms that have been left alone before their clip begins,"""
SETTLING = 120
"""for so many frames, after which things lie still wherever something pulls; where nothing does,
they would only have lost their speed."""
CAUGHT = (6, 9, 12, 15, 18)
"""Frames after which time was stopped in a room in which it stands still."""


class CalmToybox(Toybox):
    """The same rooms, rules, words and pictures as the toybox; other scripts."""

    rhythm = Rhythm(empty=0.15, caption=0.75, quiet=0.08, change=0.33)

    def sample(self, batch: int, generator: torch.Generator) -> State:
        state = super().sample(batch, generator)
        randoms = clip_randoms(batch, generator)
        rooms = zip(state.facts, randoms, strict=True)
        standing = [_standing(facts.gravity, random) for facts, random in rooms]
        state = apply(state, [pull for pull, _ in standing])
        paces = [pace for _, pace in standing]
        floats = [facts.gravity == "none" for facts in state.facts]
        ages = torch.tensor(list(map(_age, paces, floats, randoms)))
        state = _aged(state, ages.to(state.position.device))
        return apply(state, paces)

    def prompt(self, state: State, row: int, random: Random, split: str = "train") -> Prompt:
        facts = state.facts[row]
        seen = seen_in(state, row)
        clauses = _favoured(state, row, random)
        if not clauses and random.random() < RESTATED:
            clauses = (standing_clause(facts, random),)
        clauses = clauses or draw_clauses(facts, random, seen, KINDS)
        return Prompt(prompt_words(clauses, random, split), clauses)


def _favoured(state: State, row: int, random: Random) -> Clauses:
    """What is asked for more often than chance would, where it shows well; or nothing."""
    facts = state.facts[row]
    speed = float((state.velocity[row].norm(dim=-1) * state.alive[row]).max())
    chance = random.random()
    if facts.pace == "normal" and facts.gravity == "none" and speed > BRISK and chance < SLOWED:
        return (Meaning("pace", "slow"),)
    if facts.pace == "normal" and facts.gravity != "none" and chance < LET_GO:
        return (Meaning("gravity", "none"),)
    return ()


def _standing(drawn: str, random: Random) -> tuple[Clauses, Clauses]:
    """What held before a clip begins: the pull, and the pace, which came last.

    A room that stands still always got another pull than was ``drawn``, so that things are on
    their way.
    """
    pull: Clauses = ()
    pace: Clauses = ()
    chance = random.random()
    for name, share in PACED.items():
        if 0 <= chance < share:
            pace = (Meaning("pace", name),)
        chance -= share
    if _stands_still(pace):
        pull = (Meaning("gravity", random.choice([way for way in PULLS if way != drawn])),)
    elif random.random() < PULLED:
        pull = (Meaning("gravity", random.choice(PULLS)),)
    return pull, pace


def _stands_still(pace: Clauses) -> bool:
    return any(clause.value == "freeze" for clause in pace)


def _age(pace: Clauses, floats: bool, random: Random) -> int:
    """For how many frames a room was left alone before its clip; one that stands still was caught
    in full motion, so that much is to happen when time goes on."""
    if _stands_still(pace):
        return random.choice(CAUGHT)
    if floats:
        return 0
    return SETTLING if random.random() < SETTLED else 0


def _aged(state: State, ages: Tensor) -> State:
    """Every room as it is after so many frames [B]; its clock stays."""
    position, velocity, later = state.position, state.velocity, state
    for age in range(1, SETTLING + 1):
        later = step(later)
        now = (ages == age).view(-1, 1, 1)
        position = torch.where(now, later.position, position)
        velocity = torch.where(now, later.velocity, velocity)
    return replace(state, position=position, velocity=velocity)
