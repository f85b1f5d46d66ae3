"""The requests of the control socket as frozen dataclasses, each with the rules of its keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magi_rt.stream.request_fields import (
    Flag,
    Kind,
    Number,
    OneOf,
    Picture,
    Text,
    Versions,
    Whole,
)
from magi_rt.world.prompt_text import CHARACTER_LIMIT

VERSION = 1
"""Version of the protocol that is spoken here."""

ID_LIMIT = 2**53
REQUEST_BYTES = 65_536
IMAGE_BYTES = 8_388_608
IMAGE_REQUEST_BYTES = IMAGE_BYTES + REQUEST_BYTES
"""Longest request with an image, in bytes; others end at ``REQUEST_BYTES``."""

SEED_LIMIT = 2**63
FPS_RANGE = (1.0, 240.0)
FORMATS = ("rgb8", "rgba8", "bgra8", "bgr8", "jpeg")
SHARED = tuple(f"{name}/{rows}" for name in FORMATS[:-1] for rows in ("top", "bottom"))
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLIENT = re.compile(r"[ -~]{1,64}")


@dataclass(frozen=True)
class Hello:
    """Who is there? Also chooses the version and may ask for a shared-memory file."""

    kind: ClassVar[str] = "hello"
    rules: ClassVar[dict[str, Kind]] = {
        "versions": Versions(),
        "name": Text(characters=64),
        "shared": OneOf(SHARED),
    }
    versions: tuple[int, ...]
    name: str = ""
    shared: str = ""


@dataclass(frozen=True)
class Prompt:
    """What the world shall show from now on."""

    kind: ClassVar[str] = "prompt"
    rules: ClassVar[dict[str, Kind]] = {
        "text": Text(characters=CHARACTER_LIMIT),
        "at": OneOf(("next", "now")),
        "flush": Flag(),
    }
    text: str
    at: str = "next"
    flush: bool = False


@dataclass(frozen=True)
class Reset:
    """Begin anew. ``seed`` None: the same again; ``text`` None: with the server's first prompt."""

    kind: ClassVar[str] = "reset"
    rules: ClassVar[dict[str, Kind]] = {
        "seed": Whole(0, SEED_LIMIT - 1),
        "text": Text(characters=CHARACTER_LIMIT),
    }
    seed: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Image:
    """Begin anew from a picture file (PNG, JPEG or WebP)."""

    kind: ClassVar[str] = "image"
    rules: ClassVar[dict[str, Kind]] = {"image": Picture(IMAGE_BYTES), **Reset.rules}
    image: bytes
    seed: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Rewind:
    """Take chunks back: the last so many that were shown, or all from the chunk ``to`` on."""

    kind: ClassVar[str] = "rewind"
    rules: ClassVar[dict[str, Kind]] = {"chunks": Whole(1, 2**31), "to": Whole(0, 2**53)}
    chunks: int | None = None
    to: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """Write the world to the server's snapshot folder."""

    kind: ClassVar[str] = "snapshot"
    rules: ClassVar[dict[str, Kind]] = {
        "name": Text(pattern=NAME, means="1 to 64 of A-Z a-z 0-9 _ -")
    }
    name: str


@dataclass(frozen=True)
class Restore:
    """Go to a snapshot or a fork."""

    kind: ClassVar[str] = "restore"
    rules: ClassVar[dict[str, Kind]] = Snapshot.rules
    name: str


@dataclass(frozen=True)
class Fork:
    """Keep the world's present state in memory."""

    kind: ClassVar[str] = "fork"
    rules: ClassVar[dict[str, Kind]] = Snapshot.rules
    name: str


@dataclass(frozen=True)
class Pause:
    """Show no more frames."""

    kind: ClassVar[str] = "pause"
    rules: ClassVar[dict[str, Kind]] = {}


@dataclass(frozen=True)
class Resume:
    """Go on showing frames."""

    kind: ClassVar[str] = "resume"
    rules: ClassVar[dict[str, Kind]] = {}


@dataclass(frozen=True)
class Set:
    """Change how frames are shown; None leaves a setting as it is."""

    kind: ClassVar[str] = "set"
    rules: ClassVar[dict[str, Kind]] = {
        "fps": Number(*FPS_RANGE),
        "format": OneOf(FORMATS),
        "quality": Whole(1, 100),
    }
    fps: float | None = None
    format: str | None = None
    quality: int | None = None


@dataclass(frozen=True)
class Stats:
    """The server's counters."""

    kind: ClassVar[str] = "stats"
    rules: ClassVar[dict[str, Kind]] = {}


@dataclass(frozen=True)
class Bye:
    """This client leaves."""

    kind: ClassVar[str] = "bye"
    rules: ClassVar[dict[str, Kind]] = {}


Body = (
    Hello | Prompt | Reset | Image | Rewind | Snapshot | Restore | Fork | Pause | Resume | Set
    | Stats | Bye
)  # fmt: skip
BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        Hello, Prompt, Reset, Image, Rewind, Snapshot, Restore, Fork, Pause, Resume, Set, Stats,
        Bye,
    )
}  # fmt: skip
APPLIED_LATER = ("prompt", "reset", "image", "rewind", "restore")
"""Types whose ``accepted`` is followed by ``applied`` or an error."""


@dataclass(frozen=True)
class Request:
    """One request of one client.

    Attributes:
        client: 1 to 64 printable ASCII characters, chosen once by the client.
        id: 1 .. 2**53.
    """

    client: str
    id: int
    body: Body
