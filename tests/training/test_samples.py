"""The story that a sample sheet shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.training.recordings import open_source
from magi_rt.training.samples import STORY, story_from
from magi_rt.training.seeds import seeded

LANTERN = f"{Path(__file__).parent / 'lantern_world.py'}:Lantern"


@pytest.mark.parametrize("world", ["toybox", "calm-toybox"])
def test_a_run_on_a_toybox_plays_the_toybox_story(world: str) -> None:
    assert story_from(open_source(world, 16), seeded(1)) is STORY


def test_a_run_on_another_world_plays_a_story_in_its_own_words() -> None:
    source = open_source(LANTERN, 16)
    told = source.prompts(32, len(STORY), seeded(1), "held_out")
    assert story_from(source, seeded(1)) in told
