"""Snapshots: in memory and as files, and those that are refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from magi_rt.errors import SnapshotError
from magi_rt.world.snapshot import Snapshot
from magi_rt.world.start import Start
from tests.world.kit import dummy_world, same_pixels, story


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("chunks", [0, 1, 3, 7])
def test_a_restored_world_continues_as_the_snapshot_did(window: int, chunks: int) -> None:
    world = dummy_world(window=window)
    story(world, *["day", "rain", None, "left", None, "up", None][:chunks])
    state = world.snapshot()
    first_time = story(world, None, "night", None)
    world.restore(state)
    assert same_pixels(story(world, None, "night", None), first_time)
    world.restore(state)
    assert same_pixels(story(world, None, "night", None), first_time)


@pytest.mark.parametrize("window", [1, 4])
def test_a_snapshot_file_continues_in_another_world(tmp_path: Path, window: int) -> None:
    world = dummy_world(window=window, seed=3)
    story(world, "day", "rain \U0001f327", "left")
    world.snapshot().save(tmp_path / "here.safetensors")
    expected = story(world, None, "night", None)
    other = dummy_world(window=window, seed=11)
    story(other, "elsewhere")
    other.restore(Snapshot.load(tmp_path / "here.safetensors"))
    assert other.chunks == 3
    assert same_pixels(story(other, None, "night", None), expected)


def test_a_snapshot_of_a_started_world_keeps_its_pinned_frames(tmp_path: Path) -> None:
    video = np.full((12, 32, 32, 3), 180, dtype=np.uint8)
    world = dummy_world(video=video)
    world.snapshot().save(tmp_path / "start.safetensors")
    expected = story(world, "left", None, None)
    other = dummy_world()
    other.restore(Snapshot.load(tmp_path / "start.safetensors"))
    assert same_pixels(story(other, "left", None, None), expected)


def test_a_snapshot_does_not_change_with_its_world() -> None:
    world = dummy_world(window=2)
    story(world, "day", None)
    state = world.snapshot()
    twin = world.fork()
    story(world, "night", None, None)
    world.restore(state)
    assert same_pixels(story(world, None, None), story(twin, None, None))


def test_after_restoring_the_chunks_before_cannot_be_rewound() -> None:
    world = dummy_world()
    story(world, "day", None)
    world.restore(world.snapshot())
    assert world.rewindable == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 2}, "window 1.*window 2"),
        ({"steps": 16}, "steps 8.*steps 16"),
        ({"size": (32, 64)}, "32x32.*32x64"),
        ({"depth": 2}, "depth .*depth 2"),
    ],
)
def test_a_snapshot_of_another_shape_is_refused_and_changes_nothing(
    options: dict[str, Any], words: str
) -> None:
    state = dummy_world().snapshot()
    world, twin = dummy_world(**options), dummy_world(**options)
    with pytest.raises(SnapshotError, match=words):
        world.restore(state)
    assert same_pixels(world.advance("day"), twin.advance("day"))


def _rewrite(path: Path, **changes: Any) -> None:
    """Changes entries of a snapshot file's card."""
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
    save_file(load_file(path), path, metadata={"card": json.dumps({**card, **changes})})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    world = dummy_world(window=2)
    story(world, "day", "rain")
    world.snapshot().save(tmp_path / "here.safetensors")
    return tmp_path / "here.safetensors"


