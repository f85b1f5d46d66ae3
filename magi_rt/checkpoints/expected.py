"""Which tensors a denoiser checkpoint must hold, from its configuration alone.

Both families and the 8-bit layout are covered; nothing here needs the network or its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from magi_rt.config import MagiConfig, ModelConfig

TIME_FEATURES = 256
"""Sinusoids of the time embedding."""


class Role(Enum):
    """How a tensor is held at run time."""

    FLOAT32 = "float32"
    """High-precision list: embedders, rotary bands, q/k norms, post norms, final layers."""
    PARAMS = "params_dtype"
    """The working precision of the model."""
    FP8 = "float8_e4m3fn"
    """A quantised weight; kept bit for bit."""
    SCALE = "scale"
    """A quantisation scale; float32."""


class ExpectedTensor(NamedTuple):
    """Shape and run-time role of one tensor."""

    shape: tuple[int, ...]
    role: Role


def expected_tensors(config: MagiConfig) -> dict[str, ExpectedTensor]:
    """Every tensor of the denoiser under its published name, no more and no less.

    In the 8-bit layout all layers but the first and the last hold quantised projections.
    """
    model = config.model
    tensors = _outer(model)
    for layer in range(model.num_layers):
        quantised = config.engine.fp8_quant and 0 < layer < model.num_layers - 1
        prefix = f"videodit_blocks.layers.{layer}."
        block = _layer(model) | _projections(model, quantised)
        tensors |= {prefix + name: tensor for name, tensor in block.items()}
    return tensors


def count_parameters(tensors: Mapping[str, ExpectedTensor]) -> int:
    """Numbers in all tensors together."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def _affine(*shape: int, role: Role, bias: bool = True) -> dict[str, ExpectedTensor]:
    """A weight and, unless told otherwise, a bias of its first dimension."""
    tensors = {"weight": ExpectedTensor(shape, role)}
    if bias:
        tensors["bias"] = ExpectedTensor(shape[:1], role)
    return tensors


def _join(parts: Mapping[str, dict[str, ExpectedTensor]]) -> dict[str, ExpectedTensor]:
    return {
        f"{prefix}.{name}": tensor
        for prefix, tensors in parts.items()
        for name, tensor in tensors.items()
    }


def _outer(model: ModelConfig) -> dict[str, ExpectedTensor]:
    """Everything outside the layers; all of it is held in float32."""
    width, gate, text = model.hidden_size, model.gate_hidden, model.caption_channels
    patch = (model.t_patch_size, model.patch_size, model.patch_size)
    role = Role.FLOAT32
    tensors = _join(
        {
            "x_embedder": _affine(width, model.in_channels, *patch, role=role, bias=False),
            "t_embedder.mlp.0": _affine(gate, TIME_FEATURES, role=role),
            "t_embedder.mlp.2": _affine(gate, gate, role=role),
            "y_embedder.y_proj_xattn.0": _affine(width, text, role=role),
            "y_embedder.y_proj_adaln.0": _affine(gate, text, role=role),
            "videodit_blocks.final_layernorm": _affine(width, role=role),
            "final_linear.linear": _affine(
                math.prod(patch) * model.out_channels, width, role=role, bias=False
            ),
        }
    )
    null_shape = (model.caption_max_length, text)
    tensors["y_embedder.null_caption_embedding"] = ExpectedTensor(null_shape, role)
    tensors["rope.bands"] = ExpectedTensor((model.rope_bands,), role)
    return tensors


def _layer(model: ModelConfig) -> dict[str, ExpectedTensor]:
    """One layer without its quantisable projections."""
    width, head = model.hidden_size, model.head_dim
    text_width = 2 * model.num_query_groups * head
    low, high = Role.PARAMS, Role.FLOAT32
    return _join(
        {
            "ada_modulate_layer.proj.0": _affine(2 * width, model.gate_hidden, role=low),
            "self_attention.linear_qkv.layer_norm": _affine(width, role=low),
            "self_attention.linear_kv_xattn": _affine(text_width, width, role=low, bias=False),
            "self_attention.q_layernorm": _affine(head, role=high),
            "self_attention.k_layernorm": _affine(head, role=high),
            "self_attention.q_layernorm_xattn": _affine(head, role=low),
            "self_attention.k_layernorm_xattn": _affine(head, role=low),
            "self_attn_post_norm": _affine(width, role=high),
            "mlp.layer_norm": _affine(width, role=low),
            "mlp_post_norm": _affine(width, role=high),
        }
    )


def _projections(model: ModelConfig, quantised: bool) -> dict[str, ExpectedTensor]:
    """The seven large products of a layer, plain or in 8 bits."""
    width, hidden = model.hidden_size, model.ffn_hidden_size
    heads = model.num_attention_heads * model.head_dim
    groups = model.num_query_groups * model.head_dim
    attention, mlp = "self_attention.", "mlp."
    per_tensor = {
        attention + "linear_qkv.q": (heads, width),
        attention + "linear_qkv.qx": (heads, width),
        attention + "linear_qkv.k": (groups, width),
        attention + "linear_qkv.v": (groups, width),
        mlp + "linear_fc1": (hidden * (2 if model.gated_linear_unit else 1), width),
    }
    per_channel = {
        attention + "linear_proj": (width, 2 * heads),
        mlp + "linear_fc2": (width, hidden),
    }
    if not quantised:
        plain = (per_tensor | per_channel).items()
        return _join({n: _affine(*shape, role=Role.PARAMS, bias=False) for n, shape in plain})
    return _join(
        {name: _quantised(*shape, per_channel=False) for name, shape in per_tensor.items()}
        | {name: _quantised(*shape, per_channel=True) for name, shape in per_channel.items()}
    )


def _quantised(outputs: int, inputs: int, *, per_channel: bool) -> dict[str, ExpectedTensor]:
    """An 8-bit weight with its scales; the per-channel kind smooths its input as well."""
    scales = {"weight_scale": (1,), "input_scale": (1,) if per_channel else (inputs,)}
    tensors = {"weight": ExpectedTensor((1, outputs, inputs), Role.FP8)}
    tensors |= {name: ExpectedTensor(shape, Role.SCALE) for name, shape in scales.items()}
    if per_channel:
        tensors["smooth_scale"] = ExpectedTensor((1, inputs), Role.SCALE)
    return tensors
