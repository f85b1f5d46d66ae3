"""A made-up world behind the call that recordings answer too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.training import worlds
from magi_rt.training.recordings.source import FRAMES_PER_CHUNK, ClipBatch
from magi_rt.training.worlds.base import Film, Prompt, World
from magi_rt.training.worlds.film import Rhythm, clip_randoms, film

SETTLED = 2
"""Chunks for which a prompt has held when a caption of its room is true of the picture."""


class WorldSource:
    """Clips of a world, made when they are drawn.

    ``name`` is "toybox" or "path/to/world.py:ClassName". The held-out split is another set of
    wordings, as far as the world has one. A world may have a ``rhythm`` of its own. OptionError as
    in ``open_world``.
    """

    def __init__(self, name: str, size: int) -> None:
        try:
            self.world = worlds.open_world(name, size)
        except SystemExit as error:  # which would end the command as if all were well
            raise OptionError(
                f"{name} cannot be opened: its file ends the program; let it do so only under "
                'if __name__ == "__main__":',
                field="world",
            ) from error
        self._name, self._size = name, size
        self._rhythm: Rhythm | None = getattr(self.world, "rhythm", None)

    @property
    def size(self) -> int:
        return self._size

    @property
    def identity(self) -> str:
        """The name, and what its file says; for a built-in world all files of such worlds."""
        path = Path(self._name.rpartition(":")[0])
        files = [path] if path.is_file() else sorted(Path(worlds.__file__).parent.glob("*.py"))
        code = b"".join(file.read_bytes() for file in files)
        return f"world {self._name} {hashlib.sha256(code).hexdigest()[:12]}"

    def draw(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> ClipBatch:
        seen = _Checked(self.world, self._name, [batch, self._size, self._size, 3])
        made = self._film(seen, batch, chunks, generator, split)
        randoms = clip_randoms(batch, generator)
        openings = [
            self._openings(seen, made, row, each, split) for row, each in enumerate(randoms)
        ]
        return ClipBatch(made.pixels, made.prompts, openings)

    def _openings(
        self, world: World, made: Film, row: int, random: Random, split: str
    ) -> list[str | None]:
        """What the first chunk was told, and captions of all whose prompt has settled."""
        prompts = made.prompts[row]
        told: list[str | None] = [prompts[0], *[None] * (len(prompts) - 1)]
        for chunk in range(SETTLED, len(prompts)):
            if len(set(prompts[chunk - SETTLED : chunk + 1])) == 1:
                told[chunk] = world.caption(made.states[chunk], row, random, split).words
        return told

    def prompts(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> list[list[str]]:
        blind = _Unseen(self.world, self._name, [batch, 1, 1, 3])
        return self._film(blind, batch, chunks, generator, split).prompts

    def _film(
        self, world: World, batch: int, chunks: int, generator: torch.Generator, split: str
    ) -> Film:
        return film(
            world,
            batch,
            chunks,
            generator,
            frames_per_chunk=FRAMES_PER_CHUNK,
            split=split,
            rhythm=self._rhythm,
        )


class _Checked:
    """A world whose prompts and pictures are checked; OptionError where it gave other things.

    ``shape``: of the pictures of one frame.
    """

    def __init__(self, world: World, name: str, shape: list[int]) -> None:
        self.world, self.name, self.shape = world, name, shape

    def sample(self, batch: int, generator: torch.Generator) -> Any:
        return self.world.sample(batch, generator)

    def caption(self, state: Any, row: int, random: Random, split: str) -> Prompt:
        return self._said(self.world.caption(state, row, random, split))

    def prompt(self, state: Any, row: int, random: Random, split: str) -> Prompt:
        return self._said(self.world.prompt(state, row, random, split))

    def apply(self, state: Any, meanings: Sequence[Any]) -> Any:
        return self.world.apply(state, meanings)

    def step(self, state: Any) -> Any:
        return self.world.step(state)

    def render(self, state: Any) -> Tensor:
        given = self.world.render(state)
        if not isinstance(given, Tensor | np.ndarray):
            raise self._odd(f"gave {given!r:.60} for pictures")
        pictures = torch.as_tensor(given)
        if pictures.dtype != torch.uint8 or list(pictures.shape) != self.shape:
            kind = str(pictures.dtype).removeprefix("torch.")
            raise self._odd(f"gave {kind} {list(pictures.shape)} for pictures")
        return pictures

    def _said(self, prompt: Prompt) -> Prompt:
        if isinstance(getattr(prompt, "words", None), str) and hasattr(prompt, "meaning"):
            return prompt
        raise OptionError(
            f"{self.name} gave {prompt!r:.60} for a prompt; caption and prompt must give "
            'Prompt(words, meaning), the words a str, "" for nothing',
            field="world",
        )

    def _odd(self, problem: str) -> OptionError:
        return OptionError(
            f"{self.name} {problem}, and uint8 {self.shape} were asked for: one of each clip, of "
            "the size that its class is called with",
            field="world",
        )


class _Unseen(_Checked):
    """A world that nobody looks at: all goes as it would, and no picture is drawn."""

    def render(self, state: Any) -> Tensor:
        return torch.zeros(self.shape, dtype=torch.uint8)
