"""Did what was asked for happen? One rule per kind of prompt, on what was read before and after.

Lengths are in units of a room 64 wide. A rule sees a run of frames up to some chunk's end; what it
says at the end of the trial counts, except for jumps and pushes, which count from when they showed.

- gravity (down, up, left, right): the common middle of all things moved ``MOVED`` units that way,
  and not further across. gravity none: it left the wall that things rested on, by ``LIFTED``
  units: as what floats does, not as what falls.
- light, weather: the wall shows it.
- wind: as gravity. jump, push: the named thing moved ``MOVED`` units that way, further than any
  other thing did.
- pace: things move at a quarter or less (freeze), at a seventh to 0.6 (slow) of their speed
  before, in the end; and over all frames at 1.8 times (normal after slow) or at all (normal after
  freeze), since what moves again also bounces and comes to rest.
- colour: the named thing's colour is gone, the new one is there. appear: the new colour is there.
  In both it is a thing of the named shape, wherever it can be seen whole. vanish: the colour is
  gone. In all three all other colours stay as they were.
- In all the others no thing may get lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magi_rt.evaluation.readings import Reading
from magi_rt.evaluation.shapes import SHAPES
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.toybox_scene import COLOURS, DIRECTIONS, OPPOSITE

MOVED = 6.0
LIFTED = (5.0, 34.0)
FROZEN, SLOWED, HURRIED = 0.25, (0.15, 0.6), 1.8
"""Speeds in shares of the speed before."""
GOING = 0.35
"""Units per frame from which things count as moving."""
STRIDE = 4
"""Frames over which speeds are measured, so that a trembling outline is no motion."""
LOOKED_AT = 4
"""Frames that are averaged over at either end."""
LIGHT_APART = 0.25
GONE, SAME = 0.3, (0.4, 2.5)
"""Mass after in shares of the mass before: of a thing that is gone, of one that is still there."""


@dataclass(frozen=True)
class Question:
    """``asked``: the change; ``standing``: the facts before it: gravity, pace and so on."""

    asked: Meaning
    gravity: str
    pace: str


@dataclass(frozen=True)
class Change:
    """``obeyed``: at the end. ``after``: chunks until it showed, ``None`` if it never did."""

    obeyed: bool
    after: int | None


Rule = Callable[[Question, Reading, Reading], bool]


def judge(question: Question, before: Reading, after: Reading, frames_per_chunk: int) -> Change:
    """The verdict on the frames after a prompt, given those before it."""
    rule = RULES[question.asked.kind]
    ends = range(frames_per_chunk, len(after) + 1, frames_per_chunk)
    seen = [rule(question, before, after.part(0, end)) for end in ends]
    obeyed = any(seen) if question.asked.kind in PASSING else seen[-1]
    return Change(obeyed, seen.index(True) + 1 if obeyed else None)


def _gravity(question: Question, before: Reading, after: Reading) -> bool:
    if question.asked.value != "none":
        return _moved(question.asked.value, before, after) and _nothing_lost(before, after)
    way = _way(OPPOSITE[question.gravity])
    lifted = float((_mean(after.middle[-LOOKED_AT:]) - _mean(before.middle[-LOOKED_AT:])) @ way)
    return LIFTED[0] <= lifted <= LIFTED[1] and _nothing_lost(before, after)


def _wind(question: Question, before: Reading, after: Reading) -> bool:
    return _moved(question.asked.value, before, after) and _nothing_lost(before, after)


def _light(question: Question, before: Reading, after: Reading) -> bool:
    level = {"day": 1.0, "dusk": 0.5, "night": 0.0}[question.asked.value]
    lit = abs(float(np.median(after.light[-LOOKED_AT:])) - level) < LIGHT_APART
    return lit and _nothing_lost(before, after)


def _weather(question: Question, before: Reading, after: Reading) -> bool:
    kind = ("clear", "rain", "snow").index(question.asked.value)
    seen = float((after.weather[-LOOKED_AT:] == kind).mean()) > 0.5
    return seen and _nothing_lost(before, after)


def _kick(question: Question, before: Reading, after: Reading) -> bool:
    """Jumps and pushes: the thing's furthest point that way, against that of all others."""
    thing = COLOURS.index(question.asked.thing)
    went = _furthest(question, before, after)
    most = float(np.delete(went, thing).max())
    return went[thing] >= MOVED and went[thing] > most and _nothing_lost(before, after)


def _furthest(question: Question, before: Reading, after: Reading) -> NDArray[np.float32]:
    """[6]: how far each colour came the asked way at most; 0 where it is absent."""
    asked = question.asked
    ground = "down" if question.gravity == "none" else question.gravity
    way = _way(asked.value if asked.kind == "push" else OPPOSITE[ground])
    along = (after.centre - _mean(before.centre[-LOOKED_AT:])) @ way
    return np.asarray(np.max(np.nan_to_num(along), axis=0, initial=0.0), dtype=np.float32)


