"""Executors side by side: what is measured, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.bench import backends
from magi_rt.bench.backends import REFERENCE, Task, bench_backends, measured, psnr
from magi_rt.errors import BackendError, OptionError


def test_psnr_counts_decibels_of_bytes() -> None:
    assert psnr(1.0) == pytest.approx(48.13, abs=0.01)
    assert psnr(0.0) == 99.0


@pytest.mark.parametrize(("chunks", "rounds"), [(7, 1), (8, 0)])
def test_too_little_to_measure_is_refused(chunks: int, rounds: int) -> None:
    with pytest.raises(OptionError, match="cannot be measured"):
        bench_backends(chunks=chunks, rounds=rounds)


def test_every_round_turns_the_order_around(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Task] = []

    def answer(task: Task) -> dict[str, float]:
        asked.append(task)
        slow = 1.0 if task.way == REFERENCE else 0.25
        return {"fps": 8 / slow, "chunk_ms": slow, "least_ms": slow, "open_s": 1.0, "threads": 2}

    monkeypatch.setattr(backends, "measured", answer)
    monkeypatch.setattr(backends, "_likeness", lambda room, way: {})
    found = bench_backends(ways=("openvino/float32",), chunks=8, rounds=2)
    timed = [task.way for task in asked if not task.shadow]
    assert timed == [REFERENCE, "openvino/float32", "openvino/float32", REFERENCE]
    assert [task.way for task in asked if task.shadow] == ["openvino/float32"]
    assert found["best"] == "openvino/float32" and found["best_ratio"] == 4.0


def test_ways_that_this_machine_does_not_have_are_told_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(task: Task) -> dict[str, float]:
        if task.way.startswith("onnx/"):
            raise BackendError(f"{task.way} could not be measured: not installed")
        return {"fps": 8.0, "chunk_ms": 1.0, "least_ms": 1.0, "open_s": 1.0, "threads": 2}

    monkeypatch.setattr(backends, "measured", answer)
    monkeypatch.setattr(backends, "_likeness", lambda room, way: {})
    found = bench_backends(chunks=8, rounds=1)
    assert set(found["ways"]) == set(backends.WAYS)
    assert "not installed" in found["ways"]["onnx/float32"].pop("left_out")
    assert found["ways"].pop("onnx/float32") == {}
    assert all(row["fps"] == 8.0 for row in found["ways"].values())
    with pytest.raises(BackendError, match="not installed"):
        bench_backends(ways=("onnx/float32",), chunks=8, rounds=1)


def test_a_way_that_does_not_exist_is_told_in_its_own_words(talking_model: Path) -> None:
    with pytest.raises(BackendError, match=r"openvina/float32 could not be measured.*unknown"):
        measured(Task(str(talking_model), "openvina/float32", 8))


@pytest.mark.slow
@pytest.mark.engine
def test_a_graph_is_measured_beside_eager(talking_model: Path) -> None:
    pytest.importorskip("openvino", reason="pip install magi-rt[openvino]")
    way = "openvino/float32"
    found = bench_backends(str(talking_model), ways=(way,), chunks=8, rounds=1, threads=1)
    row = found["ways"][way]
    assert row["ratio"] > 0 and row["fps"] > 0
    assert row["psnr_db"] > 50
    assert row["step_difference_max"] < 1e-3
    assert row["chunk_psnr_db"] > 50
