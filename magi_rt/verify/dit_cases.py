"""Golden cases of the denoiser: single forwards, blocks, embedders, FP8 layers, bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.backends.ranges import CrossAttention, SelfAttention
from magi_rt.models.attention import choose_attention
from magi_rt.models.dit import VideoDiT, is_float32_island, timestep_features
from magi_rt.models.fp8 import PerChannelFp8Linear, PerTensorFp8Linear, quantise
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.sampling.schedule import step_code
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


def build_dit(weights: GoldenCase, dtype: torch.dtype = torch.float32) -> VideoDiT:
    """The denoiser of a weight case, in one working dtype with its float32 islands."""
    fp8 = weights.engine.fp8_quant
    with torch.device("meta"):
        dit = VideoDiT(weights.model, fp8=fp8)
    state = {
        name: value if _is_fp8(name, value) else value.to(_role(name, dtype))
        for name, value in weights.tensors.items()
    }
    dit.load_state_dict(state, strict=True, assign=True)
    for module in dit.modules():
        if isinstance(module, PerTensorFp8Linear | PerChannelFp8Linear):
            module.result_dtype = dtype
    return dit.requires_grad_(False).eval()


def _role(name: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if is_float32_island(name) or name.endswith("_scale") else dtype


def _is_fp8(name: str, value: Tensor) -> bool:
    return value.dtype is torch.float8_e4m3fn


@dataclass(frozen=True)
class ForwardResult:
    """out: [N, C, T, H, W]; keys_values: per layer [R * n, groups, 2d] of the call's own tokens."""

    out: Tensor
    keys_values: list[Tensor]


class RecordingAttention(SelfAttention):
    """Self-attention that keeps the keys and values it was given."""

    def __init__(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        super().__init__(inputs, cache, choose_attention(cache.keys.device, cache.keys.dtype))
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


def fill_cache(dit: VideoDiT, case: GoldenCase, chunks: int, tokens: int) -> RollingKVCache:
    """A ring holding the case's ``kv_in`` as chunks 0..chunks - 1."""
    model = case.model
    shape = CacheShape(
        layers=model.num_layers,
        depth=max(chunks, 1),
        groups=model.num_query_groups,
        tokens=tokens,
        head_dim=model.head_dim,
        frames_per_chunk=case.meta.get("chunk_width") or case.meta["kwargs"]["chunk_width"],
    )
    cache = RollingKVCache.allocate(
        shape, dit.rope.bands, dit.working_dtype, dit.rope.bands.device
    )
    if chunks and "kv_in.0" in case.tensors:
        for chunk in range(chunks):
            for layer in range(model.num_layers):
                stored = case.tensors[f"kv_in.{layer}"][chunk * tokens : (chunk + 1) * tokens]
                keys, values = stored.transpose(0, 1).chunk(2, dim=-1)
                cache.stage(layer, keys, values)
            cache.commit(chunk)
    return cache


@torch.inference_mode()
def forward(dit: VideoDiT, case: GoldenCase, item: int = 0) -> ForwardResult:
    """One item of a ``dit_forward`` case through the ring cache and the ranged attention."""
    tokens = case.meta["tokens_per_chunk"]
    times = case.tensors["t"][item]
    ranges = times.numel()
    chunks = case.meta.get("kwargs", {}).get("slice_point", 0)
    cache = fill_cache(dit, case, chunks, tokens)
    rows = slice(item * ranges, (item + 1) * ranges)
    texts = tuple(
        dit.text_context(packed(y, mask))
        for y, mask in zip(case.tensors["y"][rows], case.tensors["mask"][rows], strict=True)
    )
    spans = case.tensors["kv_range"][rows].tolist()
    visible = tuple((end - start) // tokens for start, end in spans)
    drop = bool(case.meta["dropout"])
    inputs = DenoiseInputs(
        latents=case.tensors["x"][item],
        times=tuple(times.tolist()),
        first_chunk=chunks,
        branches=(Branch(texts, visible, drop),),
        step_code=code_of(case),
    )
    attend = RecordingAttention(inputs, cache)
    gates = dit.gates(dit.condition(times, drop, inputs.step_code))[:, None]
    _, frames, height, width = inputs.latents.shape
    rope = dit.rope_table(chunks * cache.shape.frames_per_chunk, frames, height, width)
    cross = CrossAttention(inputs.branches, attend.attention)
    out = dit(inputs.latents[None], gates, rope, attend, cross)
    return ForwardResult(out, attend.seen)


def check_forward(case: GoldenCase) -> Iterator[Check]:
    """``dit_forward_*`` and ``fp8_dit_forward_*``: velocity, and the cache after the call."""
    dit = build_dit(case.weight_case())
    count = case.tensors["x"].shape[0]
    results = [forward(dit, case, item) for item in range(count)]
    out = torch.cat([result.out for result in results])
    if case.name.startswith("fp8"):
        yield Check("out", relative_l2(out, case.tensors["out"]), FP8_FORWARD)
        return
    yield Check("out", relative_error(out, case.tensors["out"]), FORWARD)
    before = case.meta["kwargs"]["slice_point"] * case.meta["tokens_per_chunk"]
    for layer, own in enumerate(results[0].keys_values):
        after = case.tensors.get(f"kv_out.{layer}")
        if after is not None and after.shape[0] > before:
            written = after[before:]
            error = relative_error(own[: written.shape[0]], written)
            yield Check(f"kv_out.{layer}", error, FORWARD)


def check_bf16_forward(case: GoldenCase) -> Iterator[Check]:
    """``bf16_dit_forward_*``: the runtime's precision layout against the published one."""
    exact = forward(build_dit(case.weight_case()), case).out
    rounded = forward(build_dit(case.weight_case(), torch.bfloat16), case).out
    expected = case.tensors["out_fp32"]
    yield Check("out_fp32", relative_error(exact, expected), FORWARD)
    yield Check("out_bf16mode", relative_l2(rounded, case.tensors["out_bf16mode"]), BF16)
    bound = BF16_DISTANCE * case.meta["rel_l2_bf16_vs_fp32"]
    yield Check("distance to fp32", relative_l2(rounded, expected), bound)


def check_bf16_timestep(case: GoldenCase) -> Iterator[Check]:
    dit = build_dit(case.weight_case())
    times = case.tensors["t"]
    features = timestep_features(times).to(torch.bfloat16)
    yield Check(
        "sinusoid_bf16", absolute_error(features, case.tensors["sinusoid_bf16"]), 2**-8
    )
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
