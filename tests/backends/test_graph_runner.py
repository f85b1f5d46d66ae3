"""Graph runtimes compute what the eager executor computes, from graphs that are made once."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from magi_rt.backends.graph_inputs import shape_of, visible_chunks
from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.backends.graph_runtime import GraphOrder
from magi_rt.backends.openvino import COPIED_BYTES, OpenVINOExecutor, _OpenVINORunner
from magi_rt.errors import BackendError
from magi_rt.export.graphs import HIDDEN
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.sampling.rehearsal import rehearse
from magi_rt.sampling.schedule import SamplerConfig
from tests.backends.graph_kit import SIZE, Player, graph_executor, need, plain_executor, relative

pytestmark = pytest.mark.engine
BACKENDS = ("openvino", "onnx")


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graphs are converted once for all tests of this file."""
    return tmp_path_factory.mktemp("plans")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_is_what_eager_makes_of_it(backend: str, plans: Path) -> None:
    found = Player(graph_executor(backend, plans), 2).play(7)
    for place, (a, b) in enumerate(zip(found, Player(plain_executor(), 2).play(7), strict=True)):
        assert relative(a, b) < 1e-4, place


@pytest.mark.parametrize(("window", "depth"), [(1, 1), (4, 3)])
def test_a_memory_of_any_depth_is_read_as_eager_reads_it(
    window: int, depth: int, plans: Path
) -> None:
    found = Player(graph_executor("openvino", plans), window, depth).play(7)
    expected = Player(plain_executor(), window, depth).play(7)
    assert all(relative(f, e) < 1e-4 for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("window", [1, 2])
def test_a_copy_and_a_saved_stream_go_on_to_the_same_bits_as_the_stream_itself(
    backend: str, window: int, plans: Path
) -> None:
    player, twins = Player(graph_executor(backend, plans), window), {}
    made = []
    for chunk in range(11):
        made += player.play(1, first=chunk)
        if chunk < 7:
            twins[chunk + 1] = (player.copied(), player.saved())
    for first, pair in twins.items():
        for twin in pair:
            assert all(map(torch.equal, twin.play(4, first), made[first:])), first


def test_a_stream_goes_on_rightly_after_any_of_its_calls_has_failed(
    plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = graph_executor("openvino", plans)
    whole = Player(executor, 1).play(6)
    player, calls, call = Player(executor, 1), [0], GraphExecutor._call

    def fails(self: GraphExecutor, *given: Any) -> Tensor:
        calls[0] += 1
        if calls[0] % 5 == 0:
            raise KeyboardInterrupt
        return call(self, *given)

    monkeypatch.setattr(GraphExecutor, "_call", fails)
    made: list[Tensor] = []
    while len(made) < len(whole):
        try:
            text = player.text(len(made))
            made.append(player.pipeline.advance(player.state, lambda _, t=text: t).latents)  # type: ignore[misc]
        except KeyboardInterrupt:
            continue
    assert calls[0] > 60
    assert all(torch.equal(a, b) for a, b in zip(made, whole, strict=True))


def test_no_graph_is_given_the_slot_that_nobody_sees(plans: Path) -> None:
    executor = graph_executor("openvino", plans)
    player = Player(executor, 1)
    player.play(6)
    (room,) = player.state.cache._laid_out.values()
    widest = max(executor.config.runtime.noise2clean_kvrange)
    assert len(room.slots) == widest - 1 == player.state.cache.depth


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_are_what_eager_decodes(backend: str, plans: Path) -> None:
    latents = torch.randn(16, 2, *SIZE, generator=torch.Generator().manual_seed(0))
    found, expected = (
        graph_executor(backend, plans).decode(latents),
        plain_executor().decode(latents),
    )
    assert found.dtype == torch.uint8 and found.shape == expected.shape
    assert int((found.int() - expected.int()).abs().max()) <= 1


def test_bfloat16_products_stay_near_eager(plans: Path) -> None:
    try:
        executor = graph_executor("openvino", plans, "bfloat16")
    except BackendError as error:
        pytest.skip(error.message)
    found, expected = Player(executor, 1).play(1)[0], Player(plain_executor(), 1).play(1)[0]
    assert 0 < relative(found, expected) < 5e-2
    assert executor.info.dtype == "bfloat16"


def test_a_graph_world_in_bfloat16_keeps_its_memory_in_float32_as_the_page_says() -> None:
    need("openvino")
    try:
        executor = OpenVINOExecutor.open("nano", dtype="bfloat16")
    except BackendError as error:
        pytest.skip(error.message)
    assert {weight.dtype for weight in executor.dit.parameters()} == {torch.float32}
    assert executor.new_cache(*SIZE, 2).keys.dtype == torch.float32
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
    assert "OpenVINO and ONNX Runtime keep their memory in `float32`" in page


def test_a_graph_lives_until_openvino_has_saved_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = graph_executor("openvino", tmp_path).runtime
    made: list[weakref.ref[nn.Module]] = []

    def make() -> nn.Module:
        graph = nn.Linear(4, 4)
        made.append(weakref.ref(graph))
        return graph

    alive = []
    monkeypatch.setattr("openvino.save_model", lambda *_, **__: alive.append(made[0]() is not None))
    runtime.save(GraphOrder("small", make, {"x": (2, 4)}, ("y",)), tmp_path)
    assert alive == [True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_worlds_that_are_opened_at_once_spoil_neither_each_others_graphs_nor_what_is_printed(
    backend: str, tmp_path: Path
) -> None:
    runtime, before = graph_executor(backend, tmp_path).runtime, (sys.stdout, warnings.filters[:])
    together, failures = threading.Barrier(2), list[BaseException]()

    def convert(into: Path) -> None:
        network = nn.Sequential(*(nn.Linear(8, 8) for _ in range(40)))
        order = GraphOrder("small", lambda: network, {"input": (2, 8)}, ("y",))
        into.mkdir()
        together.wait(60)
        try:
            with torch.no_grad():
                runtime.save(order, into)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=convert, args=(tmp_path / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == [] and (sys.stdout, warnings.filters) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_stream_comes_out_twice_bit_for_bit(backend: str, plans: Path) -> None:
    executor = graph_executor(backend, plans)
    first, second = Player(executor, 2).play(4), Player(executor, 2).play(4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_results_belong_to_the_caller(plans: Path) -> None:
    executor = graph_executor("openvino", plans)
    latents = torch.randn(16, 2, *SIZE)
    kept = executor.decode(latents)
    before = kept.clone()
    executor.decode(latents + 1)
    assert torch.equal(kept, before)


def test_the_second_opening_converts_nothing(plans: Path, caplog: pytest.LogCaptureFixture) -> None:
    Player(graph_executor("openvino", plans), 1).play(2)
    with caplog.at_level(logging.INFO):
        Player(graph_executor("openvino", plans), 1).play(2)
    assert "converts" not in caplog.text


def test_pictures_follow_the_auto_encoders_card_also_where_its_weights_are_the_same(
    tmp_path: Path,
) -> None:
    latents = torch.randn(16, 2, *SIZE)
    before = graph_executor("openvino", tmp_path).decode(latents).int()
    corrected, eager = graph_executor("openvino", tmp_path), plain_executor()
    for each in (corrected, eager):
        each.vae.config = replace(each.vae.config, num_heads=2 * each.vae.config.num_heads)
        for block in each.vae.decoder.blocks:
            block.attn.num_heads *= 2  # type: ignore[union-attr, operator]
    found, expected = (each.decode(latents).int() for each in (corrected, eager))
    assert (found - expected).abs().max() <= 1 < (expected - before).abs().max()


def test_a_folder_that_cannot_be_written_costs_only_time(
    plans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    latents = torch.zeros(16, 2, *SIZE)
    found = graph_executor("openvino", blocked).decode(latents)
    assert torch.equal(found, graph_executor("openvino", plans).decode(latents))
    assert "cannot be kept" in caplog.text


def test_what_openvino_compiles_is_kept_with_its_plan(plans: Path) -> None:
    graph_executor("openvino", plans).decode(torch.zeros(16, 2, *SIZE))
    folders = [path for path in plans.iterdir() if path.is_dir()]
    assert folders and all((path / "manifest.json").is_file() for path in folders)
    assert any((path / "openvino").is_dir() for path in folders)


def test_what_openvino_compiled_is_used_only_as_it_was_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    latents = torch.zeros(16, 2, *SIZE)
    right = graph_executor("openvino", tmp_path).decode(latents)
    (blob,) = tmp_path.glob("*/openvino/*.blob")
    whole = blob.read_bytes()
    middle = len(whole) // 2
    blob.write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    assert torch.equal(graph_executor("openvino", tmp_path).decode(latents), right)
    assert "not as it was written" in caplog.text
    caplog.clear()
    assert torch.equal(graph_executor("openvino", tmp_path).decode(latents), right)
    assert not caplog.text, "made anew once, then kept"


def test_nothing_that_a_chunk_copies_wakes_pytorchs_threads() -> None:
    need("openvino")
    player = Player(OpenVINOExecutor.open("nano"), 1)
    player.play(2)

    copies: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            if func.overloadpacket == torch.ops.aten.copy_:
                copies.append(args[0].numel())
            return func(*args, **(kwargs or {}))

    with Watch():  # type: ignore[no-untyped-call]
        player.play(2)
        player.state.clone()
    assert 0 < max(copies) < 2**15, "larger ones are spread over all threads, which spin then"


def test_an_interrupted_call_does_not_leave_another_streams_memory_bound() -> None:
    class Request:
        def __init__(self) -> None:
            self.bound, self.interrupts = torch.zeros(1), False

        def get_output_tensor(self, place: int) -> SimpleNamespace:
            return SimpleNamespace(data=np.zeros(1, dtype=np.float32))

        def set_input_tensor(self, place: int, tensor: torch.Tensor) -> None:
            self.bound = tensor
            if self.interrupts:
                raise KeyboardInterrupt

        def infer(self) -> None: ...

    request = Request()
    size = COPIED_BYTES // 4 + 1
    port = SimpleNamespace(shape=[size], element_type=SimpleNamespace(size=4))
    compiled = SimpleNamespace(inputs=[port], outputs=[0], create_infer_request=lambda: request)
    shared = SimpleNamespace(Tensor=lambda array, shared_memory: torch.from_numpy(array))
    runner = _OpenVINORunner(shared, compiled)
    one, other = torch.ones(size), torch.full((size,), 2.0)
    runner([one])
    request.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        runner([other])
    request.interrupts = False
    runner([one])
    assert torch.equal(request.bound, one)


@pytest.mark.parametrize(
    ("step", "kind"), [("save", RuntimeError), ("load", RuntimeError), ("load", OSError)]
)
def test_what_a_runtime_refuses_is_told_in_its_own_words(
    step: str, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = graph_executor("openvino", tmp_path)

    def refuse(*_: object) -> None:
        raise kind("unsupported\n  operation")

    monkeypatch.setattr(executor.runtime, step, refuse)
    with pytest.raises(BackendError, match=r"refuses lean-decoder.*: unsupported operation; use"):
        executor.decode(torch.zeros(16, 2, *SIZE))


def test_after_a_rehearsal_no_call_waits_for_a_graph(
    plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = graph_executor("openvino", plans)
    sampler = SamplerConfig.from_config(executor.config, 8, 2, None)
    rehearse(executor, sampler, SIZE, executor.expect)
    assert executor.warm_up() > 0

    def refuse(*_: object) -> None:
        raise AssertionError("a graph was made ready during the stream")

    monkeypatch.setattr(executor, "_ready", refuse)
    Player(executor, 2).play(8)


def test_a_range_sees_its_own_past_and_nothing_later() -> None:
    executor = plain_executor()
    cache = executor.new_cache(*SIZE, depth=3)
    for chunk in range(5):
        cache.commit(chunk)
    text = executor.prepare_text(executor.null_text())
    branch = Branch((text, text), (1, 4), drop=False)
    inputs = DenoiseInputs(torch.zeros(16, 4, *SIZE), (0.9, 0.1), 5, (branch,))
    first, second = visible_chunks(inputs, cache)[0].tolist()
    assert [place for place, bias in enumerate(first) if bias == 0] == [4]
    slots = sorted(cache.slot(chunk) for chunk in (3, 4))
    assert [place for place, bias in enumerate(second) if bias == 0] == [*slots, 4, 5]
    assert min(first) == HIDDEN
    assert shape_of(inputs, cache, room=100).text == 100


def test_two_streams_of_one_executor_do_not_disturb_each_other(plans: Path) -> None:
    executor = graph_executor("openvino", plans)
    alone = Player(executor, 1).play(6)
    first, second = Player(executor, 1), Player(executor, 1)
    mixed = []
    for seed in range(6):
        text = first.text(seed)
        mixed.append(first.pipeline.advance(first.state, lambda _, t=text: t).latents)  # type: ignore[misc]
        other = second.text(seed + 1)
        second.pipeline.advance(second.state, lambda _, t=other: t)  # type: ignore[misc]
    assert all(torch.equal(a, b) for a, b in zip(alone, mixed, strict=True))


def test_a_runtime_that_computes_nonsense_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = graph_executor("openvino", tmp_path)
    sampler = SamplerConfig.from_config(executor.config, 8, 1, None)
    rehearse(executor, sampler, SIZE, executor.expect)
    nonsense = [torch.full((1,), float("nan"))]
    monkeypatch.setattr(executor, "_ready", lambda order: lambda inputs: nonsense)
    with pytest.raises(BackendError, match="to what is no number"):
        executor.warm_up()


def test_a_runtime_that_fails_in_its_first_call_is_refused_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = graph_executor("openvino", tmp_path)
    sampler = SamplerConfig.from_config(executor.config, 8, 1, None)
    rehearse(executor, sampler, SIZE, executor.expect)

    def fail(inputs: object) -> list[torch.Tensor]:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(executor, "_ready", lambda order: fail)
    with pytest.raises(BackendError, match="could not create a primitive; use another"):
        executor.warm_up()


def test_openvino_without_its_plugin_for_processors_is_told_as_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from magi_rt.backends import openvino

    def get_property(*_: str) -> str:
        raise RuntimeError("Cannot load library libopenvino_intel_cpu_plugin.so")

    monkeypatch.setattr(openvino, "the_core", lambda: SimpleNamespace(get_property=get_property))
    with pytest.raises(BackendError, match="Cannot load library"):
        openvino.OpenVINORuntime()


INTERRUPTED = """
import gc, signal
from magi_rt.backends.openvino import OpenVINORuntime
first, second = OpenVINORuntime(), OpenVINORuntime()
del first
gc.collect()
del second
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_two_openvino_worlds_is_an_interrupt_and_no_crash() -> None:
    need("openvino")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr[-2000:]


def test_a_gpu_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(BackendError, match="runs on processors"):
        OpenVINOExecutor.open("nano", device="cuda")


@pytest.mark.parametrize(("module", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magi_rt.backends.onnx import OnnxRuntime
    from magi_rt.backends.openvino import OpenVINORuntime

    monkeypatch.setitem(__import__("sys").modules, module, None)
    runtime = OpenVINORuntime if module == "openvino" else OnnxRuntime
    with pytest.raises(BackendError, match=rf"pip install \"magi-rt\[{extra}\]\""):
        runtime()


def test_onnx_runtime_refuses_bfloat16() -> None:
    pytest.importorskip("onnxruntime", reason="pip install magi-rt[onnx]")
    from magi_rt.backends.onnx import OnnxRuntime

    with pytest.raises(BackendError, match="no bfloat16"):
        OnnxRuntime("bfloat16")
