"""Keys, sticks and gestures become prompts: one small table that any game loop can use.

A world has no buttons. Whatever a player does ends as an ordinary prompt, given to
``world.prompt(text)`` or ``client.prompt(text)``; this module says which.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from magi_rt.errors import ConfigError, OptionError
from magi_rt.world.prompt_text import CHARACTER_LIMIT

MOST_BYTES = 2**16
MOST_ENTRIES = 200

WAYS = ("right", "up", "left", "down")
"""The directions of a pull, counted against the clock from the right."""

_TABLES = ("start", "keys", "pull", "suggestions")
_OTHER_NAMES = {
    " ": "space", "spacebar": "space", "return": "enter", "esc": "escape", "arrowleft": "left",
    "arrowright": "right", "arrowup": "up", "arrowdown": "down",
}  # fmt: skip


def key_name(key: str) -> str:
    """One name for a key, however a toolkit spells it.

    Browsers say "ArrowLeft" and " ", pygame says "left" and "space": both become "left" and
    "space". Letters become small.
    """
    small = key.lower() if key.isspace() else key.strip().lower()
    return _OTHER_NAMES.get(small, small)


@dataclass(frozen=True)
class Suggestions:
    """Prompts that belong together, for chips and menus.

    title: a word or two for people.
    prompts: what the world understands well.
    """

    title: str
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class ActionMap:
    """What every key and direction says to a world.

    start: a prompt to begin with, "" for none.
    keys: key name (see :func:`key_name`) -> prompt.
    pull: a direction out of ``WAYS`` -> prompt, for sticks, drags and tilts.
    suggestions: groups of prompts to offer.
    """

    start: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    pull: Mapping[str, str] = field(default_factory=dict)
    suggestions: tuple[Suggestions, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> ActionMap:
        """Reads a TOML file with ``start``, ``[keys]``, ``[pull]`` and ``[[suggestions]]``.

        Raises:
            ConfigError: there is no such file, it is too large, is not TOML, or has an unknown or
                wrongly typed entry.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"the action map {path} cannot be read: {reason}") from error
        if len(content) > MOST_BYTES:
            raise ConfigError(f"the action map {path} is larger than {MOST_BYTES} bytes")
        try:
            table = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:  # also digits and tables without end
            raise ConfigError(f"the action map {path} is not TOML: {error}") from error
        try:
            return cls.from_table(table)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", field=error.field) from error

    @classmethod
    def of(cls, model: str | Path) -> ActionMap:
        """The map that lies beside a model's configuration as ``actions.toml``; empty without.

        Raises:
            CheckpointError: there is no such model.
            ConfigError: the map is wrong.
        """
        from magi_rt.checkpoints.layout import ACTIONS, BUILT_IN_FOLDER, locate

        folder = BUILT_IN_FOLDER if model == "dummy" else locate(model).folder
        path = folder / ACTIONS
        return cls.load(path) if path.exists() else cls()

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> ActionMap:
        """A map from the content of such a file; ConfigError where an entry is wrong."""
        _refuse_unknown(table, _TABLES, "an action map")
        keys = _prompts(table.get("keys", {}), "keys")
        pull = _prompts(table.get("pull", {}), "pull")
        _refuse_unknown(pull, WAYS, "[pull]")
        groups = table.get("suggestions", [])
        if not isinstance(groups, list) or len(groups) > MOST_ENTRIES:
            raise ConfigError(
                f"suggestions must be [[suggestions]] tables, at most {MOST_ENTRIES}",
                field="suggestions",
            )
        return cls(
            start=_prompt(table.get("start", ""), "start"),
            keys=MappingProxyType(_by_key(keys)),
            pull=MappingProxyType(pull),
            suggestions=tuple(_group(group) for group in groups),
        )

    def to_table(self) -> dict[str, Any]:
        """The content of the file again, of plain dicts, lists and strings."""
        return {
            "start": self.start,
            "keys": dict(self.keys),
            "pull": dict(self.pull),
            "suggestions": [
                {"title": group.title, "prompts": list(group.prompts)} for group in self.suggestions
            ],
        }

    def key(self, key: str) -> str | None:
        """The prompt of a key that went down; ``None`` for a key that says nothing."""
        return self.keys.get(key_name(key))

    def stick(self, *, dead_zone: float = 0.35) -> Stick:
        """A stick, drag or tilt that speaks through this map; one per player and device."""
        return Stick(self.pull, dead_zone=dead_zone)


