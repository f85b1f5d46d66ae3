"""The toybox's words: many phrasings per meaning, a fixed fifth of them never used in training.

The words of held-out phrasings all occur in others, so that they ask for new sentences, not for
new words.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from random import Random

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_scene import Facts, Thing

SPLITS = ("train", "held_out", "all")

_WAYS = {
    "down": ("down", "downwards", "to the floor"),
    "up": ("up", "upwards", "to the ceiling"),
    "left": ("left", "to the left", "to the left wall"),
    "right": ("right", "to the right", "to the right wall"),
}
_PULL = (
    "gravity pulls {way}",
    "gravity points {way}",
    "everything falls {way}",
    "things fall {way}",
    "the pull is {way} now",
    "now gravity goes {way}",
)
_NO_PULL = (
    "gravity off",
    "things float",
    "everything floats",
    "there is no gravity",
    "gravity is gone",
    "turn off gravity",
    "no gravity now",
    "all things drift weightless",
    "nothing falls any more",
    "gravity stops",
)
_LIGHT = {
    "night": (
        "night falls",
        "it gets dark",
        "turn off the sun",
        "it is night",
        "night comes",
        "the light goes out",
        "darkness falls",
        "the sun sets",
        "make it dark",
        "now the sun sets",
    ),
    "day": (
        "day breaks",
        "it gets light",
        "turn on the sun",
        "it is day",
        "day comes",
        "the light goes on",
        "the sun rises",
        "make it bright",
        "now the day comes",
        "it gets bright",
    ),
}
_WEATHER = {
    "rain": (
        "it rains",
        "it starts to rain",
        "rain falls",
        "rain begins",
        "it is raining",
        "the rain comes",
        "now it rains",
        "let it rain",
        "drops of rain fall",
    ),
    "snow": (
        "it snows",
        "it starts to snow",
        "snow falls",
        "snow begins",
        "it is snowing",
        "snow comes in flakes",
        "now it is snowing",
        "let it snow",
        "flakes of snow fall",
    ),
    "clear": (
        "the sky clears",
        "the weather clears",
        "the weather is dry now",
        "clear weather",
        "no more rain or snow",
        "it gets dry",
        "now it gets dry",
        "the sky is clear",
    ),
}
_WIND = (
    "wind blows {way}",
    "the wind blows {way}",
    "a strong wind goes {way}",
    "there is wind {way}",
    "it gets windy, blowing {way}",
    "the wind pushes everything {way}",
)
_JUMP = (
    "{thing} jumps",
    "{thing} hops",
    "let {thing} jump",
    "make {thing} jump",
    "{thing} leaps",
    "jump, {thing}",
    "{thing} springs off",
    "now {thing} hops",
)
_PUSH = (
    "push {thing} {way}",
    "{thing} is pushed {way}",
    "kick {thing} {way}",
    "{thing} gets a kick {way}",
    "give {thing} a push {way}",
    "shove {thing} {way}",
)
_TURN = (
    "{thing} turns {colour}",
    "{thing} becomes {colour}",
    "paint {thing} {colour}",
    "make {thing} {colour}",
    "now paint {thing} {colour}",
    "{thing} is {colour} now",
    "now {thing} turns {colour}",
    "turn {thing} {colour}",
)
_CAPTIONS = (
    "{things} in a room {time}{rest}",
    "a room {time} with {things}{rest}",
    "{time}, {things} in a room{rest}",
    "{things}, a room {time}{rest}",
    "we see {things} in a room {time}{rest}",
)
_TIMES = {"day": ("by day", "in daylight"), "night": ("at night", "in the dark")}
_JOINS = ("{a} and {b}", "{a}, {b}", "{a} while {b}", "{a} and {b}")


def _ways(templates: tuple[str, ...], value: str, most: int = 3) -> tuple[str, ...]:
    """Templates with every wording of a direction; the plain wording of all of them first."""
    return tuple(t.replace("{way}", way) for way in _WAYS[value][:most] for t in templates)


@cache
def phrasings(kind: str, value: str, split: str = "all") -> tuple[str, ...]:
    """The phrasings of a meaning, with ``{thing}`` and ``{colour}`` left open.

    The order is fixed. The plainest phrasing is always one for training; of all the others a
    fifth, those with the smallest SHA-256, is held out. OptionError for an unknown split.
    """
    if split not in SPLITS:
        raise OptionError(f"split is {split!r}; use one of {', '.join(SPLITS)}.", field="split")
    known = _all_phrasings(kind, value)
    held = _held_out(known)
    if split == "all":
        return known
    return tuple(p for p in known if (p in held) == (split == "held_out"))


def _all_phrasings(kind: str, value: str) -> tuple[str, ...]:
    if kind == "gravity":
        return _NO_PULL if value == "none" else _ways(_PULL, value)
    if kind == "wind":
        return _ways(_WIND, value, most=2)
    if kind == "push":
        return _ways(_PUSH, value, most=2)
    if kind == "light":
        return _LIGHT[value]
    if kind == "weather":
        return _WEATHER[value]
    return {"jump": _JUMP, "colour": _TURN, "scene": _CAPTIONS}[kind]


def _held_out(known: tuple[str, ...]) -> frozenset[str]:
    by_hash = sorted(known[1:], key=lambda phrase: sha256(phrase.encode()).digest())
    return frozenset(by_hash[: max(1, round(len(known) / 5))])


def clause_words(clause: Meaning, random: Random, split: str) -> str:
    """One phrasing of one clause."""
    phrase = random.choice(phrasings(clause.kind, clause.value, split))
    thing = f"the {clause.thing} {clause.shape}"
    return phrase.replace("{thing}", thing).replace("{colour}", clause.value)


def prompt_words(clauses: Clauses, random: Random, split: str) -> str:
    """A prompt of one or two clauses; "" for none."""
    words = [clause_words(clause, random, split) for clause in clauses]
    if len(words) < 2:
        return words[0] if words else ""
    join = random.choice(_JOINS)
    return join.replace("{a}", words[0]).replace("{b}", words[1])


def _thing_words(thing: Thing, sized: bool) -> str:
    size = ("large " if thing.large else "small ") if sized else ""
    words = f"{size}{thing.colour} {thing.shape}"
    return f"an {words}" if words[0] == "o" else f"a {words}"


def caption_words(facts: Facts, random: Random, split: str) -> str:
    """A caption of a whole room; gravity and clear weather are not always mentioned."""
    sized = random.random() < 0.5
    things = [_thing_words(thing, sized) for thing in facts.things]
    listed = " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))
    rest = ""
    if facts.weather != "clear":
        rest += ", " + random.choice(phrasings("weather", facts.weather, split))
    if random.random() < 0.7:
        rest += ", " + random.choice(phrasings("gravity", facts.gravity, split))
    caption = random.choice(phrasings("scene", "", split)).replace("{things}", listed)
    time = random.choice(_TIMES[facts.light])
    return caption.replace("{time}", time).replace("{rest}", rest)
