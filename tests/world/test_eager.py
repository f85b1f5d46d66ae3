"""The promises of a world hold, bit for bit, on real networks (small and random)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magi_rt.errors import SnapshotError
from magi_rt.models.special_tokens import SPECIAL_ROWS
from magi_rt.world import World
from magi_rt.world.snapshot import Snapshot
from tests.backends.graph_kit import need
from tests.support import write_model
from tests.world.kit import same_pixels, story


def small_world(folder: Path, **options: Any) -> World:
    return World.open(folder, **{"seed": 5, "steps": 8, "window": 2, **options})


ENGINES = ["eager", pytest.param("openvino", marks=pytest.mark.engine)]
AFTER = (None, "night falls", None, None, "it snows", None)


@pytest.mark.parametrize("backend", ENGINES)
def test_fork_rewind_snapshot_and_replay_continue_alike(
    talking_model: Path, tmp_path: Path, backend: str
) -> None:
    if backend != "eager":
        need(backend)
    world = small_world(talking_model, backend=backend)
    before = story(world, "a red ball", "rain", None)
    twin = world.fork()
    world.snapshot().save(tmp_path / "here.safetensors")
    expected = story(world, *AFTER)
    assert same_pixels(story(twin, *AFTER), expected)
    world.rewind(len(AFTER))
    assert same_pixels(story(world, *AFTER), expected)
    other = small_world(talking_model, seed=6, backend=backend)
    other.restore(Snapshot.load(tmp_path / "here.safetensors"))
    assert same_pixels(story(other, *AFTER), expected)
    for each in (world, twin, other):
        each.log.save(tmp_path / "run.json")
        again = World.replay(tmp_path / "run.json")
        assert same_pixels(story(again, *(9 * [None])), before + expected)


def test_a_replay_gives_the_same_bits(talking_model: Path, tmp_path: Path) -> None:
    picture = np.linspace(0, 1, 32 * 32 * 3).reshape(32, 32, 3)
    world = small_world(talking_model, image=picture)
    frames = story(world, "a red ball", None)
    frames += world.advance("night falls", at="now")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    assert same_pixels(story(again, None, None, None), frames)


def test_a_continued_video_can_be_snapshotted(talking_model: Path) -> None:
    video = np.full((20, 32, 32, 3), 99, dtype=np.uint8)
    world = small_world(talking_model, video=video)
    world.advance("left")
    state = world.snapshot()
    expected = story(world, None, None)
    plain = small_world(talking_model)
    plain.restore(state)
    assert same_pixels(story(plain, None, None), expected)


def test_the_special_tokens_of_a_folder_stand_before_every_prompt(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "plain", text=True)
    plain = small_world(folder)
    ones: dict[str, Any] = {
        name: np.ones((rows, 32), np.float32) for name, rows in SPECIAL_ROWS.items()
    }
    np.savez(folder / "special_tokens.npz", **ones)
    told = small_world(folder)
    assert not same_pixels(story(told, "a red ball", None), story(plain, "a red ball", None))
    with pytest.raises(SnapshotError, match="with tokens"):
        told.restore(plain.snapshot())


def test_other_weights_of_the_same_shape_are_another_model(
    talking_model: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "other", text=True, seed=77)
    state = small_world(talking_model).snapshot()
    with pytest.raises(SnapshotError, match="other"):
        small_world(folder).restore(state)
