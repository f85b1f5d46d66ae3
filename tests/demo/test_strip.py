"""The strip of chunks below a picture, made from frames of a client that is slow to answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from magi_rt.demo.picture import Picture
from magi_rt.stream.received import Received
from magi_rt.stream.server_facts import ServerFacts
from tests.stream.support import HEADER

FACTS = ServerFacts(
    server="s", model="m", width=4, height=3, fps=24, frames_per_chunk=8, delay_chunks=0,
    prompt_characters=9, formats=(), format="rgb8", paused=False, buffer_ms=1, frames="", prompt=3,
    text="it rains",
)  # fmt: skip


class SlowClient:
    """Knows what the prompt is, and says it after a while."""

    facts = FACTS
    connected = True

    def watching(self, **_: Any) -> Any:
        return SimpleNamespace(close=lambda: None)

    def hello(self) -> ServerFacts:
        time.sleep(0.1)
        return FACTS

    def close(self) -> None:
        pass


def first_frame(chunk: int, prompt: int) -> Received:
    header = replace(HEADER, chunk=chunk, prompt=prompt, seq=chunk)
    return Received(header, np.zeros(HEADER.size, np.uint8), 0, 0)


def test_a_chunk_whose_prompt_is_asked_for_comes_before_the_next_one() -> None:
    async def strip() -> list[tuple[int, str]]:
        told: list[dict[str, Any]] = []
        picture = Picture(0, SlowClient(), told.append, lambda: None)  # type: ignore[arg-type]
        picture._show(first_frame(5, prompt=3))
        picture._show(first_frame(6, prompt=0))
        while len(told) < 2:
            await asyncio.sleep(0.01)
        picture.close()
        return [(note.chunk, note.text) for note in picture.strip]

    assert asyncio.run(strip()) == [(5, "it rains"), (6, "")]
