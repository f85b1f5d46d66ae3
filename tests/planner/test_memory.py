"""The planner's memory against the weights of the published layout and against running worlds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import weakref

import pytest
from torch import Tensor

from magi_rt.backends.dummy import DummyExecutor
from magi_rt.checkpoints.expected import expected_tensors
from magi_rt.checkpoints.load import run_time_dtypes
from magi_rt.cli.plan import subject_of
from magi_rt.models import fp8
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.planner.chips import PRECISIONS
from magi_rt.planner.memory import (
    PROMPT_BYTES,
    PROMPTS,
    QUANTISED_PART_BYTES,
    history_depth,
    world_memory,
)
from magi_rt.planner.work import Subject
from magi_rt.presets import PRESETS
from magi_rt.sampling.visibility import Visibility
from magi_rt.world import World, prompts

COUNT = """
import gc, json, sys
import torch
from magi_rt.world import World

model, options = sys.argv[1], json.loads(sys.argv[2])
world = World.open(model, backend="eager", device="cpu", **options)
for chunk in range(10):
    world.advance("night falls" if chunk % 4 == 0 else None)
gc.collect()
held = {}
for thing in gc.get_objects():
    if type(thing) in (torch.Tensor, torch.nn.Parameter):
        if thing.is_mkldnn:
            held[id(thing)] = thing.numel() * thing.element_size()
        else:
            storage = thing.untyped_storage()
            held["storage", storage.data_ptr()] = storage.nbytes()
print(sum(held.values()))
"""
"""Every tensor that a process holds between two chunks, each storage once."""


def held_by(model: str, **options: object) -> int:
    command = [sys.executable, "-W", "ignore", "-c", COUNT, model, json.dumps(options)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("model", "window", "size"),
    [("nano", 1, (128, 128)), ("nano", 4, (128, 128)), ("nano-base", 2, (96, 64))],
)
def test_a_running_world_holds_what_was_reckoned_within_ten_percent(
    model: str, window: int, size: tuple[int, int]
) -> None:
    held = held_by(model, window=window, size=size, steps=16)
    reckoned = world_memory(subject_of(model), size, steps=16, window=window, prompts=1)
    assert reckoned.tensors == pytest.approx(held, rel=0.1)


def test_a_long_memory_is_seen_in_a_running_world() -> None:
    # at this size ring and rewinds outweigh the weights, so their arithmetic shows
    held = held_by("nano", window=1, size=(192, 192), history=100, steps=4)
    reckoned = world_memory(subject_of("nano"), (192, 192), steps=4, window=1, rewind=10, prompts=1)
    assert reckoned.rewind > 0.25 * reckoned.tensors
    assert reckoned.tensors == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_weights_are_those_of_the_published_layout(name: str) -> None:
    config = PRESETS[name]
    dtypes = run_time_dtypes(config)
    exact = sum(
        math.prod(shape) * dtypes[key].itemsize
        for key, (shape, _) in expected_tensors(config).items()
    )
    way = PRECISIONS["fp8" if config.engine.fp8_quant else "bf16"]
    memory = world_memory(Subject(name, config), (256, 256), steps=8, window=4, precision=way)
    decoder = 2 * 613.8e6
    assert memory.weights - decoder == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("name", [*PRESETS, "nano", "nano-base"])
@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_depth_of_history_is_what_the_sampler_looks_back_at(name: str, window: int) -> None:
    subject = subject_of(name)
    runtime = subject.config.runtime
    assert history_depth(subject, window) == Visibility.from_config(runtime, 64).reach(window)


def test_eight_bit_weights_take_less_and_rewinds_take_what_they_are_given() -> None:
    subject = Subject("4.5B-distill", PRESETS["4.5B-distill"])
    bf16, fp8 = (
        world_memory(subject, (256, 256), steps=8, window=1, precision=PRECISIONS[name])
        for name in ("bf16", "fp8")
    )
    assert fp8.total < bf16.total - 3e9
    assert bf16.rewind <= 2**30
    none = world_memory(
        subject, (256, 256), steps=8, window=1, precision=PRECISIONS["bf16"], rewind=0
    )
    assert none.rewind == 0


def test_a_call_holds_one_moment_more_than_are_kept_and_so_it_is_reckoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies: list[weakref.ref[RollingKVCache]] = []
    alive: list[int] = []
    clone, denoise = RollingKVCache.clone, DummyExecutor.denoise

    def copied(cache: RollingKVCache) -> RollingKVCache:
        made = clone(cache)
        copies.append(weakref.ref(made))
        return made

    def counted(executor: DummyExecutor, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        alive.append(sum(each() is not None for each in copies))
        return denoise(executor, inputs, cache)

    monkeypatch.setattr(RollingKVCache, "clone", copied)
    monkeypatch.setattr(DummyExecutor, "denoise", counted)
    with World.open("dummy", history=3) as world:
        for _ in range(8):
            world.advance("it rains")
    assert max(alive) == 3 + 1
    kept, none = (
        world_memory(subject_of("nano"), (128, 128), steps=8, window=1, rewind=count)
        for count in (3, 0)
    )
    assert kept.work - none.work == kept.rewind / 3


def test_as_many_prompts_are_reckoned_as_a_world_remembers_within_their_bounds() -> None:
    small, large = (Subject(name, PRESETS[name]) for name in ("4.5B-distill", "24B-distill"))

    def stream(subject: Subject, **given: int) -> float:
        way = PRECISIONS["bf16"]
        memory = world_memory(
            subject, (256, 256), steps=8, window=4, precision=way, rewind=0, **given
        )
        return memory.stream

    assert (PROMPTS, PROMPT_BYTES) == (prompts.KEPT, prompts.KEPT_BYTES)
    one = 100 * (2 * 34 * 8 * 128 * 2 + 4096 * 4)  # keys and values of all layers, and its rows
    assert stream(small) - stream(small, prompts=0) == pytest.approx(64 * one)
    assert stream(small, prompts=1000) == stream(small)
    assert PROMPT_BYTES < 64 * 100 * 2 * 48 * 8 * 128 * 2
    rows = 64 * 100 * 4096 * 4
    assert stream(large) - stream(large, prompts=0) == pytest.approx(PROMPT_BYTES + rows)


def test_gates_of_guided_models_are_reckoned_with_and_without_a_prompt() -> None:
    assert (
        world_memory(subject_of("nano-base"), (128, 128), steps=16, window=1, prompts=0).stream
        - world_memory(subject_of("nano"), (128, 128), steps=16, window=1, prompts=0).stream
        == 17 * 2 * 6 * 256 * 4
    )


def test_the_copies_that_rounding_to_8_bits_makes_are_reckoned() -> None:
    distilled, quantised = (
        world_memory(
            Subject(name, PRESETS[name]), (720, 1280), steps=8, window=4,
            precision=PRECISIONS["fp8"],
        )
        for name in ("4.5B-distill", "4.5B-distill-fp8")
    )  # fmt: skip
    assert quantised.work - distilled.work == QUANTISED_PART_BYTES == 2 * 4 * fp8.PART
