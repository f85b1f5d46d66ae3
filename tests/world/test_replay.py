"""A saved log gives the same frames again, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from magi_rt.backends.base import Executor
from magi_rt.backends.choose import open_executor
from magi_rt.config import MagiConfig
from magi_rt.errors import BackendError, CheckpointError, MediaError, SnapshotError
from magi_rt.frames import Frame
from magi_rt.world import World
from magi_rt.world.machine import NEAR
from magi_rt.world.run_log import RunLog
from tests.support import small_config, write_model
from tests.world.kit import dummy_world, same_pixels, story


def replayed(path: Path, chunks: int) -> list[Frame]:
    world = World.replay(path)
    return [frame for _ in range(chunks) for frame in world.advance()]


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_replay_shows_the_same_frames_with_rewinds_and_urgent_prompts(
    tmp_path: Path, window: int
) -> None:
    world = dummy_world(window=window)
    story(world, "day", None, "rain")
    kept = story(dummy_world(window=window), "day", None, "rain")
    story(world, "this will be taken back", "and this")
    world.rewind(2)
    kept += story(world, None, "left")
    kept += world.advance("night \U0001f319", at="now")
    kept += story(world, None, "")
    world.log.save(tmp_path / "run.json")
    assert same_pixels(replayed(tmp_path / "run.json", 8), kept)


def test_a_log_tells_the_chunk_that_a_prompt_took_effect_at(tmp_path: Path) -> None:
    world = dummy_world(window=4)
    story(world, "day", None, "rain", "rain")
    world.advance("night", at="now")
    told = [(e.chunk, e.prompt, e.at, e.takes_effect) for e in world.log.events]
    assert told == [(0, "day", "next", 0), (2, "rain", "next", 5), (4, "night", "now", 4)]


def test_repeating_a_prompt_does_not_lengthen_the_log() -> None:
    world = dummy_world(window=2)
    for _ in range(20):
        world.advance("day", at="now")
    assert len(world.log.events) == 1


def test_the_same_words_for_now_are_told_where_chunks_in_flight_carry_others(
    tmp_path: Path,
) -> None:
    world = dummy_world(window=4)
    frames = story(world, "day", None, "rain")
    frames += world.advance("rain", at="now") + story(world, None, None)
    assert [(event.prompt, event.at) for event in world.log.events[1:]] == [
        ("rain", "next"),
        ("rain", "now"),
    ]
    world.log.save(tmp_path / "run.json")
    assert same_pixels(replayed(tmp_path / "run.json", 6), frames)


def test_the_log_of_a_fork_or_a_restored_world_tells_its_own_timeline(tmp_path: Path) -> None:
    world = dummy_world()
    before = story(world, "day")
    state, fork = world.snapshot(), world.fork()
    story(world, "lost", "lost too")
    world.restore(state)
    restored = before + story(world, "rain", None)
    forked = before + story(fork, "snow", None)
    world.log.save(tmp_path / "restored.json")
    fork.log.save(tmp_path / "forked.json")
    assert same_pixels(replayed(tmp_path / "restored.json", 3), restored)
    assert same_pixels(replayed(tmp_path / "forked.json", 3), forked)


def test_a_world_restored_from_another_seed_logs_that_seed(tmp_path: Path) -> None:
    other = dummy_world(seed=99)
    frames = story(other, "day")
    world = dummy_world()
    world.restore(other.snapshot())
    frames += story(world, "rain")
    world.log.save(tmp_path / "run.json")
    assert same_pixels(replayed(tmp_path / "run.json", 2), frames)


@pytest.mark.parametrize("embed_bytes", [1_000_000, 100])
def test_a_world_that_began_with_pixels_is_replayed_from_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embed_bytes: int
) -> None:
    monkeypatch.setattr("magi_rt.world.run_log.EMBED_BYTES", embed_bytes)
    rng = np.random.default_rng(3)
    world = dummy_world(video=rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    frames = story(world, "left", None)
    world.log.save(tmp_path / "run.json")
    assert (tmp_path / "run.json.start.safetensors").exists() == (embed_bytes == 100)
    assert same_pixels(replayed(tmp_path / "run.json", 2), frames)


def test_a_large_start_stands_beside_the_log_and_must_be_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.world.run_log.EMBED_BYTES", 100)
    world = dummy_world(video=np.zeros((32, 32, 32, 3), np.uint8))
    world.log.save(tmp_path / "run.json")
    beside = tmp_path / "run.json.start.safetensors"
    data = bytearray(beside.read_bytes())
    data[-1] ^= 1
    beside.write_bytes(data)
    with pytest.raises(SnapshotError, match="checksum"):
        World.replay(tmp_path / "run.json")
    beside.unlink()
    with pytest.raises(SnapshotError, match=r"run\.json\.start\.safetensors"):
        World.replay(tmp_path / "run.json")


def test_a_start_inside_the_log_must_be_the_right_one_too(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    dummy_world(video=np.zeros((16, 32, 32, 3), np.uint8)).log.save(path)
    card = json.loads(path.read_text())
    other = dummy_world(video=np.full((16, 32, 32, 3), 9, np.uint8)).log
    other.save(tmp_path / "other.json")
    card["start"]["latents"] = json.loads((tmp_path / "other.json").read_text())["start"]["latents"]
    path.write_text(json.dumps(card))
    with pytest.raises(SnapshotError, match="checksum"):
        World.replay(path)
    card["start"]["latents"] = "A"  # no base64
    path.write_text(json.dumps(card))
    with pytest.raises(SnapshotError, match="damaged log"):
        World.replay(path)


def test_a_log_names_no_file_outside_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.world.run_log.EMBED_BYTES", 100)
    inner = tmp_path / "inner"
    inner.mkdir()
    path = inner / "run.json"
    dummy_world(video=np.zeros((16, 32, 32, 3), np.uint8)).log.save(path)
    outside = tmp_path / "run.json.start.safetensors"
    (inner / outside.name).rename(outside)
    card = json.loads(path.read_text())
    for name in (f"../{outside.name}", str(outside)):
        card["start"]["file"] = name
        path.write_text(json.dumps(card))
        with pytest.raises(SnapshotError, match=r"needs run\.json\.start\.safetensors beside it"):
            World.replay(path)


def test_after_the_log_the_world_goes_on_with_the_last_prompt(tmp_path: Path) -> None:
    world = dummy_world()
    story(world, "day", "rain")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    flags = [(again.replaying, again.advance())[0] for _ in range(3)]
    assert flags == [True, True, False]
    world.advance()
    assert same_pixels(again.advance(), world.advance())


def test_a_prompt_during_a_replay_leaves_the_recorded_path(tmp_path: Path) -> None:
    world = dummy_world()
    story(world, "day", "rain", "snow")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    again.advance()
    expected = story(dummy_world(), "day", "night", None)[8:]
    assert same_pixels(story(again, "night", None), expected)
    assert not again.replaying


def test_a_rewind_during_a_replay_stays_on_the_recorded_path(tmp_path: Path) -> None:
    world = dummy_world()
    frames = story(world, "day", "rain", "snow")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    story(again, None, None)
    again.rewind(2)
    assert same_pixels(story(again, None, None, None), frames)


def test_a_rewind_to_before_the_first_own_prompt_is_back_on_the_recorded_path(
    tmp_path: Path,
) -> None:
    world = dummy_world()
    frames = story(world, "day", "rain", "snow")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    story(again, None, "night", None)
    twin = again.fork()
    again.rewind(2)
    assert again.replaying and not twin.replaying
    assert same_pixels(story(again, None, None), frames[8:])
    twin.rewind(1)
    assert not twin.replaying
    assert same_pixels(twin.advance(), story(dummy_world(), "day", "night", None)[16:])


def test_a_restored_world_follows_no_log(tmp_path: Path) -> None:
    world = dummy_world()
    story(world, "day", "rain", "snow")
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    again.advance()
    again.restore(again.snapshot())
    assert not again.replaying
    assert same_pixels(again.advance(), story(dummy_world(), "day", None)[8:])


def test_a_log_survives_writing_and_reading(tmp_path: Path) -> None:
    world = dummy_world(window=2)
    story(world, "day \U0001f31e", "\ud800 lone", "rain")
    world.log.save(tmp_path / "run.json")
    assert RunLog.load(tmp_path / "run.json") == world.log


def test_a_replay_by_another_model_is_refused_with_both_names(tmp_path: Path) -> None:
    world = dummy_world()
    world.advance()
    path = tmp_path / "run.json"
    world.log.save(path)
    card = json.loads(path.read_text())
    card["identity"] |= {"name": "grand-piano", "weights": "0123456789abcdef"}
    path.write_text(json.dumps(card))
    with pytest.raises(SnapshotError, match=r"'grand-piano'.*'dummy'"):
        World.replay(path)


def test_a_replay_with_another_number_of_threads_says_so(tmp_path: Path) -> None:
    world = dummy_world()
    world.advance()
    path = tmp_path / "run.json"
    world.log.save(path)
    card = json.loads(path.read_text())
    card["engine"]["threads"] = 999
    path.write_text(json.dumps(card))
    assert any("999" in note for note in World.replay(path).notes)


def test_a_replay_may_be_by_another_executor_and_says_that_frames_are_near(
    talking_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def elsewhere(model: str, **wishes: str) -> Executor:
        """A machine where PyTorch has another name."""
        asked.append(wishes)
        executor = open_executor(model, backend="eager", device="cpu")
        executor.info = replace(executor.info, name="other")
        return executor

    path = tmp_path / "run.json"
    world = World.open(talking_model, steps=8, window=1, backend="eager", device="cpu")
    world.log.save(path)
    monkeypatch.setattr("magi_rt.world.machine.open_executor", elsewhere)
    notes = World.replay(path, backend="other").notes
    assert any("made with name eager, here it is other" in note and NEAR in note for note in notes)
    World.replay(path, dtype="float32")
    assert asked == [
        {"backend": "other", "device": "auto", "dtype": "auto", "attention": "auto"},
        {"backend": "eager", "device": "cpu", "dtype": "float32", "attention": "auto"},
    ]


def test_an_attention_of_other_machines_is_let_go_on_another_device_and_can_be_wished_anew(
    talking_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    world = World.open(talking_model, steps=8, window=1, backend="eager", device="cpu")
    frames = world.advance("rain")
    world.log.save(path)
    card = json.loads(path.read_text())
    card["options"] |= {"device": "cuda:0", "attention": "sage"}  # as a card would have written it
    card["engine"] |= {"device": "cuda:0"}
    path.write_text(json.dumps(card))
    again = World.replay(path, device="cpu")
    assert f"the log was made with attention sage, here it is auto: {NEAR}" in again.notes
    assert same_pixels(again.advance(), frames)
    with pytest.raises(BackendError, match="SageAttention runs on CUDA devices"):
        World.replay(path, device="cpu", attention="sage")
    card["options"] |= {"device": "cpu"}  # the same device, now without the package
    path.write_text(json.dumps(card))
    with pytest.raises(BackendError, match="use attention='auto'"):
        World.replay(path)
    assert same_pixels(World.replay(path, attention="auto").advance(), frames)


def test_a_log_whose_model_has_moved_says_how_to_name_its_place(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = tmp_path / "run.json", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    opened: dict[str, Any] = {"steps": 8, "window": 1, "device": "cpu"}
    World.open(Path("model"), **opened).log.save(path)
    monkeypatch.chdir(elsewhere)
    words = r"made by the model '\./model', which cannot be opened.*by model=FOLDER"
    with pytest.raises(CheckpointError, match=words):
        World.replay(path)
    assert World.replay(path, model=model_folder).chunks == 0
    with pytest.raises(CheckpointError, match="there is no model folder"):
        World.replay(path, model=tmp_path / "wrong")


def test_a_log_of_another_configuration_is_refused_before_weights_are_read(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was opened")

    path = tmp_path / "run.json"
    World.open(model_folder, steps=8, window=1, device="cpu").log.save(path)
    other = write_model(tmp_path / "other", small_config(num_steps=16))
    monkeypatch.setattr("magi_rt.world.machine.open_executor", refuse)
    with pytest.raises(SnapshotError, match=r"made by model .*, but '.*other' has configuration"):
        World.replay(path, model=other)


def test_a_model_of_20_steps_is_replayed_from_its_log(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", small_config(num_steps=20))
    opened: dict[str, Any] = {"backend": "eager", "device": "cpu", "window": 1}
    world = World.open(folder, **opened)
    frames = world.advance()
    world.log.save(tmp_path / "run.json")
    assert same_pixels(replayed(tmp_path / "run.json", 1), frames)
    assert same_pixels(World.open(folder, steps=20, **opened).advance(), frames)


def test_naming_the_logs_own_backend_changes_nothing(talking_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    world = World.open(
        talking_model, steps=8, window=1, backend="eager", device="cpu", dtype="bfloat16"
    )
    world.log.save(path)
    again = World.replay(path, backend="eager")
    assert again.engine.dtype == "bfloat16"
    assert again.notes == World.replay(path).notes


@pytest.mark.parametrize(("first", "then"), [("float32", "auto"), ("auto", "float32")])
def test_logs_and_snapshots_of_a_bfloat16_model_go_on_in_either_number_format_with_frames_near(
    bfloat16_model: Path, tmp_path: Path, first: str, then: str
) -> None:
    options: dict[str, Any] = {"steps": 8, "window": 1, "backend": "eager", "device": "cpu"}
    path = tmp_path / "run.json"
    world = World.open(bfloat16_model, dtype=first, **options)  # graph runtimes take float32, too
    frames, state = world.advance(), world.snapshot()
    world.log.save(path)
    again = World.replay(path, backend="eager", dtype=then)
    formats = ("float32", "bfloat16") if first == "float32" else ("bfloat16", "float32")
    assert [world.engine.dtype, again.engine.dtype] == [*formats]
    told = f"the log was made with dtype {formats[0]}, here it is {formats[1]}: {NEAR}"
    assert told in again.notes
    assert 0 < apart(again.advance(), frames) < 0.1
    other = World.open(bfloat16_model, dtype=then, **options)
    other.restore(state)
    assert 0 < apart(other.advance(), world.advance()) < 0.1


@pytest.fixture
def bfloat16_model(tmp_path: Path) -> Path:
    """A model whose weights are stored as published ones are."""
    config = small_config()
    model = replace(config.model, params_dtype="torch.bfloat16")
    return write_model(tmp_path / "bf16", replace(config, model=model))


def apart(left: list[Frame], right: list[Frame]) -> float:
    """Distance of pictures as a share of their spread."""
    a, b = (np.stack([frame.pixels for frame in each]).astype(float) for each in (left, right))
    return float(np.abs(a - b).mean() / b.std())


def test_a_log_of_another_training_is_refused(bfloat16_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    World.open(bfloat16_model, steps=8, window=1, device="cpu").log.save(path)
    config = MagiConfig.from_file(bfloat16_model / "config.json")
    other = write_model(tmp_path / "other", config, seed=1)
    with pytest.raises(SnapshotError, match=r"made by model .*, but this world runs .*; open the"):
        World.replay(path, model=other)


def _damage(card: dict[str, Any], **changes: Any) -> str:
    return json.dumps({**card, **changes})


def _told(*chunks: int) -> list[dict[str, Any]]:
    """Events of prompts that came with these chunks."""
    return [{"chunk": n, "prompt": "day", "at": "next", "takes_effect": n} for n in chunks]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "not a log"),
        ({"events": [{"chunk": 0}]}, "damaged"),
        ({"events": 3}, "damaged"),
        ({"events": _told(3, 1)}, "not in order"),
        ({"events": _told(-1, 0)}, "damaged.*chunk is -1"),
        ({"events": [{**_told(0)[0], "takes_effect": 1.5}]}, "damaged.*takes_effect is 1.5"),
        ({"options": {"seed": -1}}, "seed"),
        ({"options": {"sede": 1}}, "sede"),
        ({"chunks": "many"}, "damaged"),
        ({"chunks": -3}, "damaged.*chunks is -3"),
        ({"chunks": True}, "damaged.*chunks is True"),
        ({"chunks": float("inf")}, "damaged.*chunks is inf"),
        ({"changes": [{"chunk": 1, "steps": 7}]}, "took 7 steps, which this world may not"),
        ({"start": {}}, "damaged"),
        ({"start": {"kind": "xx", "source": "", "notes": []}}, "damaged"),
        ({"start": {"kind": "nothing", "source": "", "notes": [3]}}, "a start is"),
        ({"identity": {"name": "x"}}, "damaged"),
    ],
)
def test_a_damaged_log_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = tmp_path / "run.json"
    dummy_world().log.save(path)
    path.write_text(_damage(json.loads(path.read_text()), **changes))
    with pytest.raises(SnapshotError, match=words):
        World.replay(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00\xff", "[" * 100_000])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(SnapshotError):
        World.replay(tmp_path / "run.json")
    with pytest.raises(SnapshotError, match="No such file"):
        World.replay(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [
        ((4, 1, 4, 4), float("nan"), "no number"),
        ((4, 1, 8, 8), 0.0, r"latents of shape \(4, 1, 8, 8\)"),
        ((4, 0, 4, 4), 0.0, r"latents of shape \(4, 0, 4, 4\)"),
        ((64,), 0.0, r"latents of shape \(64,\)"),
    ],
)
def test_a_log_whose_first_picture_is_none_of_its_model_is_refused(
    tmp_path: Path, shape: tuple[int, ...], value: float, words: str
) -> None:
    log = dummy_world(image=np.zeros((32, 32, 3), np.uint8)).log
    assert log.start.latents is not None and log.start.latents.shape == (4, 1, 4, 4)
    other = replace(log.start, latents=torch.full(shape, value))
    replace(log, start=other).save(tmp_path / "run.json")
    with pytest.raises(SnapshotError, match=words):
        World.replay(tmp_path / "run.json")


def test_logs_whose_names_differ_in_their_endings_keep_their_own_first_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.world.run_log.EMBED_BYTES", 100)
    worlds = {
        name: dummy_world(image=np.full((32, 32, 3), shade, np.uint8))
        for name, shade in (("run.1", 10), ("run.2", 200), ("run.json", 90))
    }
    for name, world in worlds.items():
        world.log.save(tmp_path / name)
    for name, world in worlds.items():
        assert same_pixels(replayed(tmp_path / name, 1), world.advance())


def test_a_log_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for place in (tmp_path / "no" / "run.json", tmp_path / "a\0b"):
        with pytest.raises(MediaError):
            dummy_world().log.save(place)
    assert list(tmp_path.iterdir()) == []
