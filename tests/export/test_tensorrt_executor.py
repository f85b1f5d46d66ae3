"""The executor for cards, its engines played by PyTorch: it must make what eager makes."""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor, Loaded, loaded
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.backends.tensorrt import TensorRTExecutor
from magi_rt.backends.tensorrt_lanes import Lanes
from magi_rt.backends.tensorrt_session import Scratch
from magi_rt.errors import BackendError
from magi_rt.export import chain
from magi_rt.export.builders_tensorrt import TensorRTBuilder
from magi_rt.export.compile import compile_recipe, identify
from magi_rt.export.parts import Part, decoder_part, given_by, open_networks
from magi_rt.export.plan_cache import Plan, PlanCache
from magi_rt.export.recipes import read_recipe
from magi_rt.export.targets import TARGETS, target_of
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.timeline import Timeline
from tests.export.calls import cache_of, call
from tests.export.test_tensorrt_session import CPU, FakeCuda

SIZE = (8, 8)  # of nano's latents


class Played:
    """An engine whose part is computed by PyTorch, into buffers that the next call overwrites."""

    def __init__(self, part: Part) -> None:
        self.part, self.calls, self.kept = part, 0, 0
        self.buffers = {
            spec.name: torch.empty(spec.sizes()[2], dtype=getattr(torch, spec.dtype))
            for spec in part.outputs
        }
        self.addresses: dict[str, int] = {}

    def keep_kernels(self) -> None:
        self.kept += 1

    def run(self, given: dict[str, Tensor], stream: int) -> dict[str, Tensor]:
        self.calls += 1
        taken = {spec.name: given[spec.name] for spec in self.part.inputs}
        for spec, tensor in zip(self.part.inputs, taken.values(), strict=True):
            spans = zip(spec.sizes()[0], tensor.shape, spec.sizes()[2], strict=True)
            assert all(low <= size <= high for low, size, high in spans), spec
            assert tensor.dtype == getattr(torch, spec.dtype) and tensor.is_contiguous(), spec
            self.addresses[spec.name] = tensor.data_ptr()
        outputs = {}
        for spec, value in zip(self.part.outputs, self.part.graph(*taken.values()), strict=True):
            buffer = self.buffers[spec.name].view(-1)[: value.numel()].view(value.shape)
            outputs[spec.name] = buffer.copy_(value)
        return outputs


class PlayedDecoder(Played):
    """The decoder gives one tensor, not several."""

    def run(self, given: dict[str, Tensor], stream: int) -> dict[str, Tensor]:
        return {"pixels": self.part.graph(given["latents"])}


def play(_: TensorRTExecutor, part: Part, scratch: Scratch) -> Played:
    return (PlayedDecoder if part.name.startswith("decoder") else Played)(part)


def on_a_card(
    plain: Loaded, monkeypatch: pytest.MonkeyPatch, folder: Path, load: Any = None
) -> TensorRTExecutor:
    """A world on a card that is not there; its engines are PyTorch's, unless ``load`` is given."""
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(TensorRTBuilder, "version", lambda self: "1.7.1")
    if load is None:
        monkeypatch.setattr(TensorRTExecutor, "_ready", play)
    lanes = Lanes(CPU, cast(Any, FakeCuda()), pinned=False)
    builder, target = TensorRTBuilder("tensorrt_rtx"), TARGETS["rtx4090"]
    return TensorRTExecutor(plain, builder, target, lanes, load, PlanCache(folder))


@pytest.fixture(scope="module")
def plain() -> Loaded:
    """nano's networks, read once for all tests."""
    return loaded("nano", "cpu", "float32", "auto")


@pytest.fixture(scope="module")
def eager() -> EagerExecutor:
    """What the engines are compared with."""
    return EagerExecutor.open("nano", device="cpu", dtype="float32")


