"""Which prompts shape a world from which chunk on, and what is kept of a world with them."""

from __future__ import annotations

from dataclasses import dataclass

from magi_rt.stream.snapshot_folder import FileMark
from magi_rt.world import World


@dataclass(frozen=True)
class Shaping:
    """A prompt, the number of the chunk it was given before, and of the first that it shapes."""

    prompt: int
    text: str
    given: int
    first: int


@dataclass(frozen=True)
class Branch:
    """A world that was kept, what had shaped it, and the prompt of its beginning."""

    world: World
    shapings: tuple[Shaping, ...]
    first: tuple[int, str] | None


@dataclass(frozen=True)
class Saved:
    """What a snapshot's file does not tell, and the mark of that file."""

    mark: FileMark
    shapings: tuple[Shaping, ...]
    first: tuple[int, str] | None
