"""What the keys of requests may hold: TypeError for another type, ValueError outside a range."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Protocol


class Kind(Protocol):
    """What one key may hold."""

    def check(self, key: str, value: object) -> Any:
        """The value, in the type that is used from here on.

        Raises:
            TypeError, ValueError: with a sentence that names the key and what it may hold.
        """
        ...


@dataclass(frozen=True)
class Text:
    """Text: of at most so many characters, or of a pattern that ``means`` says in words."""

    characters: int = 0
    pattern: re.Pattern[str] | None = None
    means: str = ""

    def check(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{key} must be text, not {type(value).__name__}")
        if self.pattern is None and len(value) > self.characters:
            raise ValueError(
                f"{key} has {len(value):,} characters; at most {self.characters:,} are taken"
            )
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            raise ValueError(f"{key} {value[:80]!r} cannot be used; take {self.means}")
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    def check(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{key} must be text, not {type(value).__name__}")
        if value not in self.words:
            raise ValueError(f"{key} is {value[:40]!r}; take one of {', '.join(self.words)}")
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number within a range."""

    least: int
    most: int

    def check(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{key} must be a whole number, not {type(value).__name__}")
        if not self.least <= value <= self.most:
            raise ValueError(f"{key} is {value}; it goes from {self.least} to {self.most}")
        return value


@dataclass(frozen=True)
class Number:
    """A number within a range; whole ones are taken as well, since packers write 24.0 as 24."""

    least: float
    most: float

    def check(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{key} must be a number, not {type(value).__name__}")
        if not (math.isfinite(value) and self.least <= value <= self.most):
            raise ValueError(f"{key} is {value:g}; it goes from {self.least:g} to {self.most:g}")
        return float(value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, key: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{key} must be true or false, not {type(value).__name__}")
        return value


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture file."""

    limit: int

    def check(self, key: str, value: object) -> bytes:
        if not isinstance(value, bytes):
            raise TypeError(f"{key} must be binary, not {type(value).__name__}")
        if not 1 <= len(value) <= self.limit:
            raise ValueError(f"{key} has {len(value):,} bytes; it takes 1 to {self.limit:,}")
        return value


@dataclass(frozen=True)
class Versions:
    """Versions of the protocol that a client speaks."""

    def check(self, key: str, value: object) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or not all(
            isinstance(each, int) and not isinstance(each, bool) for each in value
        ):
            raise TypeError(f"{key} must be an array of whole numbers")
        if not value:
            raise ValueError(f"{key} is empty; name at least one version")
        return tuple(value)
