"""A world moves on, is steered, and refuses misuse without changing."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magi_rt.errors import (
    BackendError,
    CheckpointError,
    ClosedWorldError,
    MagiError,
    OptionError,
    PromptError,
)
from magi_rt.world import World
from magi_rt.world.actions import ActionMap
from magi_rt.world.options import WorldOptions
from tests.world.kit import dummy_world, same_pixels, story


def test_a_chunk_is_numbered_frames_with_the_prompt_that_shaped_them() -> None:
    world = dummy_world()
    frames = world.advance("a red room")
    assert [frame.index for frame in frames] == list(range(8))
    assert {frame.chunk for frame in frames} == {0}
    assert {frame.prompt for frame in frames} == {"a red room"}
    assert frames[3].time_s == 3 / 24
    assert frames[0].pixels.shape == (32, 32, 3)
    assert frames[0].pixels.dtype == np.uint8


def test_numbering_goes_on_without_end() -> None:
    world = dummy_world()
    frames = [frame for _ in range(200) for frame in world.advance()]
    assert [frame.index for frame in frames] == list(range(1600))
    assert [frame.chunk for frame in frames] == [index // 8 for index in range(1600)]
    assert world.chunks == 200


def test_the_same_seed_gives_the_same_world_and_another_seed_another_one() -> None:
    first, again, other = dummy_world(), dummy_world(), dummy_world(seed=8)
    frames = story(first, "rain", None)
    assert same_pixels(frames, story(again, "rain", None))
    assert not same_pixels(frames, story(other, "rain", None))


def test_prompts_change_what_is_seen() -> None:
    red, blue = dummy_world().advance("red"), dummy_world().advance("blue")
    assert not np.array_equal(red[0].pixels, blue[0].pixels)


def test_the_past_shows_in_the_next_chunk() -> None:
    after_rain, after_sun = dummy_world(), dummy_world()
    after_rain.advance("rain")
    after_sun.advance("sun")
    wet, dry = after_rain.advance("night"), after_sun.advance("night")
    assert not np.array_equal(wet[0].pixels, dry[0].pixels)


def test_no_prompt_keeps_the_last_one() -> None:
    silent, spoken = dummy_world(), dummy_world()
    assert same_pixels(story(silent, "snow", None), story(spoken, "snow", "snow"))
    assert silent.current_prompt == "snow"


def test_before_the_first_prompt_the_world_has_none() -> None:
    assert same_pixels(dummy_world().advance(), dummy_world().advance(""))


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_prompt_shows_after_the_stated_delay(window: int) -> None:
    world = dummy_world(window=window)
    world.advance("before")
    assert world.delay_chunks == window - 1
    shown = [world.advance("after")[0].prompt for _ in range(window)]
    assert shown == ["before"] * (window - 1) + ["after"]


def test_a_prompt_for_now_reaches_chunks_in_flight() -> None:
    patient, urgent = dummy_world(window=4), dummy_world(window=4)
    for world in (patient, urgent):
        world.advance("before")
    late, early = patient.advance("after"), urgent.advance("after", at="now")
    assert late[0].prompt == "before"
    assert early[0].prompt == "after"
    assert not np.array_equal(late[0].pixels, early[0].pixels)


def test_a_prompt_left_from_outside_shapes_the_next_chunk() -> None:
    asked, left = dummy_world(), dummy_world()
    left.advance("day")
    asked.advance("day")
    left.prompt("night")
    assert same_pixels(asked.advance("night"), left.advance())


def test_a_key_that_says_nothing_leaves_no_prompt() -> None:
    world, untold = dummy_world(), dummy_world()
    world.prompt(ActionMap(keys={"n": "night"}).key("q"))
    assert world.drop_prompts() == 0
    assert same_pixels(world.advance(), untold.advance())
    with pytest.raises(OptionError, match="'next' or 'now'"):
        world.prompt(None, at="soon")


def test_prompts_that_wait_can_be_dropped() -> None:
    world, untold = dummy_world(), dummy_world()
    world.prompt("night")
    world.prompt("fog", at="now")
    assert world.drop_prompts() == 2
    assert world.drop_prompts() == 0
    assert same_pixels(world.advance(), untold.advance())


def test_a_world_states_what_it_is() -> None:
    world = World.open("dummy")
    assert (world.size, world.fps, world.frames_per_chunk) == ((64, 64), 24, 8)
    assert world.prompt_limits.characters == 4000
    assert world.engine.reason == "synthetic colours, no model"


REFUSED_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"seed": -1}, "seed is -1"),
    ({"seed": 2**63}, "2\\*\\*63 - 1"),
    ({"seed": True}, "seed is True"),
    ({"seed": "7"}, "seed is '7'"),
    ({"steps": 7}, "7"),
    ({"window": 9}, "9"),
    ({"window": 0}, "window is 0"),
    ({"depth": 0}, "depth is 0"),
    ({"size": (13, 17)}, "13x17.*multiples of 16.*try 32x32"),
    ({"size": (16, 64)}, "at least 32; try 32x64"),
    ({"size": 64}, "size is 64"),
    ({"size": (0, 64)}, "size is 0"),
    ({"size": (64, 10**9)}, "4096"),
    ({"history": -1}, "history is -1"),
    ({"device": 3}, "device is 3"),
    ({"dtype": "float8"}, "float8"),
]


def test_whole_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    one: Any = np.int64(1)
    two: Any = np.uint8(2)
    sides: Any = np.array([32, 48])
    world = World.open("dummy", seed=one, steps=8 * one, window=two, history=two, size=tuple(sides))
    plain = World.open("dummy", seed=1, steps=8, window=2, history=2, size=(32, 48))
    assert same_pixels(world.advance(), plain.advance())
    world.log.save(tmp_path / "run.json")
    assert World.replay(tmp_path / "run.json").log.options == plain.log.options
    assert world.anew(seed=two).log.options.seed == 2


def test_a_pace_of_numpy_is_taken_and_can_be_logged() -> None:
    fps: Any = np.float32(24)
    assert json.loads(json.dumps(WorldOptions(adapt=True, fps=fps).to_dict()))["fps"] == 24
    for wrong in (np.float32("nan"), np.float64(0), 1e-12, np.bool_(True), "24"):
        with pytest.raises(OptionError, match=r"0\.001 to 1000"):
            WorldOptions(adapt=True, fps=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "words"), REFUSED_OPTIONS)
def test_a_wrong_option_is_refused_with_its_value(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        World.open("dummy", **options)


def test_a_misspelt_option_is_an_error_of_python_and_of_type_checkers() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sede'"):
        World.open("dummy", sede=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_seeds_at_the_limits_work(seed: int) -> None:
    assert len(dummy_world(seed=seed).advance()) == 8


@pytest.mark.parametrize("backend", ["tensorrt", "compiled", "onnx", "openvino", "egaer", "eager"])
def test_a_backend_that_cannot_run_the_model_is_refused(backend: str) -> None:
    with pytest.raises(BackendError, match="'dummy'"):
        World.open("dummy", backend=backend)


@pytest.mark.parametrize("model", [None, 3, b"nano"])
def test_a_model_that_is_no_name_and_no_folder_is_refused(model: Any) -> None:
    with pytest.raises(CheckpointError, match="give the name of a built-in one, or a folder"):
        World.open(model)


def test_the_dummy_backend_runs_no_real_model() -> None:
    with pytest.raises(BackendError, match="cannot run the model 'nano'"):
        World.open("nano", backend="dummy")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"prompt": "x" * 4001}, PromptError),
        ({"prompt": 3}, PromptError),
        ({"prompt": b"night"}, PromptError),
        ({"prompt": "night", "at": "soon"}, OptionError),
        ({"at": "never"}, OptionError),
    ],
)
def test_a_refused_call_changes_nothing(arguments: dict[str, Any], error: type[MagiError]) -> None:
    world, twin = dummy_world(window=2), dummy_world(window=2)
    world.advance("day")
    twin.advance("day")
    with pytest.raises(error):
        world.advance(**arguments)
    with pytest.raises(error):
        world.prompt(arguments.get("prompt", ""), arguments.get("at", "next"))
    assert same_pixels(world.advance(), twin.advance())


def test_the_longest_prompt_and_odd_characters_are_taken() -> None:
    world = dummy_world()
    for prompt in ("x" * 4000, "a \U0001f41f swims", "tab\tbell\a\x00null", "\ud800", "", "   "):
        assert len(world.advance(prompt)) == 8


def test_a_closed_world_refuses_everything_but_closing() -> None:
    with dummy_world() as world:
        world.advance()
        state = world.snapshot()
    calls: list[Callable[[], object]] = [
        world.advance,
        world.fork,
        world.anew,
        world.snapshot,
        world.rewind,
        world.frames,
        lambda: world.restore(state),
        lambda: world.prompt("night"),
        lambda: world.prompt(None),
    ]
    for call in calls:
        with pytest.raises(ClosedWorldError, match="closed"):
            call()
    world.close()


def test_a_closed_world_frees_its_memory_and_keeps_its_log(tmp_path: Path) -> None:
    world = dummy_world(window=2)
    shown = story(world, "day", "night", None)
    twin, state = world.fork(), world._timeline.moment.state
    buffers = [state.latents, state.spare, state.cache.keys, state.cache.values]
    weak = [weakref.ref(buffer) for buffer in buffers]
    del buffers, state
    world.close()
    gc.collect()
    assert [ref() for ref in weak] == [None] * 4
    assert (world.chunks, world.current_prompt, world.steps) == (3, "night", 8)
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    assert same_pixels(shown, story(again, None, None, None))
    assert same_pixels(again.advance(), twin.advance())
