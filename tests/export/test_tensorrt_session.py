"""Engines on a card: everything up to the runtime's own calls, with a stand-in for the runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.backends.tensorrt_lanes import Lanes
from magi_rt.backends.tensorrt_session import EngineSession, Scratch
from magi_rt.errors import BackendError
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.plan_cache import Plan, PlanCache
from tests.export import fake_trt
from tests.export.kit import WIDTH, identity

CPU = torch.device("cpu")


def plan_in(folder: Path, **changes: object) -> Plan:
    def build(into: Path) -> None:
        (into / "plan.engine").write_bytes(b"an engine")

    return PlanCache(folder).get(identity(**changes), build)


def opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, **changes: object
) -> EngineSession:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt.module(engine))
    return EngineSession.open(plan_in(folder, **changes), Scratch(CPU), (8, 9), "the card here")


def numbers() -> Tensor:
    return torch.arange(8 * WIDTH, dtype=torch.float32).reshape(8, WIDTH)


def test_a_session_reads_and_writes_where_the_tensors_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fake_trt.Engine()
    session = opened(tmp_path, monkeypatch, engine)
    x = numbers()
    out = session.run({"x": x}, stream=77)["out"]
    assert torch.equal(out, 2 * x)
    context = engine.context
    assert context is not None and context.streams == [77]
    assert context.addresses == {"x": x.data_ptr(), "out": out.data_ptr()}
    again = session.run({"x": x + 1}, stream=78)["out"]
    assert again.data_ptr() == out.data_ptr() and torch.equal(out, 2 * (x + 1))


def test_an_interrupted_call_does_not_leave_another_streams_memory_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fake_trt.Engine()
    session = opened(tmp_path, monkeypatch, engine)
    context = engine.context
    assert context is not None
    one, other = numbers(), numbers() + 5
    session.run({"x": one}, stream=1)

    def interrupted(name: str, address: int) -> bool:
        context.addresses[name] = address
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(context, "set_tensor_address", interrupted)
        session.run({"x": other}, stream=1)
    assert torch.equal(session.run({"x": one}, stream=1)["out"], 2 * one)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "input x is missing"),
        ({"x": numbers()[:4]}, r"input x is float32 \[4, 64\] but it takes x float32 \[8x64\]"),
        ({"x": numbers().half()}, r"input x is float16 \[8, 64\]"),
        ({"x": numbers().repeat(1, 2)[:, ::2]}, "must be contiguous and on cpu"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_before_the_runtime_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Tensor], told: str
) -> None:
    engine = fake_trt.Engine()
    session = opened(tmp_path, monkeypatch, engine)
    with pytest.raises(BackendError, match=told):
        session.run(wrong, stream=0)
    assert engine.context is not None and engine.context.streams == []


def test_sizes_that_vary_are_told_to_the_runtime_and_kept_within_their_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(rows, WIDTH) for rows in (4, 6, 8)]
    spec, out = (TensorSpec.spanning(name, "float32", *sizes) for name in ("x", "out"))
    engine = fake_trt.Engine()
    session = opened(tmp_path, monkeypatch, engine, inputs=(spec,), outputs=(out,))
    context = engine.context
    assert context is not None
    for rows in (8, 8, 4, 5):
        x = numbers()[:rows]
        assert torch.equal(session.run({"x": x}, stream=0)["out"], 2 * x)
    assert context.told == [(8, WIDTH), (4, WIDTH), (5, WIDTH)]
    with pytest.raises(BackendError, match=r"from \(4, 64\) to \(8, 64\)"):
        session.run({"x": numbers()[:2]}, stream=0)


def test_engines_of_one_stream_share_their_memory_and_make_kernels_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, plan = Scratch(CPU), plan_in(tmp_path)
    engines = [fake_trt.Engine(), fake_trt.Engine()]
    engines[1].device_memory_size_v2 = 5000
    sessions = []
    for engine in engines:
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt.module(engine))
        sessions.append(EngineSession.open(plan, scratch, (8, 9), "the card here"))
        assert engine.config.strategy == "lent"
        assert engine.config.dynamic_shapes_kernel_specialization_strategy == "at once"
    for session in (*sessions, sessions[0]):
        session.run({"x": numbers()}, stream=0)
    lent = (scratch.memory.data_ptr(), 5000)
    assert [engine.context and engine.context.memory for engine in engines] == [[lent], [lent]]


def kernels_in(plan: Plan) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in plan.folder.glob("kernels/*")}


def test_kernels_made_on_a_card_are_there_for_the_next_process_on_such_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, first, second, other = plan_in(tmp_path), *(fake_trt.Engine() for _ in range(3))
    for engine, card in (
        (first, "NVIDIA RTX 4090"), (second, "NVIDIA RTX 4090"), (other, "NVIDIA L40S"),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt.module(engine))
        session = EngineSession.open(plan, Scratch(CPU), (8, 9), card)
        assert engine.config.kernels is engine.kernels
        assert engine.kernels.made == (b"relu" if engine is second else b"")
        engine.kernels.made = b"relu"
        session.keep_kernels()
    whole = b"1.7.1 relu"
    assert kernels_in(plan) == {"nvidia-rtx-4090.bin": whole, "nvidia-l40s.bin": whole}
    assert PlanCache(tmp_path).find(identity()) is not None  # the plan is as whole as before


def test_kernels_of_another_state_are_replaced_and_known_ones_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, plan = fake_trt.Engine(), plan_in(tmp_path)
    session = opened(tmp_path, monkeypatch, engine)
    engine.kernels.made = b"relu"
    session.keep_kernels()
    (kept,) = plan.folder.glob("kernels/*")
    inode = kept.stat().st_ino
    for again in (session, opened(tmp_path, monkeypatch, fake_trt.Engine())):
        again.keep_kernels()
    assert kept.stat().st_ino == inode

    later = fake_trt.Engine()
    later.kernels = fake_trt.Kernels(b"1.8 ")
    session = opened(tmp_path, monkeypatch, later)
    assert later.kernels.made == b""
    later.kernels.made = b"gelu"
    session.keep_kernels()
    assert kernels_in(plan) == {kept.name: b"1.8 gelu"}


def test_a_plan_that_takes_no_kernels_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(tmp_path)
    (plan.folder / "kernels").write_text("no folder")
    session = opened(tmp_path, monkeypatch, fake_trt.Engine())
    session.keep_kernels()
    assert torch.equal(session.run({"x": numbers()}, stream=0)["out"], 2 * numbers())


def test_a_runtime_whose_engines_hold_their_kernels_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fake_trt.Engine()
    configure = engine.create_runtime_config

    def without_cache() -> Any:
        config = configure()
        del config.create_runtime_cache, config.set_runtime_cache
        return config

    monkeypatch.setattr(engine, "create_runtime_config", without_cache)
    session = opened(tmp_path, monkeypatch, engine)
    session.keep_kernels()
    assert kernels_in(plan_in(tmp_path)) == {}


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (None, "magic tag does not match"),
        (fake_trt.Engine(output="other"), r"it has \['other'\] where its manifest tells \['out'\]"),
        (fake_trt.Engine(memory=False), "no memory left"),
    ],
)
def test_an_engine_that_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, told: str
) -> None:
    with pytest.raises(BackendError, match=told):
        opened(tmp_path, monkeypatch, engine)


@pytest.mark.parametrize("engine", [None, fake_trt.Engine(output="other")])
def test_the_advice_of_every_refused_plan_names_its_folder_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    with pytest.raises(BackendError) as refused:
        opened(tmp_path, monkeypatch, engine)
    folder = PlanCache(tmp_path).place(identity())
    assert folder.is_dir() and f"; remove {folder} and build it again" in refused.value.message


def test_a_call_that_the_runtime_refuses_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(tmp_path, monkeypatch, fake_trt.Engine(fails=True))
    with pytest.raises(BackendError, match="could not put the call on its stream"):
        session.run({"x": numbers()}, stream=0)


def test_another_version_and_another_card_are_refused_with_both_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt.module(None, version="1.8"))
    with pytest.raises(BackendError, match=r"tensorrt_rtx 1\.7\.1 but 1\.8 is installed"):
        EngineSession.open(plan, Scratch(CPU), (8, 9), "the card here")
    with pytest.raises(BackendError, match=r"capability 8\.9\) but NVIDIA H200 has 9\.0"):
        EngineSession.open(plan, Scratch(CPU), (9, 0), "NVIDIA H200")


class FakeCuda:
    """Streams that only write down what is asked of them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.here = FakeStream(self.log, "caller")
        self.made = iter(("denoising", "decoding"))

    def Stream(self, device: torch.device) -> FakeStream:
        return FakeStream(self.log, next(self.made))

    def Event(self) -> Any:
        def record(stream: FakeStream) -> None:
            self.log.append(f"event on {stream.name}")

        return SimpleNamespace(record=record, synchronize=lambda: self.log.append("host waits"))

    def current_stream(self, device: torch.device) -> FakeStream:
        return self.here

    def device(self, device: torch.device) -> FakeStream:
        return FakeStream(self.log, f"card {device}")

    def stream(self, stream: FakeStream) -> FakeStream:
        return stream


