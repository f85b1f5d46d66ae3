"""8-bit layers: what the graph computes is what the published layers compute."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from magi_rt.backends.eager import EagerExecutor
from magi_rt.backends.packed import can_pack, pack
from magi_rt.errors import OptionError
from magi_rt.export.builders import BuildOrder, find_builder
from magi_rt.export.calibration import LAYERS, quantise_layers, recorded_peaks
from magi_rt.export.fp8 import QdqLinear, spelled_out
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.targets import find_target
from magi_rt.models.dit import VideoDiT
from magi_rt.models.fp8 import FP8_MAX, Fp8Linear, PerChannelFp8Linear, PerTensorFp8Linear
from magi_rt.presets import PRESETS
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.timeline import Timeline
from tests.export.kit import needs

ROWS = 64


def layer(kind: type[Fp8Linear], inputs: int = 128, outputs: int = 96) -> Fp8Linear:
    """A layer with random weights and scales that suit unit activations."""
    torch.manual_seed(3)
    made = kind(inputs, outputs, torch.float32)
    weight = torch.randn(outputs, inputs) / inputs**0.5
    made.weight_scale.fill_(float(weight.abs().max() / FP8_MAX))
    made.weight.copy_((weight / made.weight_scale).to(torch.float8_e4m3fn)[None])
    if isinstance(made, PerTensorFp8Linear):
        made.input_scale.fill_(0.01)
    if isinstance(made, PerChannelFp8Linear):
        made.input_scale.fill_(0.01)
        made.smooth_scale.copy_(0.01 * torch.rand(1, inputs).add(0.5))
    return made


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("kind", [PerTensorFp8Linear, PerChannelFp8Linear])
def test_the_spelled_out_layer_computes_what_the_published_one_does(kind: type[Fp8Linear]) -> None:
    published = layer(kind)
    x = torch.randn(ROWS, 128)
    assert relative(QdqLinear(published)(x), published(x)) < 1e-6


def test_a_published_scale_that_is_one_number_is_kept_as_one() -> None:
    assert QdqLinear(layer(PerTensorFp8Linear)).divisor.shape == ()
    assert QdqLinear(layer(PerChannelFp8Linear)).divisor.shape == (128,)


def test_a_network_is_spelled_out_for_a_while_and_then_as_it_was() -> None:
    network = nn.Sequential(layer(PerTensorFp8Linear), nn.GELU())
    before = network[0]
    with spelled_out(network) as count:
        assert count == 1 and isinstance(network[0], QdqLinear)
    assert network[0] is before


class _TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = layer(PerTensorFp8Linear, 128, 512), layer(PerChannelFp8Linear, 512)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(nn.functional.gelu(self.up(x)))
        return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[_TwoLayers, Path]:
    """Two 8-bit layers and the graph that was written of them."""
    needs("onnxscript")
    path = tmp_path_factory.mktemp("fp8") / "two.onnx"
    network = _TwoLayers().eval()
    with spelled_out(network):
        torch.onnx.export(
            network, (torch.randn(ROWS, 128),), str(path), dynamo=True, opset_version=20,
            input_names=["x"], output_names=["y"], external_data=False, verbose=False,
        )  # fmt: skip
    return network, path


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.engine
def test_the_graph_holds_8_bit_weights_and_computes_the_same(
    exported: tuple[_TwoLayers, Path],
) -> None:
    needs("onnxruntime")
    import onnx
    import onnxruntime

    network, path = exported
    graph = onnx.load(str(path)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QuantizeLinear") == 2 and kinds.count("DequantizeLinear") == 4
    eight = [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT8E4M3FN]
    assert sorted(tuple(t.dims) for t in eight if t.dims) == [(128, 512), (512, 96)]
    options = onnxruntime.SessionOptions()
    # its optimiser takes the float8 products for integer ones
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = torch.randn(ROWS, 128)
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    assert relative(found, network(x)) < 1e-3  # sums in another order round otherwise now and then


@pytest.mark.engine
def test_the_4090_keeps_the_weights_at_8_bits(
    exported: tuple[_TwoLayers, Path], tmp_path: Path
) -> None:
    needs("tensorrt_rtx")
    network, path = exported
    spec = TensorSpec("x", "float32", (ROWS, 128))
    order = BuildOrder(path, (spec,), "fp8", find_target("rtx4090"))
    find_builder("tensorrt_rtx").build(order, tmp_path)
    numbers = sum(linear.weight.numel() for linear in (network.up, network.down))
    assert numbers < (tmp_path / "plan.engine").stat().st_size < 2 * numbers + 1_000_000


@pytest.fixture
def small_dit() -> VideoDiT:
    """Four layers in float32; the inner two can be turned."""
    torch.manual_seed(0)
    config = replace(
        PRESETS["4.5B-distill"].model,
        num_layers=4, hidden_size=128, ffn_hidden_size=256, num_attention_heads=8,
        num_query_groups=2, kv_channels=16, params_dtype="torch.float32", caption_channels=32,
        caption_max_length=60,
    )  # fmt: skip
    return VideoDiT(config).eval()


def _run(dit: VideoDiT, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(1, 2, 8, 128, generator=draw)
    hidden = hidden * torch.linspace(0.1, 6.0, 128)  # channels of unequal size, as real ones
    gates = torch.rand(4, 1, 2, 2, 128, generator=draw) - 0.5
    rope = dit.rope_table(0, 4, 4, 4)
    for block, gate in zip(dit.blocks(), gates, strict=True):
        hidden = block(hidden, gate, rope, lambda _, q, k, v: q, lambda _, q: q)
    return hidden


@torch.no_grad()
def test_calibrated_layers_stay_near_the_weights_they_came_from(small_dit: VideoDiT) -> None:
    with recorded_peaks(small_dit) as peaks:
        for seed in range(4):
            _run(small_dit, seed)
    wanted = _run(small_dit, 9)
    assert quantise_layers(small_dit, peaks) == 14
    kinds = [type(m) for m in small_dit.modules() if isinstance(m, Fp8Linear)]
    assert kinds.count(PerTensorFp8Linear) == 10 and kinds.count(PerChannelFp8Linear) == 4
    assert 1e-5 < relative(_run(small_dit, 9), wanted) < 0.05
    small = VideoDiT(small_dit.config, fp8=True)
    assert set(small.state_dict()) == set(small_dit.state_dict())


def test_a_layer_that_was_never_seen_is_named(small_dit: VideoDiT) -> None:
    with pytest.raises(OptionError, match=r"layers\.1\.self_attention\.linear_qkv\.q was given"):
        quantise_layers(small_dit, {})


class Unpacked(EagerExecutor):
    """As on a GPU: every layer is called by itself."""

    packs = False


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_chunk_of_an_eager_world_shows_the_peaks_of_all_seven_layers_of_every_inner_block(
    dtype: str,
) -> None:
    executor = Unpacked.open("nano", device="cpu", dtype=dtype)
    machine = WorldMachine.around(executor, "nano", WorldOptions(steps=4))
    with recorded_peaks(executor.dit) as peaks:
        Timeline(machine, machine.begin()).advance()
    inner = range(1, executor.config.model.num_layers - 1)
    wanted = {f"videodit_blocks.layers.{index}.{name}" for index in inner for name in LAYERS}
    assert set(peaks) == wanted and len(LAYERS) == 7
    assert all(peak.ndim == 1 and bool((peak > 0).any()) for peak in peaks.values())
    assert quantise_layers(executor.dit, peaks) == len(wanted)


def test_a_refused_network_stays_bit_for_bit_as_it_was(small_dit: VideoDiT) -> None:
    with recorded_peaks(small_dit) as peaks:
        _run(small_dit, 0)
    before = copy.deepcopy(small_dit.state_dict())
    del peaks["videodit_blocks.layers.2.mlp.linear_fc2"]
    with pytest.raises(OptionError, match=r"layers\.2\.mlp\.linear_fc2 was given nothing"):
        quantise_layers(small_dit, peaks)
    after = small_dit.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.skipif(not can_pack(), reason="this PyTorch has no packed products")
def test_a_network_packed_for_a_processor_is_refused_before_anything_is_recorded(
    small_dit: VideoDiT,
) -> None:
    assert pack(small_dit.requires_grad_(False))
    with pytest.raises(OptionError, match="packed for a processor"), recorded_peaks(small_dit):
        pass


def test_alpha_out_of_range_is_refused(small_dit: VideoDiT) -> None:
    with pytest.raises(OptionError, match=r"alpha is 1\.5"):
        quantise_layers(small_dit, {}, alpha=1.5)