def test_a_snapshot_from_another_model_is_refused_with_both_names(saved: Path) -> None:
    own = asdict(Snapshot.load(saved).identity)
    for change in ({"config": "0" * 16}, {"weights": "1" * 16}):
        _rewrite(saved, identity={**own, "name": "grand-piano", **change})
        world, twin = dummy_world(window=2), dummy_world(window=2)
        with pytest.raises(SnapshotError, match=r"'grand-piano'.*'dummy'"):
            world.restore(Snapshot.load(saved))
        assert same_pixels(world.advance(), twin.advance())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "something"}, "not a snapshot"),
        ({"chunks": "two"}, "damaged"),
        ({"chunks": float("inf")}, "damaged"),
        ({"frames": float("inf")}, "damaged"),
        ({"changes": [{"chunk": 0, "steps": 5}]}, "took 5 steps, which this world may not"),
        ({"start": {"kind": "xx", "source": "", "notes": []}}, "damaged"),
        ({"prompt": 3}, "damaged"),
        ({"events": [{"chunk": 1}]}, "damaged"),
        ({"state": {}}, "damaged"),
    ],
)
def test_a_snapshot_with_a_wrong_card_is_refused(
    saved: Path, changes: dict[str, Any], words: str
) -> None:
    _rewrite(saved, **changes)
    world = dummy_world(window=2)
    with pytest.raises(SnapshotError, match=words):
        world.restore(Snapshot.load(saved))
    assert world.chunks == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("in_flight", {"in_flight": [{"index": 2, "prompt": "", "steps_done": 99}]}),
        ("in_flight", {"in_flight": [{"index": 2, "prompt": "", "steps_done": -1}]}),
        ("in_flight", {"in_flight": [{"index": 3, "prompt": "", "steps_done": 4}]}),
        ("finished", {"finished": {"index": 1, "prompt": "", "steps_done": 7}}),
        ("finished", {"finished": {"index": 2, "prompt": "", "steps_done": 8}}),
        ("finished", {"in_flight": []}),
        ("cached", {"finished": None}),
        ("cached", {"cached": [5]}),
        (None, {"cached": ["0"]}),
        ("cache_base", {"cache_base": 1}),
        ("cache_base", {"cache_base": -1}),
        ("in_flight", {"next_index": 9}),
        ("next_index", {"end": 4}),
        ("next_index", {"given_chunks": 3}),
        ("chunks", {"given_chunks": 2}),
        ("state", {"given_chunks": -1}),
        ("state", {"given_chunks": "none"}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**63}),
        (None, {"seed": 1.5}),
        (None, {"size": 2.5}),
        (None, {"next_index": "4"}),
        (None, {"finished": {"index": 1, "prompt": 3, "steps_done": 8}}),
    ],
)
def test_a_snapshot_whose_chunks_do_not_follow_each_other_is_refused_and_changes_nothing(
    saved: Path, name: str | None, changes: dict[str, Any]
) -> None:
    state = Snapshot.load(saved)
    world, twin = dummy_world(window=2), dummy_world(window=2)
    story(world, "day", "rain")
    story(twin, "day", "rain")
    world.restore(state)
    story(world, None)
    story(twin, None)
    with pytest.raises(SnapshotError, match="damaged") as refused:
        world.restore(replace(state, state={**state.state, **changes}))
    assert refused.value.field == name
    assert world.rewindable == 1
    assert same_pixels(world.advance(), twin.advance())


def test_a_snapshot_whose_chunks_are_of_another_width_is_refused(saved: Path) -> None:
    state = Snapshot.load(saved)
    other = {**state.state, "size": 1, "chunk_width": 3}  # as many frames in another order
    with pytest.raises(SnapshotError, match="window and chunk width are"):
        dummy_world(window=2).restore(replace(state, state=other))


@pytest.mark.parametrize("name", ["latents", "pinned"])
@pytest.mark.parametrize("axis", [0, 2, 3])
def test_a_snapshot_whose_latents_are_of_another_size_is_refused(
    saved: Path, name: str, axis: int
) -> None:
    state = Snapshot.load(saved)
    half = state.tensors[name].shape[axis] // 2
    cut = {**state.tensors, name: state.tensors[name].narrow(axis, 0, half)}
    with pytest.raises(SnapshotError, match=f"its {name} have shape"):
        dummy_world(window=2).restore(replace(state, tensors=cut))


@pytest.mark.parametrize("frames", [-1, 8, 25, 16.0, "16"])
def test_a_snapshot_that_has_shown_another_number_of_frames_is_refused(
    saved: Path, frames: Any
) -> None:
    state = Snapshot.load(saved)
    assert (state.chunks, state.frames) == (2, 16)
    with pytest.raises(SnapshotError, match="frames do not go with 2 chunks of 8") as refused:
        dummy_world(window=2).restore(replace(state, frames=frames))
    assert refused.value.field == "frames"


