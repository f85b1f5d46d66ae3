"""A model whose pictures are deflickered: every way through time shows the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from magi_rt.errors import SnapshotError
from magi_rt.world.snapshot import Snapshot
from tests.world.kit import deflickered_world, dummy_world, same_pixels, story

TALE = ("day", "rain", None, "left")


def test_only_small_jumps_between_latents_are_touched() -> None:
    raw = np.stack([frame.pixels for frame in story(dummy_world(), *TALE)]).astype(int)
    smooth = np.stack([frame.pixels for frame in story(deflickered_world(), *TALE)]).astype(int)
    assert np.array_equal(smooth[3::4], raw[3::4]), "the last picture of every latent"
    assert np.array_equal(smooth[:4], raw[:4]), "the first latent"
    assert not np.array_equal(smooth, raw)
    small = np.abs(np.diff(raw, axis=0)).max(-1)[3::4] <= 40
    before, after = (np.abs(np.diff(each, axis=0))[3::4][small].mean() for each in (raw, smooth))
    assert after < 0.3 * before


@pytest.mark.parametrize("window", [1, 4])
def test_snapshots_forks_and_rewinds_go_on_with_the_same_pictures(
    tmp_path: Path, window: int
) -> None:
    world = deflickered_world(window=window)
    story(world, *TALE)
    world.snapshot().save(tmp_path / "here.safetensors")
    state, twin = world.snapshot(), world.fork()
    expected = story(world, None, "night", None)
    assert same_pixels(story(twin, None, "night", None), expected)
    world.rewind(3)
    assert same_pixels(story(world, None, "night", None), expected)
    world.restore(state)
    assert same_pixels(story(world, None, "night", None), expected)
    other = deflickered_world(window=window, seed=11)
    story(other, "elsewhere")
    other.restore(Snapshot.load(tmp_path / "here.safetensors"))
    assert same_pixels(story(other, None, "night", None), expected)


def test_what_a_game_paints_into_its_picture_stays_there() -> None:
    world, twin = deflickered_world(), deflickered_world()
    for frame in world.advance("day"):
        frame.pixels[:] = 0
    story(twin, "day")
    assert same_pixels(world.advance("rain"), twin.advance("rain"))


def test_a_snapshot_of_the_beginning_needs_no_picture() -> None:
    world, other = deflickered_world(), deflickered_world(seed=11)
    state = world.snapshot()
    assert state.picture is None
    other.restore(state)
    assert same_pixels(other.advance("day"), world.advance("day"))


@pytest.mark.parametrize("harm", ["gone", "small", "float"])
def test_a_snapshot_whose_picture_does_not_fit_is_refused(tmp_path: Path, harm: str) -> None:
    world, path = deflickered_world(), tmp_path / "here.safetensors"
    story(world, *TALE)
    world.snapshot().save(path)
    with safe_open(path, framework="pt") as file:
        card = file.metadata()
    tensors = load_file(path)
    picture = tensors.pop("picture")
    if harm != "gone":
        tensors["picture"] = picture[1:].clone() if harm == "small" else picture.to(torch.float32)
    save_file(tensors, path, metadata=card)
    with pytest.raises(SnapshotError, match=r"last picture is .*, not \[32, 32, 3\]"):
        world.restore(Snapshot.load(path))
