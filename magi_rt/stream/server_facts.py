"""What a server says of itself when it is greeted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        model: name of what it runs; ``server`` names the program and its version.
        width, height: of its frames in pixels.
        fps: frames shown per second.
        frames_per_chunk, delay_chunks: see :class:`magi_rt.World`.
        prompt_characters: longest prompt.
        formats: pixel formats it can send; ``format`` is what a reader of ``any`` gets.
        buffer_ms: most milliseconds of frames that wait before a prompt shows.
        frames: where frames go out by the server's own names, which need not be a client's; "" when
            on every interface.
        prompt, text: what shapes the frame on show; 0 and "" before the first prompt.
    """

    server: str
    model: str
    width: int
    height: int
    fps: float
    frames_per_chunk: int
    delay_chunks: int
    prompt_characters: int
    formats: tuple[str, ...]
    format: str
    paused: bool
    buffer_ms: float
    frames: str
    prompt: int
    text: str


def facts_from(values: Mapping[str, Any]) -> ServerFacts:
    """What a ``hello`` was answered with."""
    formats = tuple(values.get("formats", ()))
    names = [name for name in ServerFacts.__dataclass_fields__ if name != "formats"]
    missing = {"prompt": 0}
    return ServerFacts(
        formats=formats, **{name: values.get(name, missing.get(name, "")) for name in names}
    )