def test_a_snapshot_that_gives_a_chunk_more_than_it_holds_is_refused(saved: Path) -> None:
    state = Snapshot.load(saved)
    many = {**state.tensors, "pinned": state.tensors["latents"][:, :2]}
    with pytest.raises(SnapshotError, match="2 latents are given to a chunk of 2"):
        dummy_world(window=2).restore(replace(state, tensors=many))


@pytest.mark.parametrize("given", [1, 3])
def test_a_snapshot_whose_start_is_not_what_its_stream_began_with_is_refused(
    saved: Path, given: int
) -> None:
    state = Snapshot.load(saved)
    start = Start("video", "pixels", torch.zeros(4, given, 4, 4))
    with pytest.raises(SnapshotError, match=f"its start has {given} latents"):
        dummy_world(window=2).restore(replace(state, start=start))
    with pytest.raises(SnapshotError, match="its start has latents of shape"):
        wide = replace(start, latents=torch.zeros(4, given, 8, 4))
        dummy_world(window=2).restore(replace(state, start=wide))


def test_whoever_may_read_new_files_may_read_a_snapshot(saved: Path) -> None:
    new = saved.with_name("new")
    new.touch()
    assert saved.stat().st_mode == new.stat().st_mode


def test_a_snapshot_with_a_card_without_end_is_refused(saved: Path) -> None:
    save_file(load_file(saved), saved, metadata={"card": "[" * 100_000})
    with pytest.raises(SnapshotError, match="cannot be read"):
        Snapshot.load(saved)


def test_a_snapshot_with_a_prompt_from_its_future_is_refused(saved: Path) -> None:
    state = Snapshot.load(saved)
    late = replace(state.events[-1], chunk=state.chunks + 1)
    with pytest.raises(SnapshotError, match="a prompt came with chunk 3, after its 2 chunks"):
        dummy_world(window=2).restore(replace(state, events=(*state.events, late)))


@pytest.mark.parametrize("name", ["latents", "pinned", "cache.keys", "cache.values"])
def test_a_snapshot_whose_numbers_lie_flat_is_refused(saved: Path, name: str) -> None:
    state = Snapshot.load(saved)
    flat = {**state.tensors, name: state.tensors[name].flatten()}
    with pytest.raises(SnapshotError, match="damaged"):
        dummy_world(window=2).restore(replace(state, tensors=flat))


@pytest.mark.parametrize("chunks", [0, 4, -1])
def test_a_snapshot_that_has_shown_another_number_of_chunks_is_refused(
    saved: Path, chunks: int
) -> None:
    with pytest.raises(SnapshotError, match="its chunks does not follow"):
        dummy_world(window=2).restore(replace(Snapshot.load(saved), chunks=chunks))


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("given", [0, 12, 16, 32])
def test_snapshots_of_every_age_and_beginning_are_taken(window: int, given: int) -> None:
    video = np.full((given, 32, 32, 3), 90, dtype=np.uint8) if given else None
    world, other = dummy_world(window=window, video=video), dummy_world(window=window)
    for _ in range(12):
        other.restore(world.snapshot())
        assert same_pixels(world.advance(), other.advance())


def test_a_snapshot_that_lacks_a_tensor_is_refused(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(saved)
    for name in list(tensors):
        save_file({k: v for k, v in tensors.items() if k != name}, saved, metadata=metadata)
        world, twin = dummy_world(window=2), dummy_world(window=2)
        with pytest.raises(SnapshotError):
            world.restore(Snapshot.load(saved))
        assert same_pixels(world.advance(), twin.advance())


def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, saved: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-10])
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    plain = tmp_path / "plain.safetensors"
    save_file(load_file(saved), plain)
    for path in (cut, text, plain, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(SnapshotError):
            Snapshot.load(path)


@pytest.mark.parametrize("state", ["here.safetensors", None, {}])
def test_only_a_snapshot_is_restored(state: Any) -> None:
    with pytest.raises(SnapshotError, match=r"read a file with Snapshot\.load"):
        dummy_world().restore(state)


def test_a_snapshot_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    state = dummy_world().snapshot()
    with pytest.raises(SnapshotError):
        state.save(tmp_path / "no" / "here.safetensors")
    with pytest.raises(SnapshotError, match="NUL character"):
        state.save(tmp_path / "a\0b")
    assert list(tmp_path.iterdir()) == []
