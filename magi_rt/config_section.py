"""Strict reading of one section of a configuration: every key there, none unknown, all typed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NoReturn, Self, get_args, get_origin, get_type_hints

from magi_rt.errors import ConfigError

LARGEST = 1_000_000
"""Numbers of a configuration are sizes and counts; beyond this a file is damaged."""


def _fits(value: object, hint: Any) -> bool:
    """True when a value has the annotated type; a bool is no number, a whole number is a float."""
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, tuple) and all(_fits(item, inner) for item in value)
    if get_args(hint):
        return any(_fits(value, choice) for choice in get_args(hint))
    if hint is int or hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return isinstance(value, int) if hint is int else math.isfinite(value)
    return isinstance(value, hint)


def _spell(hint: Any) -> str:
    """A type as a word for people."""
    if get_origin(hint) is tuple:
        return f"a list of {_spell(get_args(hint)[0])}"
    if get_args(hint):
        return " or ".join(_spell(choice) for choice in get_args(hint))
    names = {int: "whole number", float: "finite number", str: "text", bool: "true or false"}
    return names.get(hint, "null")


def optional_key() -> Any:
    """A field that a file may leave out; None stands for that and is not written."""
    return dataclasses.field(default=None, metadata={"optional": True})


def _optional(section: Any) -> set[str]:
    return {each.name for each in dataclasses.fields(section) if "optional" in each.metadata}


class ConfigSection:
    """Base of the frozen section dataclasses: strict reading, checks, writing."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, section: str | None = None) -> Self:
        """Builds a section from JSON values; lists become tuples.

        Raises:
            ConfigError: a key is missing, unknown or wrongly typed, or keys contradict.
        """
        where = section or cls.__name__
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} must be an object, not {data!r}", field=where)
        known = get_type_hints(cls)
        unknown = sorted(str(key) for key in data if key not in known)
        missing = [key for key in known if key not in data and key not in _optional(cls)]
        if unknown:
            raise ConfigError(
                f"{where} has unknown keys: {', '.join(unknown)}; remove them", field=unknown[0]
            )
        if missing:
            raise ConfigError(
                f"{where} lacks keys: {', '.join(missing)}; every key must be present",
                field=missing[0],
            )
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in data.items()})

    def to_dict(self) -> dict[str, Any]:
        """The section as JSON values; tuples become lists."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        unsaid = {key for key in _optional(self) if values[key] is None}
        written = {key: v for key, v in values.items() if key not in unsaid}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in written.items()}

    def check_types(self) -> None:
        """Raises ConfigError unless every field has its annotated type."""
        for key, hint in get_type_hints(type(self)).items():
            if not _fits(getattr(self, key), hint):
                self.refuse(key, f"it must be {_spell(hint)}")

    def check_positive(self, *keys: str) -> None:
        """Raises ConfigError unless the named numbers are greater than 0 and no size is absurd."""
        for key in keys:
            if getattr(self, key) <= 0:
                self.refuse(key, "it must be greater than 0")
            self.check_most(key, LARGEST)

    def check_most(self, key: str, most: int) -> None:
        """Raises ConfigError when the named number is above ``most``."""
        if getattr(self, key) > most:
            self.refuse(key, f"it must be at most {most:,}")

    def check_choice(self, key: str, choices: tuple[str, ...]) -> None:
        """Raises ConfigError unless the named text is one of the choices."""
        if getattr(self, key) not in choices:
            self.refuse(key, f"it must be one of {', '.join(repr(c) for c in choices)}")

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raises ConfigError saying the field's value and why it cannot be."""
        value = getattr(self, key)
        shown = list(value) if isinstance(value, tuple) else value
        raise ConfigError(f"{key} is {shown!r}; {why}", field=key)