class Stick:
    """Turns where something points into a prompt, once each time the direction changes.

    A direction is taken when the stick leaves the dead zone, and held until it points clearly
    elsewhere (``MARGIN`` degrees past the border), so that a shaky hand does not talk all the
    time. Back in the middle nothing is said, but the next pull speaks again, also the same way.

    Args:
        pull: direction -> prompt.
        dead_zone: how far the stick must move, 0.05 .. 0.95 of its way.
    """

    MARGIN = 12.0
    """Degrees past the border between two directions at which the new one counts."""

    RETURN = 0.7
    """The stick is in the middle again below this share of the dead zone."""

    def __init__(self, pull: Mapping[str, str], *, dead_zone: float = 0.35) -> None:
        if not 0.05 <= dead_zone <= 0.95:
            raise OptionError(
                f"dead_zone is {dead_zone}; use 0.05 to 0.95 of the stick's way", field="dead_zone"
            )
        self.pull, self.dead_zone = pull, dead_zone
        self.way: str | None = None

    def move(self, x: float, y: float) -> str | None:
        """The stick is at (x, y): right and up are positive, 1 is its whole way.

        Returns:
            The prompt of a direction that was not taken before, else ``None``. Places that are
            no numbers change nothing.
        """
        reach = math.hypot(x, y)
        if not math.isfinite(reach):
            return None
        if reach < self.dead_zone * (self.RETURN if self.way else 1.0):
            self.way = None
            return None
        way = self._points(math.degrees(math.atan2(y, x)) % 360.0)
        if way == self.way:
            return None
        self.way = way
        return self.pull.get(way)

    def _points(self, angle: float) -> str:
        if self.way is not None:
            middle = 90.0 * WAYS.index(self.way)
            off = abs((angle - middle + 180.0) % 360.0 - 180.0)
            if off <= 45.0 + self.MARGIN:
                return self.way
        return WAYS[round(angle / 90.0) % 4]


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in table:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? It" if near else "it"
            raise ConfigError(
                f"{place} has no entry {name!r}; {hint} may have {', '.join(known)}", field=name
            )


def _by_key(prompts: Mapping[str, str]) -> dict[str, str]:
    """The same under one name for every key; ConfigError where two entries are of one."""
    found: dict[str, str] = {}
    for spelling, prompt in prompts.items():
        key = key_name(spelling)
        if key in found:
            raise ConfigError(
                f"[keys] has two entries for the key {key!r}, one of them {spelling!r}; keep one",
                field=spelling,
            )
        found[key] = prompt
    return found


def _prompts(table: object, place: str) -> dict[str, str]:
    if not isinstance(table, Mapping) or len(table) > MOST_ENTRIES:
        raise ConfigError(f"[{place}] must be a table of at most {MOST_ENTRIES} prompts")
    return {str(name): _prompt(prompt, f"{place}.{name}") for name, prompt in table.items()}


def _prompt(prompt: object, place: str) -> str:
    if not isinstance(prompt, str) or len(prompt) > CHARACTER_LIMIT:
        raise ConfigError(
            f"{place} must be a prompt of at most {CHARACTER_LIMIT} characters, "
            f"not {str(prompt)[:40]!r}",
            field=place,
        )
    return prompt


def _group(group: object) -> Suggestions:
    if not isinstance(group, Mapping):
        raise ConfigError(
            f"a suggestion must be a table with title and prompts, not {str(group)[:40]!r}",
            field="suggestions",
        )
    _refuse_unknown(group, ("title", "prompts"), "[[suggestions]]")
    prompts = group.get("prompts", [])
    if not isinstance(prompts, list) or len(prompts) > MOST_ENTRIES:
        raise ConfigError(
            f"suggestions.prompts must be a list of at most {MOST_ENTRIES} prompts",
            field="suggestions",
        )
    title = _prompt(group.get("title", ""), "suggestions.title")
    return Suggestions(title, tuple(_prompt(each, "suggestions.prompts") for each in prompts))
