"""Golden cases of the denoiser: single forwards, blocks, embedders, FP8 layers, bfloat16."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor
from magi_rt.backends.ranges import CrossAttention, SelfAttention
from magi_rt.models.attention import fold_groups, unfold_groups
from magi_rt.models.dit import VideoDiT, timestep_features
from magi_rt.models.fp8 import PerChannelFp8Linear, PerTensorFp8Linear, quantise
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.sampling.schedule import step_code
from magi_rt.verify.golden_model import FLOAT32, Setting, build_dit, golden_executor
from magi_rt.verify.goldens import (
    Check,
    GoldenCase,
    absolute_error,
    packed,
    relative_error,
    relative_l2,
)

FORWARD = 2e-5
ROPE = 2e-6
FP8_FORWARD = 2e-3
BF16 = 1.5e-2
BF16_DISTANCE = 1.5  # times the published bf16-to-fp32 distance


def written_out(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention in the order of operations that the goldens were made with."""
    folded = fold_groups(queries, keys.shape[1]) * (1 / math.sqrt(queries.shape[-1]))
    weights = (folded @ keys.transpose(-1, -2)).softmax(dim=-1, dtype=torch.float32)
    return unfold_groups(weights.to(values.dtype) @ values, queries.shape[1])


class RecordingAttention(SelfAttention):
    """Self-attention that keeps the keys and values it was given."""

    def __init__(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        super().__init__(inputs, cache, written_out)
        self.seen: list[Tensor] = []

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self.seen.append(torch.cat((keys[0], values[0]), dim=-1))
        return super().__call__(layer, queries, keys, values)


def code_of(case: GoldenCase) -> float | None:
    """The step-size code of a distilled case, from the number of steps and the interval."""
    if not case.engine.distill:
        return None
    call = case.meta.get("kwargs", case.meta)
    return step_code(call["num_steps"], call.get("distill_interval", 1))


def fill_cache(dit: VideoDiT, case: GoldenCase, chunks: int, joining: int = 0) -> RollingKVCache:
    """A ring holding the case's ``kv_in`` as chunks 0..chunks - 1.

    Args:
        joining: finished chunks that find room besides.
    """
    model, tokens = case.model, case.meta["tokens_per_chunk"]
    shape = CacheShape(
        layers=model.num_layers,
        depth=max(chunks + joining, 1),
        groups=model.num_query_groups,
        tokens=tokens,
        head_dim=model.head_dim,
        frames_per_chunk=case.meta.get("chunk_width") or case.meta["kwargs"]["chunk_width"],
    )
    bands = dit.rope.bands
    cache = RollingKVCache.allocate(shape, bands, dit.working_dtype, bands.device)
    for chunk in range(chunks if "kv_in.0" in case.tensors else 0):
        for layer in range(model.num_layers):
            stored = case.tensors[f"kv_in.{layer}"][chunk * tokens : (chunk + 1) * tokens]
            keys, values = stored.transpose(0, 1).chunk(2, dim=-1)
            cache.stage(layer, keys, values)
        cache.commit(chunk)
    return cache


def golden_inputs(dit: VideoDiT, case: GoldenCase, item: int = 0) -> DenoiseInputs:
    """One item of a ``dit_forward`` case as a call of an executor."""
    tensors, tokens, device = case.tensors, case.meta["tokens_per_chunk"], dit.rope.bands.device
    times = tuple(tensors["t"][item].tolist())
    rows = slice(item * len(times), (item + 1) * len(times))
    texts = tuple(
        dit.text_context(packed(y, mask).to(device))
        for y, mask in zip(tensors["y"][rows], tensors["mask"][rows], strict=True)
    )
    spans = tensors["kv_range"][rows].tolist()
    visible = tuple((end - start) // tokens for start, end in spans)
    return DenoiseInputs(
        latents=tensors["x"][item],
        times=times,
        first_chunk=chunks_before(case),
        branches=(Branch(texts, visible, bool(case.meta["dropout"])),),
        step_code=code_of(case),
    )


def chunks_before(case: GoldenCase) -> int:
    """Clean chunks that precede the call."""
    return int(case.meta.get("kwargs", case.meta).get("slice_point", 0))


def forward(executor: EagerExecutor, case: GoldenCase) -> Tensor:
    """The velocity of all items of a ``dit_forward`` case, [N, C, T, H, W] float32."""
    parts = []
    for item in range(len(case.tensors["x"])):
        cache = fill_cache(executor.dit, case, chunks_before(case))
        parts.append(executor.denoise(golden_inputs(executor.dit, case, item), cache))
    return torch.cat(parts)


@torch.inference_mode()
def by_definition(dit: VideoDiT, case: GoldenCase, item: int = 0) -> tuple[Tensor, list[Tensor]]:
    """One item in the goldens' order of operations: all times at once, attention written out.

    Returns:
        The velocity, [1, C, T, H, W]; per layer the keys and values of the call's own tokens,
        [R * n, groups, 2d].
    """
    cache, inputs = fill_cache(dit, case, chunks_before(case)), golden_inputs(dit, case, item)
    device, branch = cache.keys.device, inputs.branches[0]
    attend, cross = RecordingAttention(inputs, cache), CrossAttention((branch,), written_out)
    times = torch.tensor(inputs.times, device=device)
    gates = dit.gates(dit.condition(times, branch.drop, inputs.step_code))[:, None]
    _, frames, height, width = inputs.latents.shape
    first_frame = inputs.first_chunk * cache.shape.frames_per_chunk
    rope = dit.rope_table(first_frame, frames, height, width)
    out: Tensor = dit(inputs.latents.to(device)[None], gates, rope, attend, cross)
    return out, attend.seen


def check_forward(case: GoldenCase, setting: Setting = FLOAT32) -> Iterator[Check]:
    """``dit_forward_*``: velocity, and the cache after the call."""
    if case.engine.fp8_quant and setting.dtype is torch.float32:
        yield from check_fp8_forward(case, setting)
        return
    executor = golden_executor(case, setting)
    yield setting.compare("out", forward(executor, case), case.tensors["out"], FORWARD)
    if "kv_out.0" not in case.tensors:
        return
    before = chunks_before(case) * case.meta["tokens_per_chunk"]
    for layer, own in enumerate(by_definition(executor.dit, case)[1]):
        written = case.tensors[f"kv_out.{layer}"][before:]
        name = f"kv_out.{layer}"
        yield setting.compare(name, own[: len(written)], written, FORWARD)


def check_fp8_forward(case: GoldenCase, setting: Setting) -> Iterator[Check]:
    """``fp8_dit_forward_*`` in float32.

    A sum that differs in its last bit may move an activation across a rounding boundary, and one
    such step moves the output by more than the bound; so these cases are computed by definition.
    """
    dit, expected = build_dit(case.weight_case()).to(setting.device), case.tensors["out"]
    parts = [by_definition(dit, case, item)[0] for item in range(len(expected))]
    yield Check("out", relative_l2(torch.cat(parts).to(expected.device), expected), FP8_FORWARD)


def check_bf16_forward(case: GoldenCase, setting: Setting = FLOAT32) -> Iterator[Check]:
    """``bf16_dit_forward_*``: the runtime's precision layout against the published one."""
    expected, rounded = case.tensors["out_fp32"], case.tensors["out_bf16mode"]
    runs = [replace(setting, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    exact, ours = (forward(golden_executor(case, run), case).to(expected.device) for run in runs)
    yield Check("out_fp32", relative_error(exact, expected), FORWARD)
    yield Check("out_bf16mode", relative_l2(ours, rounded), BF16)
    bound = BF16_DISTANCE * case.meta["rel_l2_bf16_vs_fp32"]
    yield Check("distance to fp32", relative_l2(ours, expected), bound)


def check_bf16_timestep(case: GoldenCase) -> Iterator[Check]:
    dit = build_dit(case.weight_case())
    times = case.tensors["t"]
    features = timestep_features(times).to(torch.bfloat16)
    yield Check("sinusoid_bf16", absolute_error(features, case.tensors["sinusoid_bf16"]), 2**-8)
    out = dit.t_embedder(times, torch.bfloat16)
    yield Check("out", relative_l2(out, case.tensors["out"]), BF16)


def check_fp8_linear(case: GoldenCase) -> Iterator[Check]:
    """``fp8_per_tensor_linear*`` and ``fp8_per_channel_linear*``."""
    t = case.tensors
    _, outputs, inputs = t["weight"].shape
    per_channel = "smooth_scale" in t
    kind = PerChannelFp8Linear if per_channel else PerTensorFp8Linear
    layer = kind(inputs, outputs, torch.float32)
    layer.load_state_dict({name: t[name] for name in layer.state_dict()})
    scale = t["smooth_scale"] if per_channel else t["input_scale"]
    rounded = quantise(t["x"], scale)
    yield Check("q", absolute_error(rounded.float(), t["q"].float()), 0.0)
    out = layer(t["x"])
    yield Check("y", relative_error(out, t["y"]), 1e-5)
    layer.result_dtype = torch.bfloat16
    one_step = float(t["y_bf16"].float().abs().max()) * 2**-8
    yield Check("y_bf16", absolute_error(layer(t["x"]).float(), t["y_bf16"].float()), one_step)
