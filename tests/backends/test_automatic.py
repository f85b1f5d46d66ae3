"""What "auto" takes: the fastest executor that this machine can have for a model."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from magi_rt.backends import automatic
from magi_rt.backends.choose import open_executor, resolve_backend
from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.backends.graph_runtime import GraphOrder
from magi_rt.checkpoints.layout import ModelFolder, locate
from magi_rt.errors import BackendError
from magi_rt.export.plan_cache import PlanCache
from magi_rt.world import World
from tests.backends.graph_kit import need
from tests.world.kit import same_pixels


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A machine without a GPU; its packages are what is put in the set."""
    packages: set[str] = set()
    monkeypatch.delenv(automatic.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(automatic, "has", packages.__contains__)
    return packages


def test_openvino_is_taken_before_onnx_and_onnx_before_eager(machine: set[str]) -> None:
    assert resolve_backend("nano").backend == "eager"
    assert "pip install magi-rt[openvino]" in resolve_backend("nano").reason
    machine.update(automatic.ONNX_PACKAGES)
    assert resolve_backend("nano").backend == "onnx"
    assert resolve_backend("nano", dtype="bfloat16").backend == "eager"
    machine.add("openvino")
    choice = resolve_backend("nano")
    assert choice.backend == "openvino" and "OpenVINO is installed" in choice.reason


def test_a_gpu_is_for_pytorch(machine: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add("openvino")
    assert resolve_backend("nano", device="cuda:0").backend == "eager"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_backend("nano").backend == "eager"
    assert resolve_backend("nano", device="cpu").backend == "openvino"


@pytest.mark.parametrize(("cuda", "told"), [(None, "without CUDA"), ("13.0", "finds no GPU")])
def test_a_card_that_pytorch_cannot_use_is_named_in_the_reason(
    machine: set[str], monkeypatch: pytest.MonkeyPatch, cuda: str | None, told: str
) -> None:
    machine.add("openvino")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/nvidia-smi")
    assert told in resolve_backend("nano").reason
    assert "NVIDIA" not in resolve_backend("nano", device="cpu").reason
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "NVIDIA" not in resolve_backend("nano").reason


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside PyTorch
def test_the_environments_backend_holds_with_a_wished_attention_too_or_is_refused(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(automatic.VARIABLE, "compiled")
    assert open_executor("nano", attention="sdpa").info.name == "compiled"
    monkeypatch.setenv(automatic.VARIABLE, "openvino")
    with pytest.raises(BackendError, match="cannot be had from backend 'openvino'"):
        open_executor("nano", attention="sdpa")


def test_large_models_are_not_copied_into_graphs(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add("openvino")
    monkeypatch.setattr(automatic, "GRAPH_BYTES", 2**20)
    choice = resolve_backend("nano")
    assert choice.backend == "eager" and "GiB" in choice.reason


def test_eight_bit_weights_stay_with_pytorch(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def eight_bits(model: str) -> ModelFolder:
        found = locate(model)
        engine = replace(found.config.engine, fp8_quant=True)
        return replace(found, config=replace(found.config, engine=engine))

    machine.add("openvino")
    monkeypatch.setattr("magi_rt.checkpoints.layout.locate", eight_bits)
    assert resolve_backend("nano").backend == "eager"


def test_the_environment_may_say_what_auto_means(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add("openvino")
    monkeypatch.setenv(automatic.VARIABLE, "compiled")
    choice = resolve_backend("nano")
    assert choice.backend == "compiled" and automatic.VARIABLE in choice.reason
    assert resolve_backend("dummy").backend == "dummy"
    monkeypatch.setenv(automatic.VARIABLE, "auto")
    assert resolve_backend("nano").backend == "openvino"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opnvino", "says 'opnvino': backend 'opnvino' is unknown; did you mean 'openvino'"),
        ("dummy", "says 'dummy': backend 'dummy' cannot run the model 'nano'"),
        ("tensorrt", "says 'tensorrt': backend 'tensorrt' runs on NVIDIA cards"),
    ],
)
def test_a_backend_that_the_environment_named_and_cannot_be_had_is_refused_in_its_name(
    machine: set[str], monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv(automatic.VARIABLE, name)
    for attention in ("auto", "sdpa"):
        with pytest.raises(BackendError, match=f"^{automatic.VARIABLE} says '{name}': "):
            open_executor("nano", attention=attention)
    with pytest.raises(BackendError, match=words):
        open_executor("nano")
    with pytest.raises(BackendError, match=f"^backend {name!r}"):
        open_executor("nano", backend=name)


def test_a_model_that_is_not_there_is_no_error_yet(machine: set[str], tmp_path: Path) -> None:
    assert resolve_backend(str(tmp_path / "nothing")).backend == "eager"


def test_what_auto_chose_and_cannot_be_opened_is_told_while_pytorch_runs_the_model(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add("openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)  # installed, and cannot be imported
    info = open_executor("nano").info
    assert info.name == "eager"
    assert "openvino does not: openvino cannot be imported" in info.reason
    monkeypatch.setenv(automatic.VARIABLE, "openvino")
    with pytest.raises(BackendError, match="cannot be imported"):
        open_executor("nano")
    with pytest.raises(BackendError, match="cannot be imported"):
        open_executor("nano", backend="openvino")


def refuse_the_graph(executor: GraphExecutor, order: GraphOrder) -> None:
    raise BackendError(f"OpenVINO refuses {order.name}", field="backend")


def refuse_to_write(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("place", "refuse", "words"),
    [
        (GraphExecutor, "_ready", "OpenVINO refuses lean-denoiser"),
        (PlanCache, "get", "no place for lean-denoiser.*No space left.*MAGI_RT_CACHE"),
    ],
)
def test_a_runtime_that_fails_over_a_graph_leaves_the_world_to_pytorch_unless_it_was_named(
    machine: set[str], monkeypatch: pytest.MonkeyPatch, place: type, refuse: str, words: str
) -> None:
    need("openvino")
    machine.add("openvino")
    monkeypatch.setattr(place, refuse, refuse_the_graph if refuse == "_ready" else refuse_to_write)
    world = World.open("nano", steps=4, window=1)
    assert world.engine.name == "eager"
    said = rf"^PyTorch runs the model, because openvino does not: .*{words}.*; PyTorch on cpu"
    assert re.search(said, world.engine.reason)
    expected = World.open("nano", steps=4, window=1, backend="eager").advance("rain")
    assert same_pixels(world.advance("rain"), expected)
    with pytest.raises(BackendError, match=words):
        World.open("nano", backend="openvino")
    monkeypatch.setenv(automatic.VARIABLE, "openvino")
    with pytest.raises(BackendError, match=words):
        World.open("nano")


def test_a_wished_attention_is_pytorchs_also_where_auto_would_take_a_graph_runtime(
    machine: set[str],
) -> None:
    machine.add("openvino")
    info = open_executor("nano", attention="sdpa").info
    assert info.name == "eager" and "attention by PyTorch" in info.reason
    with pytest.raises(BackendError, match="which has its own; use backend='eager' or 'compiled'"):
        open_executor("nano", backend="openvino", attention="sdpa")
    with pytest.raises(BackendError, match="SageAttention runs on CUDA devices"):
        open_executor("nano", device="cpu", attention="sage")
    with pytest.raises(BackendError, match="'quick' is unknown; use one of 'auto', 'sdpa', 'sage'"):
        open_executor("nano", attention="quick")
