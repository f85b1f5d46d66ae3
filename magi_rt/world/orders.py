"""Prompts on their way: the order that a caller gives, the event that the log keeps of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from magi_rt.errors import OptionError, SnapshotError
from magi_rt.world.options import COUNT_LIMIT, checked_whole
from magi_rt.world.prompt_text import checked_prompt

WHEN = ("next", "now")
"""When a prompt takes effect: with the next chunk begun, or also in chunks already begun."""


@dataclass(frozen=True)
class Order:
    """A prompt and when it takes effect.

    Attributes:
        prompt: the words.
        at: one of ``WHEN``.
        due: number of the first chunk whose generation may be asked for together with it.

    Raises:
        PromptError: the prompt is no text, or too long.
        OptionError: ``at`` is another word.
    """

    prompt: str
    at: str
    due: int = 0

    def __post_init__(self) -> None:
        checked_prompt(self.prompt)
        checked_when(self.at)


@dataclass(frozen=True)
class PromptEvent:
    """A prompt and its place in the timeline.

    Attributes:
        chunk: number of the chunk whose generation was asked for together with the prompt.
        prompt: the text as it was given.
        at: "next" (chunks begun from then on) or "now" (also those already in flight).
        takes_effect: number of the first chunk that is shaped by it.
    """

    chunk: int
    prompt: str
    at: str
    takes_effect: int


@dataclass
class Begun:
    """The orders that a call begins with, the longest waiting first.

    gone: those that need not wait any more, as they hold, or cannot be read.
    """

    orders: tuple[Order, ...] = ()
    gone: tuple[Order, ...] = ()


class WaitingOrders:
    """Orders that any thread leaves for the next call, in the order in which they came."""

    def __init__(self, orders: Sequence[Order] = ()) -> None:
        self._orders = deque(orders)
        self._begun = 0  # of the first so many a call is being made
        self._lock = threading.Lock()

    def put(self, order: Order) -> None:
        """Adds one; returns at once."""
        with self._lock:
            self._orders.append(order)

    def look(self) -> list[Order]:
        """All that wait now; they go on waiting."""
        with self._lock:
            return list(self._orders)

    @contextmanager
    def begun(self, chunk: int, given: Sequence[Order] = ()) -> Iterator[Begun]:
        """What the call for a chunk begins with: all up to the last that is due, and the given.

        Those that waited wait again when it is done, but for those that are ``gone`` then.
        """
        with self._lock:
            orders = [*self._orders, *given]
            while orders and orders[-1].due > chunk:
                orders.pop()
            self._begun = len(orders) - len(given)
        call = Begun(tuple(orders))
        try:
            yield call
        finally:
            with self._lock:
                waited = [self._orders.popleft() for _ in range(self._begun)]
                gone = {id(order) for order in call.gone}
                self._orders.extendleft(o for o in reversed(waited) if id(o) not in gone)
                self._begun = 0

    def clear(self) -> int:
        """Takes all away with which no call has begun; returns how many they were."""
        with self._lock:
            count = len(self._orders) - self._begun
            for _ in range(count):
                self._orders.pop()
            return count


def effective(orders: Sequence[Order]) -> list[Order]:
    """The orders that matter: the last "now", then the last of all if it is a "next"."""
    urgent = [order for order in orders if order.at == "now"][-1:]
    last = list(orders[-1:])
    return last if last == urgent else [*urgent, *last]


def events_from(values: Any) -> tuple[PromptEvent, ...]:
    """Prompt events from JSON values, checked.

    Raises:
        SnapshotError: they are not in order.
        MagiError: a prompt or its place is not what it should be.
    """
    events = tuple(
        PromptEvent(
            chunk=checked_whole("chunk", value["chunk"], 0, COUNT_LIMIT),
            prompt=checked_prompt(value["prompt"]),
            at=checked_when(value["at"]),
            takes_effect=checked_whole("takes_effect", value["takes_effect"], 0, COUNT_LIMIT),
        )
        for value in values
    )
    places = [event.chunk for event in events]
    if places != sorted(places):
        raise SnapshotError("the prompts of the log are not in order", field="events")
    return events


def checked_when(at: object) -> str:
    """``at`` itself when it is one of ``WHEN``.

    Raises:
        OptionError: it is not.
    """
    if at not in WHEN:
        raise OptionError(f"at is {at!r}; it must be 'next' or 'now'", field="at")
    return str(at)
