"""What keys do in `magi-rt view`: some belong to the viewer, the others speak to the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches

from magi_rt.errors import OptionError
from magi_rt.world.actions import ActionMap, key_name
from magi_rt.world.prompt_text import CHARACTER_LIMIT

OWN = {
    "enter": "type", "escape": "leave", "q": "leave", "p": "pause", "backspace": "rewind",
    "r": "record",
}  # fmt: skip
"""Keys of the viewer; they come before those of the map."""


@dataclass(frozen=True)
class Order:
    """What is to be done: ``prompt`` (with its text), ``pause``, ``rewind``, ``record``, ``leave``.

    Pause and record are taken back by themselves.
    """

    verb: str
    text: str = ""


class Controls:
    """Turns keys into orders; knows nothing of windows and worlds.

    Args:
        actions: what the other keys say.

    Attributes:
        typed: the prompt as typed so far, None while none is being typed.
    """

    def __init__(self, actions: ActionMap) -> None:
        self.actions = actions
        self.typed: str | None = None

    def press(self, key: str) -> Order | None:
        """A key went down: a name such as "left", or a character; None when nothing is to do."""
        if self.typed is not None:
            return self._type(key, self.typed)
        name = key_name(key)
        own = OWN.get(name)
        if own == "type":
            self.typed = ""
            return None
        if own is not None:
            return Order(own)
        text = self.actions.key(name)
        return None if text is None else Order("prompt", text)

    def _type(self, key: str, typed: str) -> Order | None:
        if key == "escape":
            self.typed = None
        elif key == "enter":
            self.typed, text = None, typed.strip()
            return Order("prompt", text) if text else None
        elif key == "backspace":
            self.typed = typed[:-1]
        elif len(key) == 1 and key.isprintable() and len(typed) < CHARACTER_LIMIT:
            self.typed = typed + key
        return None

    def help(self) -> str:
        """The keys in a few lines."""
        said = [f"  {key}: {text}" for key, text in self.actions.keys.items() if key not in OWN]
        own = "Enter types a prompt, Backspace goes back, p pauses, r records, q or Escape leaves"
        return "\n".join([own, *said])


@dataclass(frozen=True)
class Press:
    """A key that goes down by itself, so many seconds after the beginning."""

    at_s: float
    key: str


def parse_presses(text: str, actions: ActionMap) -> list[Press]:
    """``n@1,left@2.5`` as presses in the order of their times; "" for none.

    Raises:
        OptionError: a part is not KEY@SECONDS, or its key does nothing.
    """
    known = [*OWN, *actions.keys]
    presses = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, _, seconds = part.rpartition("@")
        at_s = _number(seconds)
        if not key or at_s is None:
            raise OptionError(
                f"--press {part!r} is not KEY@SECONDS, as in n@1 or left@2.5", field="press"
            )
        if key_name(key) not in known:
            near = get_close_matches(key_name(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise OptionError(
                f"--press: no key {key!r}{hint} Keys are {', '.join(sorted(known))}", field="press"
            )
        presses.append(Press(at_s, key_name(key)))
    return sorted(presses, key=lambda press: press.at_s)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
