"""Trials of steering: a short video, a prompt that asks for a change, and what should follow.

Every start is a toybox room in which the asked change is not there yet. By the simulator's truth
it must come about when it is asked for, and must not when it is not: rooms in which it would hardly
show (everything lies where it is to go already) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.evaluation.judges import Question, clear_cut, judge
from magi_rt.evaluation.kinds import KINDS, Kind
from magi_rt.evaluation.readings import Reading, true_reading
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.film import run_chunk
from magi_rt.training.worlds.toybox_prompts import clause_words
from magi_rt.training.worlds.toybox_scene import State
from magi_rt.world.start import PREFIX_FRAMES

CHUNKS = 4
"""Chunks that a world gets to obey."""
SPLITS = ("train", "held_out")
ROOMS = 24
"""Rooms that are tried at once."""
TRIES = 60
"""Times that this is done before giving up."""


@dataclass(frozen=True)
class Trial:
    """One question to a world.

    Attributes:
        kind: row of the table, as in ``KINDS``.
        question: the change that is asked for, and what stood before.
        prompt: the words for it; ``split`` says whether training used them ("train") or not
            ("held_out").
        seed: of the world's noise.
        video: uint8 [32 or more, size, size, 3], the start.
        truth: uint8 [frames, size, size, 3], how the simulator goes on when it is asked.
        before, after, unasked: true readings of the video, of ``truth``, and of how the simulator
            goes on when nothing is asked.
    """

    kind: str
    question: Question
    prompt: str
    split: str
    seed: int
    video: Pixels
    truth: Pixels
    before: Reading
    after: Reading
    unasked: Reading


def draw_trials(
    count: int,
    seed: int,
    *,
    kinds: Sequence[Kind] = KINDS,
    size: int = 64,
    frames_per_chunk: int = 8,
) -> Iterator[Trial]:
    """``count`` trials of every kind, one kind after the other; splits take turns.

    The same numbers give the same trials; they are drawn as they are taken. OptionError for fewer
    than one trial.
    """
    if count < 1:
        raise OptionError(f"trials is {count}; at least 1 is needed", field="trials")
    for kind in kinds:
        drawn = _of_kind(kind, seed, size, frames_per_chunk)
        for number in range(count):
            yield next(drawn)(SPLITS[number % 2])


class _Found:
    """A room in which the change will show; turned into a trial when its words are known."""

    def __init__(self, film: _Film, row: int, kind: Kind, random: Random, size: int) -> None:
        self.film, self.row, self.kind, self.random, self.size = film, row, kind, random, size

    def __call__(self, split: str) -> Trial:
        film, row = self.film, self.row
        question = film.question(row)
        return Trial(
            kind=self.kind.name,
            question=question,
            prompt=clause_words(question.asked, self.random, split),
            split=split,
            seed=self.random.randrange(2**62),
            video=self._drawn(film.lead),
            truth=self._drawn(film.asked_for),
            before=true_reading(film.lead, row),
            after=true_reading(film.asked_for, row),
            unasked=true_reading(film.unasked, row),
        )

    def _drawn(self, states: Sequence[State]) -> Pixels:
        rows = joined([rows_of(state, [self.row]) for state in states])
        pictures: Pixels = toybox.Toybox(self.size).render(rows).numpy()
        return pictures


@dataclass(frozen=True)
class _Film:
    """Rooms over time: the video, then with what is asked of them and without."""

    lead: list[State]
    asked: list[Meaning | None]
    asked_for: list[State]
    unasked: list[State]

    def question(self, row: int) -> Question:
        facts, asked = self.lead[-1].facts[row], self.asked[row]
        assert asked is not None  # only of rooms that were kept
        return Question(asked, facts.gravity, facts.pace)

    def shows(self, row: int, frames_per_chunk: int) -> bool:
        """Whether the change comes about when asked for, and only then, by the truth."""
        if self.asked[row] is None:
            return False
        before = true_reading(self.lead[-2 * frames_per_chunk :], row)
        obeyed = [
            judge(self.question(row), before, true_reading(states, row), frames_per_chunk).obeyed
            for states in (self.asked_for, self.unasked)
        ]
        return obeyed == [True, False] and _plain(self, row)


def _of_kind(kind: Kind, seed: int, size: int, frames_per_chunk: int) -> Iterator[_Found]:
    random = Random(f"{seed} {kind.name}")
    dry = 0
    while dry < TRIES:
        film = _filmed(kind, random, frames_per_chunk)
        dry += 1
        for row in range(ROOMS):
            if film.shows(row, frames_per_chunk):
                dry = 0
                yield _Found(film, row, kind, random, size)
    raise AssertionError(f"no room shows {kind.name}")  # a fault of the rules or of the toybox


def _filmed(kind: Kind, random: Random, frames_per_chunk: int) -> _Film:
    world = toybox.Toybox()
    rooms = world.sample(ROOMS, torch.Generator().manual_seed(random.randrange(2**62)))
    rooms = world.apply(rooms, [kind.standing(random) for _ in rooms.facts])
    for _ in range(kind.lead):
        rooms = world.step(rooms)
    lead = _video(world, rooms, kind, frames_per_chunk)
    asked = [kind.ask(facts, random) for facts in lead[-1].facts]
    script: list[Clauses] = [() if meaning is None else (meaning,) for meaning in asked]

    def goes_on(clauses: list[Clauses]) -> list[State]:
        made: list[State] = [lead[-1]]
        for _ in range(CHUNKS):
            made += run_chunk(world, made[-1], clauses, frames_per_chunk)
        return made[1:]

    return _Film(lead, asked, goes_on(script), goes_on(_none()))


def _video(world: toybox.Toybox, rooms: State, kind: Kind, frames_per_chunk: int) -> list[State]:
    if kind.late is None:
        return run_chunk(world, rooms, _none(), max(PREFIX_FRAMES, frames_per_chunk))
    early = run_chunk(world, rooms, _none(), max(PREFIX_FRAMES // 2, frames_per_chunk))
    late = [kind.late(facts) for facts in early[-1].facts]
    return early + run_chunk(world, early[-1], late, 2 * frames_per_chunk)


def _none() -> list[Clauses]:
    return [() for _ in range(ROOMS)]


def _plain(film: _Film, row: int) -> bool:
    """Leaves out rooms in which the change is close to the rule's limit."""
    asked = film.asked[row]
    assert asked is not None
    before, after = (true_reading(s, row) for s in (film.lead[-16:], film.asked_for))
    return clear_cut(film.question(row), before, after)


def rows_of(rooms: State, rows: list[int]) -> State:
    """Some of a batch's rooms."""

    def picked(value: Any) -> Any:
        return tuple(value[row] for row in rows) if isinstance(value, tuple) else value[rows]

    return State(**{field.name: picked(getattr(rooms, field.name)) for field in fields(State)})


def joined(rooms: Sequence[State]) -> State:
    """Batches of rooms as one."""

    def all_of(name: str) -> Any:
        values = [getattr(room, name) for room in rooms]
        return torch.cat(values) if isinstance(values[0], Tensor) else sum(values, ())

    return State(**{field.name: all_of(field.name) for field in fields(State)})
