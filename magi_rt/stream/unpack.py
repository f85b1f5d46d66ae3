"""One msgpack map out of bytes that somebody else made, within the limits of the protocol."""

from __future__ import annotations

from typing import Any

import msgpack

from magi_rt.errors import MagiError

MAX_DEPTH = 4
MAX_ENTRIES = 64
MAX_STRING_BYTES = 16_000
FLAT_BEYOND_BYTES = 65_536
"""A longer message is one flat map: millions of empty maps would fill the memory."""


class WireError(MagiError):
    """A message is not what the protocol says; it does not count.

    Attributes:
        code: ``malformed``, ``version`` or ``too_large``.
    """

    def __init__(self, message: str, *, code: str = "malformed", field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.code = code


def bounded_unpack(data: bytes | memoryview, limit: int) -> dict[str, Any]:
    """The map that a message holds.

    Keys are text; maps and arrays have at most 64 entries and lie at most 4 deep (the outermost
    map is the first); text has at most 16,000 bytes of UTF-8. Of a key that comes twice the last
    value counts.

    Args:
        limit: most bytes that the message may have.

    Raises:
        WireError: ``too_large``, or ``malformed`` for anything else.
    """
    if len(data) > limit:
        raise WireError(
            f"the message has {len(data):,} bytes; at most {limit:,} are taken", code="too_large"
        )
    try:
        if len(data) > FLAT_BEYOND_BYTES:
            _check_flat(data)
        value = msgpack.unpackb(
            data, ext_hook=_no_extension, max_str_len=MAX_STRING_BYTES, max_bin_len=limit,
            max_array_len=MAX_ENTRIES, max_map_len=MAX_ENTRIES, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise WireError(f"the message is no msgpack within the limits ({reason})") from error
    if not isinstance(value, dict):
        raise WireError(f"the message holds no map, but {type(value).__name__}")
    _check_nested(value, 1)
    return value


def _check_flat(data: bytes | memoryview) -> None:
    """Reads over the map without keeping anything of it; ValueError for maps and arrays inside."""
    reader = msgpack.Unpacker(max_buffer_size=len(data), max_map_len=MAX_ENTRIES)
    reader.feed(data)
    for _ in range(2 * reader.read_map_header()):
        at = reader.tell()
        if at < len(data) and (0x80 <= data[at] <= 0x9F or 0xDC <= data[at] <= 0xDF):
            raise ValueError(f"a map or array inside a map of over {FLAT_BEYOND_BYTES:,} bytes")
        reader.skip()


def _check_nested(value: dict[Any, Any] | list[Any], depth: int) -> None:
    """msgpack itself bounds lengths; depth and the type of keys are looked at here."""
    if depth > MAX_DEPTH:
        raise WireError(f"the message is nested deeper than {MAX_DEPTH} maps and arrays")
    inner = value
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise WireError(f"a key is {type(key).__name__}; keys are text")
        inner = list(value.values())
    for each in inner:
        if type(each) is dict or type(each) is list:
            _check_nested(each, depth + 1)


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code}")
