"""The graphs that are built for cards, run by ONNX Runtime one after another, beside eager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.backends.eager import Loaded
from magi_rt.backends.tensorrt import TensorRTExecutor
from magi_rt.backends.tensorrt_lanes import Lanes
from magi_rt.bench.subject import random_networks
from magi_rt.errors import BackendError
from magi_rt.export import chain
from magi_rt.export.builders_tensorrt import TensorRTBuilder
from magi_rt.export.chain import cuts
from magi_rt.export.parts import Part, example, set_working_dtype
from magi_rt.export.plan_cache import PlanCache
from magi_rt.export.targets import TARGETS
from magi_rt.export.to_onnx import export_graph
from magi_rt.models.dit import VideoDiT
from magi_rt.presets import PRESETS
from tests.backends.graph_kit import SIZE, Player, plain_executor, relative
from tests.export.calls import cache_of, call
from tests.export.kit import needs
from tests.export.test_tensorrt_session import CPU, FakeCuda

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
LIMIT = 1e-5  # of the norm: sums in another order
Load = Callable[[Part], Any]


@pytest.mark.parametrize(
    ("raised", "comes_out"),
    [(ValueError("bad node"), BackendError), (OSError(28, "full"), OSError)],
)
def test_what_the_checker_refuses_is_told_and_a_full_disk_stays_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: Exception, comes_out: type[Exception]
) -> None:
    needs("onnxscript")
    import onnx

    def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(comes_out, match=r"bad node|full"):
        path = tmp_path / "small.onnx"
        export_graph(torch.nn.Linear(4, 4), {"x": torch.ones(2, 4)}, path, outputs=["y"])


class OnnxSession:
    """A part, written as a graph and run by ONNX Runtime in any of its sizes."""

    def __init__(self, part: Part, folder: Path) -> None:
        import onnxruntime

        path = folder / f"{part.name}.onnx"
        self.part, self.ranges = part, set[int]()
        names = [spec.name for spec in part.outputs]
        inputs = part.inputs
        export_graph(
            part.graph, example(inputs), path, outputs=names, opset=part.opset, varying=inputs
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)

    def run(self, given: dict[str, Tensor], stream: int) -> dict[str, Tensor]:
        self.ranges.add(given["gates"].shape[2])
        taken = {spec.name: given[spec.name].numpy() for spec in self.part.inputs}
        found = map(torch.from_numpy, self._session.run(None, taken))
        return {spec.name: each for spec, each in zip(self.part.outputs, found, strict=True)}


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Graphs are written once for all tests of this file; they all ask for the same calls."""
    needs("onnxruntime")
    needs("onnxscript")
    folder, made = tmp_path_factory.mktemp("chain"), dict[str, OnnxSession]()

    def get(part: Part) -> OnnxSession:
        if part.name not in made:
            with torch.inference_mode(False), torch.no_grad():
                made[part.name] = OnnxSession(part, folder)
        return made[part.name]

    return get


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Load) -> TensorRTExecutor:
    """The tiny shape with random weights, each of its two layers a graph of its own."""
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(TensorRTBuilder, "version", lambda self: "1.7.1")
    monkeypatch.setattr(TensorRTExecutor, "_ready", lambda self, part, scratch: load(part))
    monkeypatch.setattr(chain, "PLAN_BYTES", 1)
    config, dit, vae, info = random_networks("tiny", device="cpu", dtype="float32")
    config = replace(config, runtime=replace(config.runtime, window_size=4))
    cuda: Any = FakeCuda()
    lanes = Lanes(CPU, cuda, pinned=False)
    return TensorRTExecutor(
        Loaded(config, dit, vae, None, info),
        TensorRTBuilder("tensorrt_rtx"),
        TARGETS["rtx4090"],
        lanes,
        lambda plan, scratch: pytest.fail("nothing is built here"),
        PlanCache(tmp_path),
    )


@pytest.mark.engine
@pytest.mark.parametrize("stage", [None, 0])
@pytest.mark.parametrize("ranges", [1, 2, 3, 4, 5])
def test_the_same_graphs_answer_calls_of_every_number_of_ranges(
    executor: TensorRTExecutor, ranges: int, stage: int | None
) -> None:
    eager = plain_executor()
    mine, theirs = cache_of(executor, 6, SIZE), cache_of(eager, 6, SIZE)
    found = executor.denoise(call(executor, mine, ranges, stage), mine)
    expected = eager.denoise(call(eager, theirs, ranges, stage), theirs)
    assert found.shape == expected.shape
    assert relative(found, expected) < LIMIT
    assert relative(mine.keys, theirs.keys) < LIMIT
    assert relative(mine.values, theirs.values) < LIMIT
    assert (stage is None) == torch.equal(mine.keys, cache_of(eager, 6, SIZE).keys)


@pytest.mark.engine
def test_a_stream_with_four_chunks_in_flight_is_what_eager_makes_of_it(
    executor: TensorRTExecutor,
) -> None:
    found, expected = Player(executor, 4).play(8), Player(plain_executor(), 4).play(8)
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert relative(a, b) < 1e-4, place
    assert executor._chain is not None
    sessions: list[Any] = [session for _, session in executor._chain.links]
    assert [session.part.name for session in sessions] == ["denoiser-0-1", "denoiser-1-2"]
    assert all({1, 2, 3, 4, 5} <= session.ranges for session in sessions)


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("4.5B-distill", [8, 9, 8, 9]),
        ("4.5B-distill-fp8", [17, 17]),
        ("24B-distill-fp8", [4, 4, 5] * 3 + [4, 5]),
    ],
)
def test_large_denoisers_are_cut_evenly(model: str, layers: list[int]) -> None:
    config = PRESETS[model]
    with torch.device("meta"):
        dit = VideoDiT(config.model, fp8=config.engine.fp8_quant)
    set_working_dtype(dit, torch.bfloat16)
    assert [len(each) for each in cuts(dit)] == layers
