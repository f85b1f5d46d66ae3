"""Builders: every runtime that is installed builds for real, and says in words what it refuses."""

from __future__ import annotations

import signal
import sys
import types
from pathlib import Path

import pytest
import torch

from magi_rt.errors import BackendError, OptionError
from magi_rt.export.builders import find_builder
from tests.export.kit import WIDTH, needs, order, write_graph

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("target", ["a100", "rtx3090", "rtx4090", "rtx5090"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_engine_is_built_for_a_card_that_is_not_here(
    tmp_path: Path, target: str, dtype: str
) -> None:
    needs("tensorrt_rtx")
    model = write_graph(tmp_path / "small.onnx", dtype)
    find_builder("tensorrt_rtx").build(order(model, target, dtype), tmp_path)
    assert (tmp_path / "plan.engine").stat().st_size > WIDTH * WIDTH


def test_sizes_that_vary_are_built_with_their_profile(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    model = write_graph(tmp_path / "small.onnx", rows=-1)
    find_builder("tensorrt_rtx").build(order(model, "rtx4090", rows=-1), tmp_path)
    assert (tmp_path / "plan.engine").exists()


def test_the_builder_tells_how_far_it_is(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    told: list[tuple[str, float]] = []
    model = write_graph(tmp_path / "small.onnx")
    find_builder("tensorrt_rtx").build(
        order(model, "rtx4090"), tmp_path, lambda what, share: told.append((what, share))
    )
    assert told[0] == ("parsing", 0.0) and told[-1] == ("built", 1.0)
    assert all(0.0 <= share <= 1.0 for _, share in told)


@pytest.mark.parametrize("arrives", ["is raised", "comes as a signal"])
def test_an_interrupt_during_a_build_comes_out_as_that_interrupt_and_leaves_no_plan(
    tmp_path: Path, arrives: str
) -> None:
    needs("tensorrt_rtx")

    def interrupt(what: str, share: float) -> None:
        if what != "parsing":
            if arrives == "is raised":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    model = write_graph(tmp_path / "small.onnx")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        find_builder("tensorrt_rtx").build(order(model, "rtx4090"), tmp_path, interrupt)
    assert not (tmp_path / "plan.engine").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_of_whoever_watches_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    needs("tensorrt_rtx")

    def fail(what: str, share: float) -> None:
        if what != "parsing":
            raise ValueError("the terminal is gone")

    model = write_graph(tmp_path / "small.onnx")
    with pytest.raises(ValueError, match="the terminal is gone"):
        find_builder("tensorrt_rtx").build(order(model, "rtx4090"), tmp_path, fail)


@pytest.mark.parametrize(
    ("there", "told"),
    [(True, r"NVIDIA A100 of compute capability 8\.0, but h100 has 9\.0"), (False, "finds none")],
)
def test_tensorrt_refuses_to_build_for_another_card_than_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, told: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100")
    with pytest.raises(BackendError, match=told):
        find_builder("tensorrt").build(order(tmp_path / "small.onnx", "h100"), tmp_path)


def test_what_the_runtime_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    model = write_graph(tmp_path / "small.onnx", op="Det")
    with pytest.raises(BackendError, match=r"tensorrt_rtx: the parser refuses small\.onnx.*Det"):
        find_builder("tensorrt_rtx").build(order(model, "rtx4090"), tmp_path)
    assert not (tmp_path / "plan.engine").exists()


def test_bfloat16_for_a_card_without_it_is_refused_by_the_builder(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    model = write_graph(tmp_path / "small.onnx", "bfloat16")
    with pytest.raises(BackendError, match="the builder refuses"):
        find_builder("tensorrt_rtx").build(order(model, "rtx2080"), tmp_path)


def test_tensorrt_for_rtx_says_that_it_has_no_h100(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    model = write_graph(tmp_path / "small.onnx")
    with pytest.raises(BackendError, match=r"does not build for h100 \(SM90\)"):
        find_builder("tensorrt_rtx").build(order(model, "h100"), tmp_path)


def test_a_runtime_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime, extra in (
        ("tensorrt_rtx", "rtx"),
        ("tensorrt", "tensorrt"),
    ):
        monkeypatch.setitem(sys.modules, runtime, None)
        with pytest.raises(BackendError, match=rf'pip install "magi-rt\[{extra}\]"'):
            find_builder(runtime).version()


def test_an_unknown_runtime_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionError, match="did you mean 'tensorrt_rtx'"):
        find_builder("tensorrt_rt")
