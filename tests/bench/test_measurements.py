"""What measurements say, on a tiny random model; how fast it is, is not tested."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from magi_rt.backends.eager import EagerExecutor
from magi_rt.bench.endurance import Readings, bench_endurance, summary
from magi_rt.bench.measure import memory_bytes, percentile, rounded
from magi_rt.bench.report import WORDS, json_line, table
from magi_rt.bench.subject import open_subject
from magi_rt.bench.world import Rival, bench_world, fresh_prompts, speedup
from magi_rt.cli.app import app
from magi_rt.errors import BackendError, OptionError
from magi_rt.frames import Frame
from magi_rt.presets import PRESETS
from magi_rt.world import World
from magi_rt.world.options import WorldOptions

CONDITIONS = {
    "model", "weights", "size", "steps", "window", "backend", "dtype", "device", "threads",
    "hardware", "cores", "torch", "allocator",
}  # fmt: skip
WORLD = {
    "fps", "chunk_ms_p50", "chunk_ms_p95", "prompt_to_frames_ms_p95", "first_chunk_ms",
    "speedup_vs_plain", "speedup_early", "speedup_late", "difference_max",
}  # fmt: skip
ENDURANCE = {"memory_growth_pct", "late_over_early_chunk_time"}


def finite(numbers: dict[str, Any], names: set[str]) -> bool:
    return all(math.isfinite(numbers[name]) for name in names)


@pytest.mark.parametrize("window", [1, 4])
def test_the_world_measurement_is_complete_and_both_ways_agree(window: int) -> None:
    subject = open_subject("tiny", WorldOptions(window=window))
    seen: list[int] = []
    numbers = bench_world(subject, chunks=8, tell=seen.append)
    assert numbers.keys() >= CONDITIONS | WORLD
    assert finite(numbers, WORLD)
    assert numbers["difference_max"] < 1e-4
    assert (numbers["model"], numbers["weights"], numbers["window"]) == ("tiny", "random", window)
    assert seen == list(range(1, 9))
    assert json.loads(json_line(numbers)) == numbers


def test_what_the_rival_takes_is_no_part_of_the_wait_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    advance, rivals = World.advance, Rival.advance

    def ours(world: World, prompt: str | None) -> list[Frame]:
        now[0] += 1
        return advance(world, prompt)

    def theirs(rival: Rival, prompt: str | None) -> float:
        now[0] += 100
        rivals(rival, prompt)
        return 100.0

    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("magi_rt.bench.world.time", clock)
    monkeypatch.setattr(World, "advance", ours)
    monkeypatch.setattr(Rival, "advance", theirs)
    numbers = bench_world(open_subject("tiny", WorldOptions(window=4)), chunks=8)
    assert numbers["chunk_ms_p50"] == 1000
    assert numbers["prompt_to_frames_ms_p50"] == numbers["prompt_to_frames_ms_p95"] == 4000


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_plain_way_computes_in_the_executors_format_and_the_line_says_what_it_is(
    dtype: str,
) -> None:
    subject = open_subject("tiny", WorldOptions())
    executor = subject.machine.executor
    assert isinstance(executor, EagerExecutor)
    # as executors of graphs are, whose own PyTorch weights are in float32 whatever they multiply in
    executor.info = replace(executor.info, name="openvino", dtype=dtype)
    numbers = bench_world(subject, chunks=8)
    told = {name: numbers[name] for name in numbers if name in ("plain_dtype", "plain_backend")}
    assert told == {"plain_dtype": dtype, "plain_backend": "eager"}
    assert numbers["plain_decoder"] == "openvino"
    assert (numbers["difference_max"] < 1e-4) == (dtype == "float32")


def test_quantised_weights_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.cli.bench.keep_memory", lambda: None)
    config = json.dumps(PRESETS["4.5B-distill-fp8"].to_dict())
    (tmp_path / "config.json").write_text(config, encoding="utf-8")  # and no weights beside it
    result = CliRunner().invoke(app, ["bench", "world", "--model", str(tmp_path)])
    assert result.exit_code == 2
    assert "add --no-plain" in result.stderr and result.stderr.count("\n") == 1


def test_the_speedup_compares_the_same_chunks() -> None:
    assert speedup([1.0, 2.0, 3.0], [4.0, 6.0, 9.0]) == 3.0
    with pytest.raises(AssertionError):
        speedup([1.0, 2.0], [4.0])


def test_without_the_plain_way_nothing_is_claimed_about_it() -> None:
    numbers = bench_world(open_subject("tiny", WorldOptions()), chunks=8, plain=False)
    assert numbers["speedup_vs_plain"] is None
    assert not numbers.keys() & {"speedup_early", "plain_fps", "difference_max"}


def test_the_endurance_measurement_is_complete() -> None:
    numbers = bench_endurance(open_subject("tiny", WorldOptions()), chunks=40)
    assert numbers.keys() >= CONDITIONS | ENDURANCE
    assert finite(numbers, ENDURANCE)
    assert numbers["compared_chunks"] == 10


def test_growth_and_slowing_are_measured_after_the_first_chunks() -> None:
    times = [9.0] * 20 + [1.0] * 200 + [5.0] * 1580 + [2.0] * 200
    memory = [50] * 19 + [100] * 1900 + [110] * 40 + [105] * 41
    numbers = summary(Readings(times, memory))
    assert numbers["late_over_early_chunk_time"] == 2.0
    assert numbers["memory_growth_pct"] == pytest.approx(10.0)
    assert numbers["compared_chunks"] == 200


def test_prompts_of_a_measurement_are_new_ones() -> None:
    prompts = fresh_prompts()
    taken = [next(prompts) for _ in range(3000)]
    assert len(set(taken)) == len(taken)


def test_numbers_that_are_none_are_not_printed_as_numbers() -> None:
    numbers = rounded({"fps": math.inf, "chunk_ms_p50": 1.23456, "difference_max": 1.23456e-7})
    assert numbers == {"fps": None, "chunk_ms_p50": 1.235, "difference_max": 1.23e-7}
    assert table(numbers).row_count == len(WORDS.keys() & numbers.keys())


def test_memory_in_use_is_seen() -> None:
    before = memory_bytes("cpu")
    block = bytearray(64 * 2**20)
    assert memory_bytes("cpu") - before > 32 * 2**20
    del block


def test_memory_that_no_system_tells_is_not_measured_and_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory_bytes("cpu") == 0
    found = summary(Readings(times=[1.0] * 60, memory=[0] * 60))
    assert found["memory_growth_pct"] is found["memory_mb_at_end"] is None


def test_an_executor_whose_weights_lie_apart_is_measured_without_the_plain_way_only() -> None:
    subject = open_subject("tiny", WorldOptions(), random_weights=True)
    executor = subject.machine.executor
    assert isinstance(executor, EagerExecutor)
    executor.vae.encoder.to("meta")  # as TensorRT's executor has two places
    with pytest.raises(OptionError, match="add --no-plain"):
        bench_world(subject, chunks=8)
    assert bench_world(subject, chunks=8, plain=False)["speedup_vs_plain"] is None


def test_percentiles_interpolate() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], 50) == 3.0
    assert percentile([0.0, 10.0], 95) == pytest.approx(9.5)


@pytest.mark.parametrize(
    ("model", "says"),
    [("huge", "no shape is known"), ("4.5B-distill-fp8", "quantised"), ("dummy", "no networks")],
)
def test_shapes_that_cannot_be_measured_are_named(model: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        open_subject(model, WorldOptions(), random_weights=True)


def test_a_published_shape_is_refused_without_a_gpu() -> None:
    with pytest.raises(BackendError, match="needs a CUDA device"):
        open_subject("4.5B-distill", WorldOptions(device="cpu"), random_weights=True)


def test_a_model_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magi_rt.bench.subject.free_on", lambda place: 1000)
    with pytest.raises(BackendError, match="tiny needs about"):
        open_subject("tiny", WorldOptions())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["world", "--chunks", "3"], "--chunks"),
        (["endurance", "--chunks", "39"], "--chunks"),
        (["world", "--window", "9", "--model", "tiny"], "window of 9"),
        (["world", "--steps", "7", "--model", "tiny"], "7 steps"),
        (["endurance", "--size", "13x17", "--model", "tiny"], "13x17"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr("magi_rt.cli.bench.keep_memory", lambda: None)
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr and result.stderr.count("\n") == 1


def test_the_command_restarts_itself_once_and_ends_in_json() -> None:
    command = [sys.executable, "-m", "magi_rt.cli", "bench", "world", "--model", "tiny"]
    done = subprocess.run(
        [*command, "--chunks", "8", "--no-plain"], capture_output=True, text=True, check=True
    )
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert numbers["bench"] == "world"
    if sys.platform.startswith("linux"):
        assert numbers["allocator"] == "keeps freed memory"
