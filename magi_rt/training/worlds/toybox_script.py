"""Which prompts a toybox clip gets: only such as change something in the room as it is."""

from __future__ import annotations

from random import Random

from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_prompts import caption_words, prompt_words
from magi_rt.training.worlds.toybox_scene import COLOURS, DIRECTIONS, WEATHERS, Facts

KINDS = {
    "gravity": 0.26,
    "light": 0.16,
    "weather": 0.16,
    "wind": 0.12,
    "jump": 0.12,
    "push": 0.08,
    "colour": 0.10,
}
"""How often each kind of clause is chosen."""
EMPTY = 0.1
CAPTION = 0.6
"""Share of first prompts that are empty, that are captions; the others are clauses."""
CHANGE = 0.45
QUIET = 0.25
"""Share of clips that keep their first prompt to the end."""
JOINED = 0.3


def draw_clause(kind: str, facts: Facts, random: Random) -> Meaning:
    """A clause of that kind that shows in this room."""
    if kind == "gravity":
        return Meaning(kind, random.choice([d for d in DIRECTIONS if d != facts.gravity]))
    if kind == "light":
        return Meaning(kind, "night" if facts.light == "day" else "day")
    if kind == "weather":
        return Meaning(kind, random.choice([w for w in WEATHERS if w != facts.weather]))
    if kind == "wind":
        return Meaning(kind, random.choice(("left", "right")))
    thing = random.choice(facts.things)
    if kind == "jump":
        return Meaning(kind, "", thing.colour, thing.shape)
    if kind == "push":
        sideways = facts.gravity in ("left", "right")
        value = random.choice(("up", "down") if sideways else ("left", "right"))
        return Meaning(kind, value, thing.colour, thing.shape)
    used = {other.colour for other in facts.things}
    value = random.choice([name for name in COLOURS if name not in used])
    return Meaning(kind, value, thing.colour, thing.shape)


def draw_clauses(facts: Facts, random: Random) -> Clauses:
    """One clause, or two of different kinds."""
    weights = dict(KINDS)
    if facts.gravity in ("left", "right"):
        del weights["wind"]  # Hardly seen against or along such a pull.
    if facts.gravity == "none":
        del weights["jump"]
    kinds = random.choices(tuple(weights), tuple(weights.values()))
    if random.random() < JOINED:
        # Two forces, or a force on an object that changes its name, would not be plain to see.
        forces = ("gravity", "wind", "jump", "push")
        if kinds[0] in forces:
            others = [kind for kind in weights if kind not in forces]
        else:
            others = [kind for kind in weights if kind != kinds[0]]
        kinds.append(random.choices(others, [weights[kind] for kind in others])[0])
    if set(kinds) & {"jump", "push"}:
        kinds = [kind for kind in kinds if kind != "colour"] or kinds[:1]
    return tuple(draw_clause(kind, facts, random) for kind in kinds)


def first_prompt(facts: Facts, random: Random, split: str) -> tuple[str, Clauses]:
    """The prompt of chunk 0 and its meaning."""
    chance = random.random()
    if chance < EMPTY:
        return "", ()
    if chance < EMPTY + CAPTION:
        return caption_words(facts, random, split), (Meaning("scene"),)
    clauses = draw_clauses(facts, random)
    return prompt_words(clauses, random, split), clauses


def next_prompt(facts: Facts, random: Random, split: str) -> tuple[str, Clauses]:
    """A new prompt for a later chunk and its meaning; now and then the empty one."""
    if random.random() < EMPTY / 2:
        return "", ()
    clauses = draw_clauses(facts, random)
    return prompt_words(clauses, random, split), clauses