def _pace(question: Question, before: Reading, after: Reading) -> bool:
    value, frames = question.asked.value, 2 * LOOKED_AT
    now = speed(after if value == "normal" else after.part(-frames))
    if not _nothing_lost(before, after):
        return False
    if value == "normal" and question.pace == "freeze":
        return now >= GOING
    share = now / max(speed(before.part(-2 * frames)), 1e-3)
    if value == "freeze":
        return share <= FROZEN
    if value == "slow":
        return SLOWED[0] <= share <= SLOWED[1]
    return share >= HURRIED


def _colour(question: Question, before: Reading, after: Reading) -> bool:
    old, new = (COLOURS.index(name) for name in (question.asked.thing, question.asked.value))
    was, now = _mass(before), _mass(after)
    turned = now[old] <= GONE * was[old] and SAME[0] <= now[new] / max(was[old], 1) <= SAME[1]
    shaped = _shaped(question.asked, after.part(-2 * LOOKED_AT))
    return bool(turned) and shaped and _others_stay(was, now, {old, new})


def _appear(question: Question, before: Reading, after: Reading) -> bool:
    new = COLOURS.index(question.asked.value)
    was, now = _mass(before), _mass(after)
    there = after.present[-LOOKED_AT:, new].mean() > 0.5
    return bool(there) and _shaped(question.asked, after) and _others_stay(was, now, {new})


def _vanish(question: Question, before: Reading, after: Reading) -> bool:
    thing = COLOURS.index(question.asked.thing)
    was, now = _mass(before), _mass(after)
    return bool(now[thing] <= GONE * was[thing]) and _others_stay(was, now, {thing})


RULES: dict[str, Rule] = {
    "gravity": _gravity,
    "light": _light,
    "weather": _weather,
    "wind": _wind,
    "jump": _kick,
    "push": _kick,
    "pace": _pace,
    "colour": _colour,
    "appear": _appear,
    "vanish": _vanish,
}
PASSING = ("jump", "push")


def clear_cut(question: Question, before: Reading, after: Reading) -> bool:
    """Whether a change is well beyond its rule's limit, so that a start is fit for a trial."""
    asked = question.asked
    if asked.kind in ("jump", "push"):
        thing = COLOURS.index(asked.thing)
        went = _furthest(question, before, after)
        return bool(went[thing] >= 2 * MOVED and went[thing] >= 2 * np.delete(went, thing).max())
    if asked.kind == "pace":
        first, last = speed(before), speed(after.part(-2 * LOOKED_AT))
        if question.pace == "freeze":
            return speed(after) >= 2 * GOING
        if asked.value == "normal":
            return first >= GOING / 2 and last >= 1.2 * HURRIED * first
        return first >= 2 * GOING and (asked.value == "freeze" or 0.22 < last / first < 0.45)
    if asked.kind not in ("gravity", "wind"):
        return True
    went = np.abs(_mean(after.middle[-LOOKED_AT:]) - _mean(before.middle[-LOOKED_AT:]))
    least, most = (8.0, 28.0) if asked.value == "none" else (2 * MOVED, np.inf)
    return bool(least <= went.max() <= most)


def speed(reading: Reading) -> float:
    """Mean speed of all that is there, in units per frame; 0 where nothing can be followed."""
    went = np.linalg.norm(reading.centre[STRIDE:] - reading.centre[:-STRIDE], axis=-1) / STRIDE
    known = went[~np.isnan(went)]
    return float(known.mean()) if known.size else 0.0


def _shaped(asked: Meaning, after: Reading) -> bool:
    """What is new in its colour looks like the named shape in most frames that show it whole."""
    seen = after.shape[:, COLOURS.index(asked.value)]
    whole = seen[seen >= 0]
    return not whole.size or float((whole == SHAPES.index(asked.shape)).mean()) > 0.5


def _moved(value: str, before: Reading, after: Reading) -> bool:
    went = _mean(after.middle[-LOOKED_AT:]) - _mean(before.middle[-LOOKED_AT:])
    way = _way(value)
    along, across = float(went @ way), float(abs(went @ way[::-1]))
    return along >= MOVED and along >= across


def _nothing_lost(before: Reading, after: Reading) -> bool:
    """What was there is there, and nothing else, at the end."""
    return _others_stay(_mass(before), _mass(after), set())


def _others_stay(was: NDArray[np.float32], now: NDArray[np.float32], but: set[int]) -> bool:
    for colour, (first, last) in enumerate(zip(was, now, strict=True)):
        if colour in but:
            continue
        if first >= LEAST and not SAME[0] <= last / first <= SAME[1]:
            return False
        if first < LEAST and last > 2 * LEAST:
            return False
    return True


LEAST = 30.0
"""Pixels of a colour below which it is not there."""


def _mass(reading: Reading) -> NDArray[np.float32]:
    """[6]: median pixels of each colour in the last frames."""
    return np.asarray(np.median(reading.mass[-LOOKED_AT:], axis=0), dtype=np.float32)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over frames; nan where a frame does not know."""
    return np.asarray(values.mean(0), dtype=np.float32)


def _way(value: str) -> NDArray[np.float32]:
    return np.array(DIRECTIONS[value], dtype=np.float32)