class FakeStream:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name, self.cuda_stream = log, name, hash(name)

    def wait_stream(self, other: FakeStream) -> None:
        self.log.append(f"{self.name} after {other.name}")

    def __enter__(self) -> None:
        self.log.append(f"on {self.name}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.log.append(f"off {self.name}")


def _lanes(monkeypatch: pytest.MonkeyPatch) -> tuple[Lanes, list[str]]:
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    cuda = FakeCuda()
    return Lanes(CPU, cuda, pinned=False), cuda.log


def test_the_caller_waits_for_denoising_on_its_stream_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, log = _lanes(monkeypatch)
    kept = torch.ones(3)
    out = lanes.denoise(lambda stream: kept)
    assert torch.equal(out, kept) and out is not kept
    assert log == [
        "denoising after caller", "on denoising", "off denoising", "caller after denoising",
    ]  # fmt: skip


def test_decoding_runs_beside_the_next_denoising_and_only_its_reader_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, log = _lanes(monkeypatch)
    latents = torch.full((2, 4, 4, 3), 7.0)
    pixels = lanes.begin_decode(latents, lambda x, stream: x.to(torch.uint8))
    latents.zero_()
    lanes.denoise(lambda stream: torch.ones(1))
    assert "denoising after decoding" not in log and "host waits" not in log
    assert torch.equal(pixels.wait(), torch.full((2, 4, 4, 3), 7, dtype=torch.uint8))
    assert log[:4] == [
        "decoding after caller", "on decoding", "event on decoding", "off decoding",
    ]  # fmt: skip
    assert log[-1] == "host waits"


def test_pictures_of_one_chunk_stay_while_the_next_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, _ = _lanes(monkeypatch)
    made = [
        lanes.begin_decode(torch.full((1, 2, 2, 3), float(i)), lambda x, _: x.to(torch.uint8))
        for i in range(2)
    ]
    assert [int(each.wait()[0, 0, 0, 0]) for each in made] == [0, 1]
    third = lanes.begin_decode(torch.ones(1, 2, 2, 3) * 2, lambda x, _: x.to(torch.uint8))
    assert third.host is made[0].host
