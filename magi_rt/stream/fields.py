"""Single keys of a map from the wire: the value in its type, or a WireError that names the key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from magi_rt.stream.unpack import WireError

UINT_LIMIT = 2**64
_STREAM = re.compile(r"[0-9a-fA-F]{16}")
_MISSING = object()


def read_version(values: Mapping[str, Any]) -> None:
    """Raise WireError with the code ``version`` unless the map is of version 1."""
    version = read_uint(values, "version")
    if version != 1:
        raise WireError(
            f"version {version} is not spoken here, 1 is", code="version", field="version"
        )


def read_uint(
    values: Mapping[str, Any], key: str, *, least: int = 0, most: int = UINT_LIMIT - 1
) -> int:
    """A whole number from ``least`` to ``most``."""
    value = values.get(key, _MISSING)
    if type(value) is not int:
        raise _ill_typed(key, value, "a whole number")
    if not least <= value <= most:
        raise WireError(f"{key} is {value}; it goes from {least} to {most}", field=key)
    return value


def read_number(values: Mapping[str, Any], key: str) -> float:
    """A finite number of 0 or more; whole ones count, since packers write 24.0 as 24."""
    value = values.get(key, _MISSING)
    if type(value) is not float and type(value) is not int:
        raise _ill_typed(key, value, "a number")
    assert isinstance(value, float | int)
    if not (math.isfinite(value) and value >= 0):
        raise WireError(f"{key} is {value}; it is finite and not negative", field=key)
    return float(value)


def read_flag(values: Mapping[str, Any], key: str) -> bool:
    """True or false."""
    value = values.get(key, _MISSING)
    if type(value) is not bool:
        raise _ill_typed(key, value, "true or false")
    return value


def read_text(values: Mapping[str, Any], key: str) -> str:
    """Text."""
    value = values.get(key, _MISSING)
    if type(value) is not str:
        raise _ill_typed(key, value, "text")
    return value


def read_word(values: Mapping[str, Any], key: str, words: tuple[str, ...]) -> str:
    """One of some words."""
    value = read_text(values, key)
    if value not in words:
        raise WireError(f"{key} is {value[:40]!r}; there are {', '.join(words)}", field=key)
    return value


def read_stream(values: Mapping[str, Any]) -> str:
    """The stream's id, 16 hexadecimal digits."""
    value = read_text(values, "stream")
    if _STREAM.fullmatch(value) is None:
        raise WireError(f"stream is {value[:40]!r}, not 16 hexadecimal digits", field="stream")
    return value


def _ill_typed(key: str, value: object, wanted: str) -> WireError:
    if value is _MISSING:
        return WireError(f"the key {key} is missing", field=key)
    return WireError(f"{key} is {type(value).__name__}, not {wanted}", field=key)