@pytest.fixture
def executor(plain: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TensorRTExecutor:
    """nano in three engines of two layers each."""
    monkeypatch.setattr(chain, "PLAN_BYTES", 7_000_000)
    return on_a_card(plain, monkeypatch, tmp_path)


def frames(executor: Any, chunks: int, **options: Any) -> Tensor:
    """The first pictures of a world, [frames, height, width, 3]."""
    machine = WorldMachine.around(executor, "nano", WorldOptions(seed=3, **options))
    timeline, made = Timeline(machine, machine.begin()), []
    for _ in range(chunks):
        made += [torch.as_tensor(frame.pixels) for frame in timeline.advance()]
    return torch.stack(made).float()


def links(executor: TensorRTExecutor) -> list[tuple[range, Any]]:
    assert executor._chain is not None
    return list(executor._chain.links)


def test_a_world_on_engines_shows_what_eager_shows(
    executor: TensorRTExecutor, eager: EagerExecutor
) -> None:
    expected, found = frames(eager, 3), frames(executor, 3)
    assert [layers for layers, _ in links(executor)] == [range(0, 2), range(2, 4), range(4, 6)]
    assert found.shape == expected.shape
    assert float((found - expected).abs().mean()) < 0.5


@pytest.mark.parametrize("ranges", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stage", [None, 0])
def test_every_call_of_the_chain_gives_what_eager_gives(
    executor: TensorRTExecutor, eager: EagerExecutor, ranges: int, stage: int | None
) -> None:
    mine, theirs = cache_of(executor, 6, SIZE), cache_of(eager, 6, SIZE)
    found = executor.denoise(call(executor, mine, ranges, stage), mine)
    expected = eager.denoise(call(eager, theirs, ranges, stage), theirs)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    # all layers of range 0 are in the ring, and nothing but the staging slot has changed
    assert float((mine.keys - theirs.keys).abs().max()) < 1e-4
    assert float((mine.values - theirs.values).abs().max()) < 1e-4


def test_branches_are_calls_of_their_own_and_only_theirs_is_staged(
    executor: TensorRTExecutor, eager: EagerExecutor
) -> None:
    mine, theirs = cache_of(executor, 3, SIZE), cache_of(eager, 3, SIZE)
    found = executor.denoise(call(executor, mine, 2, stage=1, branches=3), mine)
    expected = eager.denoise(call(eager, theirs, 2, stage=1, branches=3), theirs)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    assert float((mine.keys - theirs.keys).abs().max()) < 1e-4
    assert [engine.calls for _, engine in links(executor)] == [3, 3, 3]


def test_kernels_of_all_engines_are_kept_once_a_world_is_warm(executor: TensorRTExecutor) -> None:
    cache = cache_of(executor, 2, SIZE)
    executor.expect(call(executor, cache, 1), cache)
    executor.warm_up()
    engines = [engine for _, engine in links(executor)] + [*executor._decoders.values()]
    assert len(engines) == 4 and all(engine.calls for engine in engines[:3])
    assert [cast(Played, engine).kept for engine in engines] == [1, 1, 1, 1]


def test_engines_read_each_other_and_the_ring_where_they_lie(executor: TensorRTExecutor) -> None:
    cache = cache_of(executor, 2, SIZE)
    executor.denoise(call(executor, cache, 3), cache)
    before = None
    for layers, engine in links(executor):
        assert engine.addresses["ring_keys"] == cache.keys[layers.start].data_ptr()
        assert engine.addresses["ring_values"] == cache.values[layers.start].data_ptr()
        if before is not None:
            assert engine.addresses["hidden"] == before.buffers["hidden_out"].data_ptr()
        before = engine


def test_a_call_that_the_engines_do_not_answer_gets_others_and_says_so(
    executor: TensorRTExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    cache = cache_of(executor, 2, SIZE)
    executor.denoise(call(executor, cache, 5), cache)
    held = links(executor)
    executor.denoise(call(executor, cache, 1), cache)
    assert links(executor) == held and not caplog.records
    with caplog.at_level(logging.WARNING):
        executor.denoise(call(executor, cache, 6), cache)
    assert links(executor) != held
    assert "a call of 6 ranges, 4 chunks of history and 8x8 latents does not fit" in caplog.text


def test_what_engines_give_is_told_before_they_are_built(executor: TensorRTExecutor) -> None:
    cache = cache_of(executor, 0, SIZE)
    executor.denoise(call(executor, cache, 5), cache)
    for _, engine in links(executor):
        part = engine.part
        names = tuple(spec.name for spec in part.outputs)
        for place in (0, 2):
            found = given_by(part.graph, part.inputs, names, place)
            assert [spec.shape for spec in found] == [spec.sizes()[place] for spec in part.outputs]
            assert [spec.dtype for spec in found] == [spec.dtype for spec in part.outputs]


class Blank:
    """An engine that gives zeros in the sizes of its manifest."""

    def __init__(self, plan: Plan) -> None:
        self.specs = plan.manifest.identity.outputs

    def keep_kernels(self) -> None:
        """It has none."""

    def run(self, given: dict[str, Tensor], stream: int) -> dict[str, Tensor]:
        ranges = given["gates"].shape[2] if "gates" in given else 1
        sizes = {
            spec.name: tuple(
                low * ranges if low != high else low
                for low, _, high in zip(*spec.sizes(), strict=True)
            )
            for spec in self.specs
        }
        return {
            spec.name: torch.zeros(sizes[spec.name], dtype=getattr(torch, spec.dtype))
            for spec in self.specs
        }


def test_what_compile_has_built_is_what_a_world_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[str] = []

    def build(self: TensorRTBuilder, order: Any, into: Path, progress: Any = None) -> None:
        built.append(order.model.stem)
        (into / "plan.engine").write_bytes(b"an engine")

    monkeypatch.setattr(chain, "PLAN_BYTES", 5_000_000)
    monkeypatch.setattr(TensorRTBuilder, "build", build)
    monkeypatch.setattr(TensorRTBuilder, "version", lambda self: "1.7.1")
    monkeypatch.setattr("magi_rt.export.compile.export_graph", lambda *_, **__: None)
    recipe = read_recipe("rtx4090-nano")
    networks = open_networks(recipe, fingerprint)
    plans = list(compile_recipe(recipe, networks, PlanCache(tmp_path)))
    assert built == [each.part for each in plans]
    assert built == ["decoder-2x8x8-raw", "denoiser-0-3", "denoiser-3-6"]
    plain = loaded("nano", "cpu", "bfloat16", "auto")
    executor = on_a_card(plain, monkeypatch, tmp_path, lambda plan, scratch: Blank(plan))
    frames(executor, 1, window=recipe.window, steps=recipe.steps, depth=recipe.history)
    assert len(built) == 3
    assert [layers for layers, _ in links(executor)] == [range(0, 3), range(3, 6)]


def test_what_pytorch_computes_moves_to_the_card_and_what_engines_hold_does_not(
    executor: TensorRTExecutor,
) -> None:
    executor.dit, executor.vae = copy.deepcopy(executor.dit), copy.deepcopy(executor.vae)
    decoder = executor.vae.decoder
    executor.move(torch.device("meta"))
    places = {name: each.device.type for name, each in executor.dit.named_parameters()}
    moved = {name.split(".")[-2] for name, place in places.items() if place == "meta"}
    stayed = {name.split(".")[-2] for name, place in places.items() if place == "cpu"}
    assert {"linear_kv_xattn", "k_layernorm_xattn", "rope"} <= moved
    assert {"q", "k", "v", "qx", "linear_proj", "linear_fc1", "linear_fc2"} <= stayed
    assert all(each.device.type == "meta" for each in executor.vae.encoder.parameters())
    assert executor.vae.decoder is decoder and executor.networks.vae is not None
    assert all(each.device.type == "cpu" for each in decoder.parameters())
    assert all(each.device.type == "cpu" for each in executor.networks.vae.parameters())
    assert executor.new_cache(8, 8, 4).keys.device.type == "meta"


def test_an_executor_without_its_runtime_is_not_made(
    plain: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", cast(Any, None))
    lanes = Lanes(CPU, cast(Any, FakeCuda()), pinned=False)
    builder, plans = TensorRTBuilder("tensorrt_rtx"), PlanCache(tmp_path)
    with pytest.raises(BackendError, match="tensorrt_rtx cannot be imported"):
        TensorRTExecutor(plain, builder, TARGETS["rtx4090"], lanes, play_nothing, plans)


def play_nothing(plan: Plan, scratch: Scratch) -> Any:
    raise AssertionError("an engine was loaded")


def test_it_tells_its_runtime_card_and_format(executor: TensorRTExecutor) -> None:
    assert executor.info.name == "tensorrt"
    assert executor.info.reason == "tensorrt_rtx 1.7.1 for rtx4090, products in float32"


def test_what_compile_files_for_any_card_is_what_a_world_on_that_card_looks_for(
    executor: TensorRTExecutor,
) -> None:
    part = decoder_part(executor.networks, (2, 8, 8), finished=False)
    for target in TARGETS.values():
        if target.capability is None:
            continue
        filed, looked_for = (
            identify(part, executor.config, "float32", place, executor.builder)
            for place in (target, target_of(target.capability))
        )
        assert executor.plans.place(filed) == executor.plans.place(looked_for), target.name


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "for this run"])
def test_engines_are_built_and_loaded_while_the_worlds_own_card_is_the_current_one(
    plain: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: bool
) -> None:
    log: list[str] = []
    (tmp_path / "file").write_text("no folder of plans")

    def build(*_: Any) -> None:
        log.append("built")

    def load(plan: Plan, scratch: Scratch) -> Any:
        log.append("loaded")
        return Blank(plan)

    executor = on_a_card(plain, monkeypatch, tmp_path / ("plans" if kept else "file"), load)
    monkeypatch.setattr("magi_rt.backends.tensorrt.build_part", build)
    executor.lanes._cuda.log = log  # its cards and streams write there
    executor.decoder((2, 8, 8))
    assert log == ["on card cpu", "built", "loaded", "off card cpu"]
