"""The toybox's words: many phrasings per meaning, a fixed fifth of them never used in training.

The words of held-out phrasings all occur in others, so that they ask for new sentences, not for
new words.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from random import Random

from magi_rt.errors import OptionError
from magi_rt.training.worlds import toybox_phrases as known
from magi_rt.training.worlds.base import SPLITS, Clauses, Meaning
from magi_rt.training.worlds.toybox_scene import Facts, Thing

DRESSED = 0.25
"""Share of clauses that get a word such as "now" or "please" around them."""


@cache
def phrasings(kind: str, value: str, split: str = "all") -> tuple[str, ...]:
    """The phrasings of a meaning, with ``{thing}``, ``{new}``, ``{colour}`` and so on left open.

    The order is fixed. The plainest phrasing is always one for training, as are those of
    ``SHOWN``; of all the others a fifth, those with the smallest SHA-256, is held out. OptionError
    for an unknown split.
    """
    if split not in SPLITS:
        raise OptionError(f"split is {split!r}; use one of {', '.join(SPLITS)}.", field="split")
    phrases = _all_phrasings(kind, value)
    if split == "all":
        return phrases
    held = _held_out(phrases)
    return tuple(p for p in phrases if (p in held) == (split == "held_out"))


def _all_phrasings(kind: str, value: str) -> tuple[str, ...]:
    if kind == "gravity":
        return known.NO_PULL if value == "none" else _ways(known.PULL, value)
    if kind == "wind":
        return _ways(known.WIND, value, most=2)
    if kind == "push":
        return _ways(known.PUSH, value, most=2)
    if kind in ("light", "weather", "pace"):
        return {"light": known.LIGHT, "weather": known.WEATHER, "pace": known.PACE}[kind][value]
    return {
        "jump": known.JUMP,
        "colour": known.TURN,
        "appear": known.APPEAR,
        "vanish": known.VANISH,
        "scene": known.CAPTIONS,
    }[kind]


def _ways(templates: tuple[str, ...], value: str, most: int = 4) -> tuple[str, ...]:
    """Templates with every wording of a direction; the plain wording of all of them first."""
    return tuple(t.replace("{way}", way) for way in known.WAYS[value][:most] for t in templates)


def _held_out(phrases: tuple[str, ...]) -> frozenset[str]:
    by_hash = sorted(phrases[1:], key=lambda phrase: sha256(phrase.encode()).digest())
    return frozenset(by_hash[: max(1, round(len(phrases) / 5))]) - set(known.SHOWN)


def clause_words(clause: Meaning, random: Random, split: str) -> str:
    """One phrasing of one clause."""
    return filled(random.choice(phrasings(clause.kind, clause.value, split)), clause)


def filled(phrase: str, clause: Meaning) -> str:
    """A phrasing with the names of what its clause speaks of."""
    name = f"{clause.value} {clause.shape}"
    phrase = phrase.replace("{thing}", f"the {clause.thing} {clause.shape}")
    phrase = phrase.replace("{new}", _with_article(name)).replace("{name}", name)
    return phrase.replace("{colour}", clause.value)


def _with_article(words: str) -> str:
    return f"an {words}" if words[:1] == "o" else f"a {words}"


def prompt_words(clauses: Clauses, random: Random, split: str) -> str:
    """A prompt of one or two clauses; "" for none."""
    words = [clause_words(clause, random, split) for clause in clauses]
    if len(words) > 1:
        joins = known.JOINS[:2] if any(map(_asks, words)) else known.JOINS
        return random.choice(joins).replace("{a}", words[0]).replace("{b}", words[1])
    return _dressed(words[0], random) if words else ""


def _dressed(phrase: str, random: Random) -> str:
    if random.random() >= DRESSED or "now" in phrase.split():
        return phrase
    return random.choice(known.ASKED if _asks(phrase) else known.TOLD).replace("{a}", phrase)


def _asks(phrase: str) -> bool:
    return phrase.replace(",", "").split()[0] in known.ASKING


def _thing_words(thing: Thing, sized: bool) -> str:
    size = ("large " if thing.large else "small ") if sized else ""
    return _with_article(f"{size}{thing.colour} {thing.shape}")


def caption_words(facts: Facts, random: Random, split: str) -> str:
    """A caption of a whole room; gravity and clear weather are not always mentioned."""
    sized = random.random() < 0.5
    things = [_thing_words(thing, sized) for thing in facts.things]
    random.shuffle(things)
    listed = " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]])) or "nothing"
    rest = ""
    if facts.weather != "clear":
        rest += ", " + random.choice(phrasings("weather", facts.weather, split))
    if random.random() < 0.7:
        rest += ", " + random.choice(phrasings("gravity", facts.gravity, split))
    if facts.pace != "normal":
        rest += ", " + random.choice(phrasings("pace", facts.pace, split))
    caption = random.choice(phrasings("scene", "", split)).replace("{things}", listed)
    time = random.choice(known.TIMES[facts.light])
    return caption.replace("{time}", time).replace("{rest}", rest)
