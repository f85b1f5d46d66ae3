"""The planner's memory against the weights of the published layout and against running worlds."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from magi_rt.checkpoints.expected import expected_tensors
from magi_rt.checkpoints.load import run_time_dtypes
from magi_rt.cli.plan import subject_of
from magi_rt.planner.chips import PRECISIONS
from magi_rt.planner.memory import history_depth, world_memory
from magi_rt.planner.work import Subject
from magi_rt.presets import PRESETS
from magi_rt.sampling.visibility import Visibility

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
    [("nano", 1, (128, 128)), ("nano", 4, (256, 256)), ("nano-base", 2, (192, 128))],
)
def test_a_running_world_holds_what_was_reckoned_within_ten_percent(
    model: str, window: int, size: tuple[int, int]
) -> None:
    held = held_by(model, window=window, size=size, steps=16)
    reckoned = world_memory(subject_of(model), size, steps=16, window=window)
    assert reckoned.tensors == pytest.approx(held, rel=0.1)


def test_a_long_memory_is_seen_in_a_running_world() -> None:
    # at this size ring and rewinds outweigh the weights, so their arithmetic shows
    held = held_by("nano", window=1, size=(384, 384), history=100, steps=4)
    reckoned = world_memory(subject_of("nano"), (384, 384), steps=4, window=1, rewind=10)
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
