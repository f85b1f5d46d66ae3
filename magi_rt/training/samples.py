"""What a world in training looks like: a short story played by the model just exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from magi_rt.media.contact_sheet import contact_sheet
from magi_rt.training.recordings.source import ClipSource

STORY = (
    "a red ball and a blue box in a room by day, gravity pulls down",
    "gravity pulls left",
    "night falls",
    "gravity pulls up",
    "it snows",
    "gravity pulls down and day breaks",
)
CHUNKS_PER_PROMPT = 2
CANDIDATES = 32


def story_from(source: ClipSource, generator: torch.Generator) -> Sequence[str]:
    """A story in the words of the data: of some held-out clips the one with the most prompts.

    The toyboxes have one of their own, so that sheets can be compared from run to run.
    """
    if source.identity.startswith(("world toybox ", "world calm-toybox ")):
        return STORY
    clips = source.prompts(CANDIDATES, len(STORY), generator, "held_out")
    return max(clips, key=lambda prompts: len(set(prompts)))


def write_story(model: Path, sheet: Path, story: Sequence[str] = STORY, *, seed: int = 5) -> None:
    """Play ``story`` and write its contact sheet, one picture per chunk.

    The training run's own random state and threads stay as they are.
    """
    from magi_rt.world import World

    kept = []
    threads = torch.get_num_threads()
    try:
        # not by a graph runtime, which would convert and keep every version of the weights
        with World.open(model, seed=seed, device="cpu", backend="eager") as world:
            for prompt in story:
                for _ in range(CHUNKS_PER_PROMPT):
                    kept.append(world.advance(prompt)[-1])
    finally:
        torch.set_num_threads(threads)
    contact_sheet(kept, sheet, columns=2 * CHUNKS_PER_PROMPT)
