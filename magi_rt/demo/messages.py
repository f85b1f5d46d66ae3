"""What the page and the demo tell each other; docs/demo.md lists every message."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from magi_rt.errors import MagiError
from magi_rt.stream.received import Received
from magi_rt.world.prompt_text import CHARACTER_LIMIT

TEXT_BYTES = 16_384
"""Longest message of a page that carries no picture."""

PICTURE_BYTES = 12 * 2**20
"""Longest message that carries one: 8 MiB as base64, and a little more."""

FRAME_HEAD = struct.Struct("<BBBBIIIIHHd")
"""Before the pixels of a frame: version, picture, format (0 RGBA, 1 JPEG), flags (1: first of its
epoch), epoch, chunk, frame, prompt, width, height, and milliseconds since 1970 when it was sent."""

RGBA, JPEG = 0, 1
_VERSION = 1


class PageError(MagiError):
    """A page asked for something that cannot be read or done."""


@dataclass(frozen=True)
class Field:
    """One value of a request: its type, its bounds, and what it is when left out.

    least, most: of numbers, or of the length of texts.
    """

    kind: type
    least: float = 0
    most: float = 2**31 - 1
    default: Any = None
    needed: bool = True


_TEXT = Field(str, 0, CHARACTER_LIMIT)
_NAME = Field(str, 1, 64)
_CHUNK = Field(int, 0, 2**53)
_PICTURE = Field(int, 0, 1, default=0, needed=False)
_SEED = Field(int, 0, 2**31 - 1, needed=False)

REQUESTS: Mapping[str, Mapping[str, Field]] = {
    "prompt": {"text": _TEXT, "picture": _PICTURE},
    "key": {"key": Field(str, 1, 32), "picture": _PICTURE},
    "pull": {
        "device": Field(str, 1, 16),
        "x": Field(float, -1e6, 1e6),
        "y": Field(float, -1e6, 1e6),
        "picture": _PICTURE,
    },
    "rewind": {"chunk": _CHUNK, "picture": _PICTURE},
    "fork": {"chunk": _CHUNK},
    "unfork": {},
    "reset": {"seed": _SEED},
    "image": {
        "data": Field(str, 1, PICTURE_BYTES),
        "text": Field(str, 0, CHARACTER_LIMIT, needed=False),
    },
    "pause": {},
    "resume": {},
    "fps": {"fps": Field(float, 1, 240)},
    "record": {"on": Field(bool)},
    "save": {"name": _NAME},
    "load": {"name": _NAME},
    "wheel": {"give": Field(int, needed=False)},
}
"""Every verb with its values."""


@dataclass(frozen=True)
class PageRequest:
    """One request of a page; the answer carries the same id."""

    id: int
    verb: str
    values: Mapping[str, Any]


def read_request(text: str) -> PageRequest:
    """A message of a page, checked.

    Raises:
        PageError: it is too long, no JSON object, of an unknown verb, or a value is wrong. Its
            ``field`` is "id:N" when the id could be read.
    """
    limit = PICTURE_BYTES if '"image"' in text[:256] else TEXT_BYTES
    if len(text) > limit:
        raise PageError(f"a message has {len(text):,} characters; at most {limit:,} are read")
    if text.count("[") + text.count("{") > TEXT_BYTES:
        # millions of empty lists in place of a picture would take seconds and the memory
        raise PageError("a message is not JSON of one flat object")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PageError(f"a message is not JSON: {error}") from None
    if not isinstance(body, dict) or not _whole(body.get("id")) or body["id"] < 0:
        raise PageError('a message must be an object with a whole number "id", 0 or more')
    number = int(body["id"])
    verb = body.get("do")
    if not isinstance(verb, str) or verb not in REQUESTS:
        known = ", ".join(REQUESTS)
        raise PageError(f'"do" is {str(verb)[:40]!r}; it must be one of {known}', field=_at(number))
    values = {name: _read(body, name, field, number) for name, field in REQUESTS[verb].items()}
    return PageRequest(number, verb, values)


def _read(body: Mapping[str, Any], name: str, field: Field, number: int) -> Any:
    value = body.get(name)
    if value is None and not field.needed:
        return field.default
    if not _fits(value, field):
        kind = {str: "text", int: "whole number", float: "number", bool: "true or false"}
        bounds = "" if field.kind is bool else f" from {field.least:g} to {field.most:g}"
        letters = " characters" if field.kind is str else ""
        raise PageError(
            f"{name} is {str(value)[:40]!r}; it must be a {kind[field.kind]}{bounds}{letters}",
            field=_at(number),
        )
    return float(value or 0) if field.kind is float else value


def _fits(value: Any, field: Field) -> bool:
    if field.kind is bool:
        return isinstance(value, bool)
    if field.kind is str:
        return isinstance(value, str) and field.least <= len(value) <= field.most
    if field.kind is int and not _whole(value):
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return field.least <= value <= field.most  # exact for whole numbers, false for "not a number"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at(number: int) -> str:
    return f"id:{number}"


def id_of(error: PageError) -> int | None:
    """The id of the request that an error of :func:`read_request` is about, where it had one."""
    name, _, number = (error.field or "").partition(":")
    return int(number) if name == "id" else None


def frame_message(received: Received, picture: int) -> bytes:
    """A frame as the page takes it: head and pixels."""
    header = received.header
    head = FRAME_HEAD.pack(
        _VERSION, picture, JPEG if header.format == "jpeg" else RGBA, int(header.first_of_epoch),
        header.epoch & 0xFFFFFFFF, header.chunk & 0xFFFFFFFF, header.frame & 0xFFFFFFFF,
        header.prompt & 0xFFFFFFFF, header.width, header.height, time.time() * 1e3,
    )  # fmt: skip
    return head + bytes(received.payload)
