"""What steering trials ask for: the kinds of prompts, and the rooms in which asking makes sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_scene import (
    COLOURS,
    DIRECTIONS,
    LIGHTS,
    PLACES,
    WEATHERS,
    Facts,
)

WAYS = tuple(way for way in DIRECTIONS if way != "none")
QUICK, REST = 16, 120
"""Frames before the video: after which fades are over, after which things have come to rest."""

Ask = Callable[[Facts, Random], Meaning | None]


@dataclass(frozen=True)
class Kind:
    """A row of the steering table.

    ``standing``: clauses that hold before the video. ``ask``: the change asked of a room, ``None``
    where it makes no sense. ``lead``: frames that the standing clauses have before the video.
    ``late``: what takes hold for the last two chunks of the video, after which a room may not show
    any more what goes on in it.
    """

    name: str
    standing: Callable[[Random], Clauses]
    ask: Ask
    lead: int = QUICK
    late: Callable[[Facts], Clauses] | None = None


def _gravity(value: str) -> Kind:
    others = [way for way in WAYS if way != value]

    def standing(random: Random) -> Clauses:
        return (Meaning("pace", "normal"), Meaning("gravity", random.choice(others)))

    return Kind(f"gravity {value}", standing, _always(Meaning("gravity", value)), REST)


def _shown(kind: str, value: str, all_values: tuple[str, ...]) -> Kind:
    others = [other for other in all_values if other != value]

    def standing(random: Random) -> Clauses:
        return (Meaning(kind, random.choice(others)),)

    return Kind(value, standing, _always(Meaning(kind, value)))


def _always(meaning: Meaning) -> Ask:
    return lambda facts, random: meaning


def _pulled_down(random: Random) -> Clauses:
    return (Meaning("gravity", random.choice(("down", "down", "up"))),)


def _pulled(random: Random) -> Clauses:
    return (Meaning("gravity", random.choice(("down", "down", *WAYS))),)


def _nothing(random: Random) -> Clauses:
    return ()


def _floating(random: Random) -> Clauses:
    return (Meaning("gravity", "none"),)


def _slow_or_pulled(random: Random) -> Clauses:
    if random.random() < 0.5:
        return (Meaning("gravity", "none"), Meaning("pace", "slow"))
    return (Meaning("gravity", random.choice(WAYS)), Meaning("pace", "normal"))


def _frozen_unless_slow(facts: Facts) -> Clauses:
    """A frozen room does not show what pulls in it, so the video shows it before."""
    return () if facts.pace == "slow" else (Meaning("pace", "freeze"),)


def _wind(facts: Facts, random: Random) -> Meaning:
    return Meaning("wind", random.choice(("left", "right")))


def _jump(facts: Facts, random: Random) -> Meaning:
    thing = random.choice(facts.things)
    return Meaning("jump", "", thing.colour, thing.shape)


def _push(facts: Facts, random: Random) -> Meaning:
    thing = random.choice(facts.things)
    ways = ("up", "down") if facts.gravity in ("left", "right") else ("left", "right")
    return Meaning("push", random.choice(ways), thing.colour, thing.shape)


def _unused(facts: Facts) -> list[str]:
    used = {thing.colour for thing in facts.things}
    return [colour for colour in COLOURS if colour not in used]


def _colour(facts: Facts, random: Random) -> Meaning:
    thing = random.choice(facts.things)
    return Meaning("colour", random.choice(_unused(facts)), thing.colour, thing.shape)


def _appear(facts: Facts, random: Random) -> Meaning | None:
    if len(facts.things) == PLACES:
        return None
    return Meaning("appear", random.choice(_unused(facts)), "", random.choice(("ball", "box")))


def _vanish(facts: Facts, random: Random) -> Meaning | None:
    if len(facts.things) < 2:
        return None
    thing = random.choice(facts.things)
    return Meaning("vanish", "", thing.colour, thing.shape)


KINDS = (
    *map(_gravity, DIRECTIONS),
    *(_shown("light", value, tuple(LIGHTS)) for value in LIGHTS),
    *(_shown("weather", value, WEATHERS) for value in WEATHERS),
    Kind("wind", _pulled_down, _wind, REST),
    Kind("jump", _pulled, _jump, REST),
    Kind("push", _pulled, _push, REST),
    Kind("freeze", _floating, _always(Meaning("pace", "freeze"))),
    Kind("slow", _floating, _always(Meaning("pace", "slow"))),
    Kind(
        "normal pace", _slow_or_pulled, _always(Meaning("pace", "normal")), 0, _frozen_unless_slow
    ),
    Kind("colour", _nothing, _colour),
    Kind("appear", _nothing, _appear),
    Kind("vanish", _nothing, _vanish),
)
"""What is asked for, in the order of the table; equally many trials of each."""
