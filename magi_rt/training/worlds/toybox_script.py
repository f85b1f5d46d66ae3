"""Which prompts a toybox clip gets: only such as change something in the room as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_physics import resting
from magi_rt.training.worlds.toybox_scene import (
    COLOURS,
    DIRECTIONS,
    LIGHTS,
    PLACES,
    WEATHERS,
    Facts,
    State,
    Thing,
)

KINDS = {
    "gravity": 0.22,
    "light": 0.06,
    "weather": 0.07,
    "wind": 0.12,
    "jump": 0.18,
    "push": 0.10,
    "colour": 0.15,
    "pace": 0.18,
    "appear": 0.12,
    "vanish": 0.14,
}
"""How often each kind of clause is chosen, relative to the others that show in the room."""
JOINED = 0.3
NEXT_PACES = {"normal": ("freeze", "slow"), "slow": ("freeze", "normal"), "freeze": ("normal",)}
GO_ON = {"freeze": 0.75, "slow": 0.4}
"""Share of new prompts that let time go on again, by its present pace. How things begin to move
that stood still is hard to learn: few pixels change at first."""

FORCES = ("gravity", "wind", "jump", "push")
_ONE_OF = (
    frozenset(FORCES),
    frozenset(("jump", "push", "colour", "vanish")),
    frozenset(("appear", "colour", "vanish")),
)
"""Of each of these groups a prompt has at most one kind."""


@dataclass(frozen=True)
class Seen:
    """What a picture shows beyond the facts: whether anything moves, and which places may jump."""

    moving: bool = True
    grounded: frozenset[int] = frozenset(range(PLACES))


ANYTHING = Seen()


def seen_in(state: State, row: int, floor: float = 4.0) -> Seen:
    """What there is to see in one clip; slower than ``floor`` units per second counts as still."""
    one = slice(row, row + 1)
    speed = float((state.velocity[row].norm(dim=-1) * state.alive[row]).max())
    room = replace(
        state,
        position=state.position[one],
        half=state.half[one],
        rounding=state.rounding[one],
        alive=state.alive[one],
        gravity=state.gravity[one],
    )
    rests = resting(room)[0].tolist()
    moving = speed > floor or state.facts[row].weather != "clear"
    return Seen(moving, frozenset(place for place, rest in enumerate(rests) if rest))


def draw_clause(kind: str, facts: Facts, random: Random, seen: Seen = ANYTHING) -> Meaning:
    """A clause of that kind that shows in this room."""
    if kind == "gravity":
        return Meaning(kind, random.choice([d for d in DIRECTIONS if d != facts.gravity]))
    if kind == "light":
        return Meaning(kind, random.choice([light for light in LIGHTS if light != facts.light]))
    if kind == "weather":
        return Meaning(kind, random.choice([w for w in WEATHERS if w != facts.weather]))
    if kind == "pace":
        return Meaning(kind, random.choice(NEXT_PACES[facts.pace]))
    if kind == "wind":
        return Meaning(kind, random.choice(("left", "right")))
    unused = [c for c in COLOURS if c not in {thing.colour for thing in facts.things}]
    if kind == "appear":
        return Meaning(kind, random.choice(unused), "", random.choice(("ball", "ball", "box")))
    if kind == "jump":
        thing = random.choice(_jumpers(facts, seen) or facts.things)
        return Meaning(kind, "", thing.colour, thing.shape)
    thing = random.choice(facts.things)
    if kind == "push":
        sideways = facts.gravity in ("left", "right")
        value = random.choice(("up", "down") if sideways else ("left", "right"))
        return Meaning(kind, value, thing.colour, thing.shape)
    value = random.choice(unused) if kind == "colour" else ""
    return Meaning(kind, value, thing.colour, thing.shape)


def standing_clause(facts: Facts, random: Random) -> Meaning:
    """A clause that says what holds in this room already, so that nothing follows from it.

    Of things it says what a prompt still says once it has been obeyed: that one appears which is
    there, that one vanishes or changes colour which is not.
    """
    held = {
        "gravity": facts.gravity,
        "light": facts.light,
        "weather": facts.weather,
        "pace": facts.pace,
    }
    there = [thing.colour for thing in facts.things]
    absent = random.choice([colour for colour in COLOURS if colour not in there])
    kinds = ["gravity", "gravity", "light", "weather", "pace", "vanish"]
    kind = random.choice([*kinds, *(("appear", "appear", "colour") if there else ())])
    if kind in held:
        return Meaning(kind, held[kind])
    shape = random.choice(("ball", "box"))
    if kind == "vanish":
        return Meaning(kind, "", absent, shape)
    thing = random.choice(facts.things)
    if kind == "appear":
        return Meaning(kind, thing.colour, "", thing.shape)
    return Meaning(kind, thing.colour, absent, thing.shape)


def _jumpers(facts: Facts, seen: Seen) -> tuple[Thing, ...]:
    return tuple(thing for thing in facts.things if thing.place in seen.grounded)


def shown_kinds(
    facts: Facts, seen: Seen = ANYTHING, kinds: Mapping[str, float] = KINDS
) -> dict[str, float]:
    """The kinds whose clauses show in this room when they stand alone, and their weights."""
    hidden: set[str] = set()
    if facts.gravity in ("left", "right"):
        hidden.add("wind")  # Hardly seen against or along such a pull.
    if facts.gravity == "none" or not _jumpers(facts, seen):
        hidden.add("jump")
    if len(facts.things) < 2:
        hidden.add("vanish")
    if len(facts.things) == PLACES:
        hidden.add("appear")
    if not facts.things:
        hidden |= {"jump", "push", "colour", "vanish"}
    if facts.pace == "normal" and not seen.moving:
        hidden.add("pace")
    if facts.pace == "freeze":
        hidden |= {*FORCES, "pace"}
    return {kind: weight for kind, weight in kinds.items() if kind not in hidden}


def _go_together(clause: Meaning, kind: str) -> bool:
    """Two forces would not be plain to see, nor would what happens to a thing just renamed."""
    both = {clause.kind, kind}
    return len(both) == 2 and not any(both <= group for group in _ONE_OF)


def draw_clauses(
    facts: Facts,
    random: Random,
    seen: Seen = ANYTHING,
    kinds: Mapping[str, float] = KINDS,
) -> Clauses:
    """One clause, or two of different kinds, chosen by the weights of ``kinds``."""
    clauses: list[Meaning] = []
    if random.random() < GO_ON.get(facts.pace, 0.0):
        clauses.append(Meaning("pace", "normal"))
        facts = replace(facts, pace="normal")
    weights = shown_kinds(facts, seen, kinds)
    if not clauses:
        kind = random.choices(tuple(weights), tuple(weights.values()))[0]
        clauses.append(draw_clause(kind, facts, random, seen))
    if random.random() < JOINED:
        others = {k: w for k, w in weights.items() if _go_together(clauses[0], k)}
        kind = random.choices(tuple(others), tuple(others.values()))[0]
        clauses.append(draw_clause(kind, facts, random, seen))
    if any(clause.kind in FORCES for clause in clauses):
        clauses = [clause for clause in clauses if clause.value != "freeze"]
    return tuple(clauses)
