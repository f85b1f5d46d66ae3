"""What is not a network: measured on the right shapes, and told with its limits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from magi_rt.backends.eager import Loaded
from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.bench.overhead import IdleExecutor, bench_overhead, idle_executor, idle_machine
from magi_rt.bench.subject import Subject, open_subject, random_networks
from magi_rt.cli.app import app
from magi_rt.errors import OptionError
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.world import World
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.timeline import Timeline


@pytest.fixture(scope="module")
def tiny() -> Subject:
    return open_subject("tiny", WorldOptions(window=4, steps=8, device="cpu"))


def test_the_measurement_is_complete_and_says_whether_limits_are_kept(tiny: Subject) -> None:
    numbers = bench_overhead(tiny, chunks=20)
    measured = ("overhead_chunk_ms_p50", "overhead_step_ms", "overhead_share_pct", "chunk_ms_p50")
    assert all(math.isfinite(numbers[name]) and numbers[name] > 0 for name in measured)
    steps = numbers["steps"] // numbers["window"]
    assert numbers["overhead_step_ms"] * steps == pytest.approx(
        numbers["overhead_cpu_chunk_ms_p50"], rel=0.01
    )
    assert isinstance(numbers["within_limits"], bool)
    assert numbers["bookkeeping"] == "eager"


def test_the_idle_world_keeps_a_memory_of_the_real_size(tiny: Subject) -> None:
    real, idle = tiny.machine, idle_machine(tiny.machine)
    assert isinstance(idle.executor, IdleExecutor)
    worlds = [World(Timeline(machine, machine.begin())) for machine in (real, idle)]
    frames = [[frame for _ in range(6) for frame in world.advance()] for world in worlds]
    caches = [world._timeline.moment.state.cache for world in worlds]
    assert caches[0].keys.shape == caches[1].keys.shape
    assert caches[0].chunks == caches[1].chunks
    shapes = [[frame.pixels.shape for frame in made] for made in frames]
    assert shapes[0] == shapes[1]


def test_the_idle_world_computes_nothing(tiny: Subject) -> None:
    machine = idle_machine(tiny.machine)
    world = World(Timeline(machine, machine.begin()))
    assert not any(frame.pixels.any() for frame in world.advance())
    state = world._timeline.moment.state
    finished = state.window.finished
    assert finished is not None
    noise = machine.pipeline.noise(0, finished.index, tuple(finished.latents.shape))
    assert torch.equal(finished.latents, noise)


class Graphs(GraphExecutor):
    """An executor of graphs whose runtime is never asked for one."""

    name = "graphs"


@pytest.mark.parametrize("window", [1, 4])
def test_beside_an_executor_of_graphs_the_idle_world_keeps_books_as_that_does(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime: Any = SimpleNamespace(name="none", precision="float32", version=lambda: "0")
    config, dit, vae, info = random_networks("tiny", device="cpu")
    real = Graphs(Loaded(config, dit, vae, None, info), runtime)
    idle = idle_executor(real, real.new_cache(4, 4, 1))
    assert idle.way == "graphs"
    asked: list[str] = []
    for name in ("laid_out", "recall", "workspace"):
        whole = getattr(RollingKVCache, name)

        def noted(*given: Any, name: str = name, whole: Callable[..., Any] = whole) -> Any:
            asked.append(name)
            return whole(*given)

        monkeypatch.setattr(RollingKVCache, name, noted)
    machine = WorldMachine.around(idle, "tiny", WorldOptions(window=window, steps=8))
    world = World(Timeline(machine, machine.begin()))
    for _ in range(6):
        world.advance("night falls")
    assert set(asked) == {"laid_out"}
    assert len(world._timeline.moment.state.cache.chunks) == machine.begin().state.cache.depth


def test_too_few_chunks_are_refused(tiny: Subject) -> None:
    with pytest.raises(OptionError, match="20 or more"):
        bench_overhead(tiny, chunks=3)


def test_the_command_ends_in_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magi_rt.cli.bench.keep_memory", lambda: None)
    told = CliRunner().invoke(app, ["bench", "overhead", "--model", "tiny", "--chunks", "20"])
    assert told.exit_code == 0
    assert json.loads(told.stdout.splitlines()[-1])["bench"] == "overhead"
