"""What readers subscribe to: ``frame/FORMAT/ROWS/LAYOUT``, ``bell/FORMAT/ROWS/NAME``, ``event``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from magi_rt.errors import OptionError

RAW_FORMATS = ("rgb8", "rgba8", "bgra8", "bgr8")
"""Formats whose payload is the pixels themselves."""

FORMATS = (*RAW_FORMATS, "jpeg")
ANY = "any"
"""In a topic instead of a format: what the server chooses."""

ROWS = ("top", "bottom")
LAYOUTS = ("parts", "packed", "shared")
BYTES_PER_PIXEL = {"rgb8": 3, "rgba8": 4, "bgra8": 4, "bgr8": 3}
EVENT = b"event"
_BELL = re.compile(rb"bell/(\w{1,8})/(\w{1,8})/([0-9a-f]{16})")


@dataclass(frozen=True)
class Topic:
    """One kind of frame that a reader can want.

    Attributes:
        format: ``rgb8``, ``rgba8``, ``bgra8``, ``bgr8``, ``jpeg`` or ``any``.
        rows: ``top`` or ``bottom`` (which row comes first).
        layout: ``parts``, ``packed`` or ``shared``.
        bell: name of the doorbell through which headers come, 16 hexadecimal digits; "" for none.
            Such a topic is subscribed to like others, and nothing is sent under it.

    Raises:
        OptionError: a word is unknown, or the words do not go together: JPEG is always ``top``,
            and neither it nor ``any`` is offered as ``shared``.
    """

    format: str
    rows: str = "top"
    layout: str = "parts"
    bell: str = ""

    def __post_init__(self) -> None:
        for name, words in (("format", (*FORMATS, ANY)), ("rows", ROWS), ("layout", LAYOUTS)):
            value = getattr(self, name)
            if value not in words:
                raise OptionError(
                    f"{name} is {value!r}; take one of {', '.join(words)}", field=name
                )
        if self.format == "jpeg" and self.rows != "top":
            raise OptionError("rows of JPEG is 'bottom'; a JPEG is always 'top'", field="rows")
        if self.layout == "shared" and self.format not in RAW_FORMATS:
            raise OptionError(
                f"{self.format} is not offered in shared memory; take one of "
                f"{', '.join(RAW_FORMATS)}, or the layout 'parts'",
                field="layout",
            )

    @property
    def name(self) -> bytes:
        """As subscribed to and sent."""
        if self.bell:
            return f"bell/{self.format}/{self.rows}/{self.bell}".encode("ascii")
        return f"frame/{self.format}/{self.rows}/{self.layout}".encode("ascii")

    @property
    def kind(self) -> str:
        """Its name without that of a doorbell, for counting."""
        return self.name.decode("ascii").removesuffix(f"/{self.bell}")


def _every_topic() -> dict[bytes, Topic]:
    found = {}
    for pixel_format in (*FORMATS, ANY):
        for rows in ROWS:
            for layout in LAYOUTS:
                try:
                    topic = Topic(pixel_format, rows, layout)
                except OptionError:
                    continue
                found[topic.name] = topic
    return found


TOPICS = _every_topic()
"""Every topic that frames are sent under, by its name on the wire."""


def parse_topic(name: bytes) -> Topic | None:
    """The topic of that name, None when there is no such one."""
    name = bytes(name)
    bell = _BELL.fullmatch(name)
    if bell is None:
        return TOPICS.get(name)
    pixel_format, rows, named = (word.decode("ascii") for word in bell.groups())
    try:
        return Topic(pixel_format, rows, "shared", named)
    except OptionError:
        return None
