"""The tensors of every published checkpoint follow from its configuration."""

from __future__ import annotations

import pytest
import torch

from magi_rt.checkpoints.expected import Role, count_parameters, expected_tensors
from magi_rt.models.dit import VideoDiT
from magi_rt.presets import PRESETS
from tests.support import small_config

LAYER_0 = "videodit_blocks.layers.0."
LAYER_1 = "videodit_blocks.layers.1."


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("4.5B-base", 898, 4_459_898_128),
        ("4.5B-distill", 898, 4_459_898_128),
        ("24B-base", 1262, 23_899_281_936),
        ("24B-distill", 1262, 23_899_281_936),
        ("4.5B-distill-fp8", 1410, None),
        ("24B-distill-fp8", 1998, None),
    ],
)
def test_counts_equal_the_published_ones(name: str, tensors: int, parameters: int | None) -> None:
    expected = expected_tensors(PRESETS[name])
    assert len(expected) == tensors
    assert parameters is None or count_parameters(expected) == parameters


@pytest.mark.parametrize("name", PRESETS)
def test_names_and_shapes_are_those_of_the_network(name: str) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        network = VideoDiT(config.model, fp8=config.engine.fp8_quant)
    state = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert state == {key: tensor.shape for key, tensor in expected_tensors(config).items()}


def test_published_shapes_of_both_families() -> None:
    small, large = expected_tensors(PRESETS["4.5B-base"]), expected_tensors(PRESETS["24B-base"])
    projection = LAYER_0 + "self_attention.linear_proj.weight"
    assert small[projection].shape == (3072, 6144)
    assert large[projection].shape == (6144, 12288)
    assert small[LAYER_0 + "mlp.linear_fc1.weight"].shape == (12288, 3072)
    assert large[LAYER_0 + "mlp.linear_fc1.weight"].shape == (32768, 6144)
    assert large["final_linear.linear.weight"].shape == (128, 6144)
    assert small["x_embedder.weight"].shape == (3072, 16, 1, 2, 2)


def test_first_and_last_layer_stay_unquantised() -> None:
    expected = expected_tensors(small_config(fp8=True))
    fp8 = {name for name, tensor in expected.items() if tensor.role is Role.FP8}
    assert len(fp8) == 7
    assert all(name.startswith(LAYER_1) for name in fp8)
    assert expected[LAYER_1 + "mlp.linear_fc2.smooth_scale"].shape == (1, 96)
    assert expected[LAYER_1 + "mlp.linear_fc1.input_scale"].shape == (64,)


def test_the_high_precision_list_is_float32() -> None:
    expected = expected_tensors(PRESETS["4.5B-base"])
    self_attention = LAYER_0 + "self_attention."
    assert expected[self_attention + "q_layernorm.weight"].role is Role.FLOAT32
    assert expected[self_attention + "q_layernorm_xattn.weight"].role is Role.PARAMS
    assert expected[LAYER_0 + "mlp_post_norm.bias"].role is Role.FLOAT32
    assert expected[LAYER_0 + "mlp.layer_norm.bias"].role is Role.PARAMS
    assert expected["rope.bands"].role is Role.FLOAT32
