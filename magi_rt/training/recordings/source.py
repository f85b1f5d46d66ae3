"""Where training clips come from: one call for recorded folders and for made-up worlds."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

FRAMES_PER_CHUNK = 8
FRAME_RATE = 24


class ClipBatch(NamedTuple):
    """``pixels`` uint8 [B, chunks * 8, size, size, 3] sRGB, top row first; ``prompts`` [B][chunks].

    A chunk's prompt is the one that holds at its first frame; "" where none does. ``openings``
    [B][chunks]: what would be said if the video began with this chunk; None where no words are
    known for that.
    """

    pixels: Tensor
    prompts: list[list[str]]
    openings: list[list[str | None]]


def first_only(prompts: list[list[str]]) -> list[list[str | None]]:
    """The ``openings`` of clips of which nothing is known but what is said in them."""
    return [[clip[0], *[None] * (len(clip) - 1)] for clip in prompts]


class ClipSource(Protocol):
    """What trainers ask of their data.

    ``split`` is "train", "held_out" or "all". A draw depends on the generator's state alone, which
    lives on the CPU.
    """

    @property
    def size(self) -> int:
        """Height and width of the pictures in pixels."""
        ...

    @property
    def identity(self) -> str:
        """Short and the same as long as the data is: a run that goes on must find it unchanged."""
        ...

    def draw(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> ClipBatch:
        """``batch`` clips of ``chunks`` chunks, 24 frames per second."""
        ...

    def prompts(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> list[list[str]]:
        """The prompts of what ``draw`` would give, without the work of making pictures."""
        ...


def open_source(data: str | Path, size: int) -> ClipSource:
    """A folder of recordings, or a made-up world by its name, as clips of ``size`` pixels a side.

    Raises:
        MediaError: the folder has no clips, or one that cannot be used.
        OptionError: there is no such folder and no such world.
    """
    if Path(data).is_dir():
        from magi_rt.training.recordings.folder import Recordings

        return Recordings(data, size)
    from magi_rt.training.recordings.world_source import WorldSource

    return WorldSource(str(data), size)
