"""The executor for cards, its engines played by PyTorch: it must make what eager makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor
from magi_rt.backends.tensorrt import TensorRTExecutor, target_of
from magi_rt.backends.tensorrt_lanes import Lanes
from magi_rt.errors import BackendError
from magi_rt.export.builders_tensorrt import TensorRTBuilder
from magi_rt.export.compile import output_specs
from magi_rt.export.parts import Part
from magi_rt.export.plan_cache import PlanCache
from magi_rt.export.targets import TARGETS
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from tests.export.test_tensorrt_session import CPU, FakeCuda


class Played:
    """An engine whose part is computed by PyTorch, into buffers that the next call overwrites."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.outputs = {
            spec.name: torch.empty(spec.shape, dtype=getattr(torch, spec.dtype))
            for spec in output_specs(part)
        }

    def run(self, given: dict[str, Tensor], stream: int) -> dict[str, Tensor]:
        assert list(given) == list(self.part.example)
        for name, example in self.part.example.items():
            assert (given[name].shape, given[name].dtype) == (example.shape, example.dtype), name
            assert given[name].is_contiguous(), name
        found = self.part.graph(*given.values())
        found = found if isinstance(found, tuple) else (found,)
        for name, value in zip(self.outputs, found, strict=True):
            self.outputs[name].copy_(value)
        return self.outputs


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TensorRTExecutor:
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(TensorRTBuilder, "version", lambda self: "1.7.1")
    monkeypatch.setattr(TensorRTExecutor, "_ready", lambda self, part: Played(part))
    opened = super(TensorRTExecutor, TensorRTExecutor).open("nano", device="cpu", dtype="float32")
    cuda: Any = FakeCuda()
    builder = TensorRTBuilder("tensorrt_rtx")
    lanes = Lanes(CPU, cuda, pinned=False)
    opened.adopt(
        builder, TARGETS["rtx4090"], lanes, lambda plan: pytest.fail(), PlanCache(tmp_path)
    )
    return opened


def frames(executor: Any, chunks: int) -> Tensor:
    """The first pictures of a world, [frames, height, width, 3]."""
    machine = WorldMachine.around(executor, "nano", WorldOptions(seed=3))
    moment, made = machine.begin(), []
    for _ in range(chunks):
        moment, found = machine.advance(moment, (), machine.paces[0])
        made += [torch.as_tensor(frame.pixels) for frame in found]
    return torch.stack(made).float()


def test_a_world_on_engines_shows_what_eager_shows(executor: TensorRTExecutor) -> None:
    eager = frames(EagerExecutor.open("nano", device="cpu", dtype="float32"), 3)
    found = frames(executor, 3)
    assert found.shape == eager.shape
    assert float((found - eager).abs().mean()) < 0.5


def test_it_tells_its_runtime_card_and_format(executor: TensorRTExecutor) -> None:
    assert executor.info.name == "tensorrt"
    assert executor.info.reason == "tensorrt_rtx 1.7.1 for rtx4090, products in float32"


def test_every_card_has_a_target_and_cards_of_one_kind_share_it() -> None:
    assert target_of((8, 9)).name == "rtx4090"
    assert target_of((9, 0)).choose_runtime() == "tensorrt"
    assert target_of((12, 1)).name == "sm12.1"


def test_without_a_card_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(BackendError, match="PyTorch has none to use here; use backend='auto'"):
        TensorRTExecutor.open("nano")
