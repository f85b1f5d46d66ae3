"""Beginnings from words alone: does the first chunk show the room that its caption describes?

Captions are those of random toybox rooms, half of them in words that training did not use. What
counts is the last frame of the first chunk: exactly the colours that were named, each of them one
thing of the named shape, and the named light and weather. The simulator's own beginning passes the
same detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch

from magi_rt.evaluation.opened import Begin
from magi_rt.evaluation.readings import Reading, read
from magi_rt.evaluation.shapes import SHAPES
from magi_rt.evaluation.steering import pixels_of
from magi_rt.evaluation.trials import SPLITS, joined, rows_of
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.film import run_chunk
from magi_rt.training.worlds.toybox import Toybox
from magi_rt.training.worlds.toybox_prompts import caption_words
from magi_rt.training.worlds.toybox_scene import COLOURS, LIGHTS, WEATHERS, Facts, Thing

ROOMS = 32
"""Rooms that are drawn at once."""
LIGHT_APART = 0.25


@dataclass(frozen=True)
class Beginning:
    """One caption, the room that it describes, and the simulator's own first chunk of that room.

    ``truth``: uint8 [frames, size, size, 3]; ``split`` and ``seed``: as of a Trial.
    """

    caption: str
    split: str
    seed: int
    facts: Facts
    truth: Pixels


@dataclass(frozen=True)
class Seen:
    """What of a caption a picture shows. ``shapes``: things that are one blob of their colour and
    of the right shape, of so many ``things``."""

    colours: bool
    shapes: int
    things: int
    light: bool
    weather: bool

    @property
    def right(self) -> bool:
        """Whether all of it is as the caption says."""
        return self.colours and self.shapes == self.things and self.light and self.weather


@dataclass(frozen=True)
class Opened:
    """One beginning and what was seen of it; ``end``: uint8 [size, size, 3], its last frame."""

    caption: str
    split: str
    model: Seen
    simulator: Seen
    end: Pixels


@dataclass(frozen=True)
class OpeningScore:
    """A row of the table: shares of 0..1 of ``count`` beginnings (``shapes``: of their things);
    nan where there are none."""

    name: str
    count: int
    right: float
    colours: float
    shapes: float
    light: float
    weather: float
    train: float
    held_out: float
    simulator: float


def draw_beginnings(
    count: int, seed: int, *, size: int = 64, frames_per_chunk: int = 8
) -> Iterator[Beginning]:
    """``count`` captions with their rooms; the same numbers give the same ones."""
    world, random = Toybox(size), Random(f"{seed} beginnings")
    for first in range(0, count, ROOMS):
        start = world.sample(ROOMS, torch.Generator().manual_seed(random.randrange(2**62)))
        states = run_chunk(world, start, [() for _ in range(ROOMS)], frames_per_chunk)
        for row in range(min(ROOMS, count - first)):
            split, facts = SPLITS[row % 2], start.facts[row]
            rooms = joined([rows_of(state, [row]) for state in states])
            yield Beginning(
                caption=caption_words(facts, random, split),
                split=split,
                seed=random.randrange(2**62),
                facts=facts,
                truth=world.render(rooms).numpy(),
            )


def run_beginnings(
    beginnings: Iterable[Beginning], begin: Begin, tell: Callable[[str], None] | None = None
) -> list[Opened]:
    """Every beginning in turn; ``tell`` hears each caption."""
    found = []
    for one in beginnings:
        end = pixels_of(begin(None, one.seed).advance(one.caption))[-1]
        seen, true = seen_of(one.facts, end), seen_of(one.facts, one.truth[-1])
        found.append(Opened(one.caption, one.split, seen, true, end))
        if tell is not None:
            tell(one.caption)
    return found


def seen_of(facts: Facts, picture: Pixels) -> Seen:
    """What of these facts a picture, uint8 [H, W, 3], shows."""
    reading = read(picture[None])
    named = {thing.colour for thing in facts.things}
    present = {name for name, there in zip(COLOURS, reading.present[0], strict=True) if there}
    return Seen(
        colours=present == named,
        shapes=sum(_shown(thing, reading) for thing in facts.things),
        things=len(facts.things),
        light=bool(abs(float(reading.light[0]) - LIGHTS[facts.light]) < LIGHT_APART),
        weather=bool(reading.weather[0] == WEATHERS.index(facts.weather)),
    )


def _shown(thing: Thing, reading: Reading) -> bool:
    """Whether a colour's pixels are one thing of that shape."""
    return bool(reading.shape[0, COLOURS.index(thing.colour)] == SHAPES.index(thing.shape))


def opening_scores(found: Sequence[Opened]) -> list[OpeningScore]:
    """One row per number of things, then one for all."""
    rows = []
    for count in sorted({one.model.things for one in found}):
        some = [one for one in found if one.model.things == count]
        rows.append(_score(f"{count} thing{'s' if count > 1 else ''}", some))
    return [*rows, _score("all", found)]


def _score(name: str, found: Sequence[Opened]) -> OpeningScore:
    seen = [one.model for one in found]
    return OpeningScore(
        name=name,
        count=len(found),
        right=_share(one.right for one in seen),
        colours=_share(one.colours for one in seen),
        shapes=sum(one.shapes for one in seen) / max(1, sum(one.things for one in seen)),
        light=_share(one.light for one in seen),
        weather=_share(one.weather for one in seen),
        train=_share(one.model.right for one in found if one.split == "train"),
        held_out=_share(one.model.right for one in found if one.split == "held_out"),
        simulator=_share(one.simulator.right for one in found),
    )


def _share(values: Iterable[bool]) -> float:
    answers = list(values)
    return sum(answers) / len(answers) if answers else float("nan")
