"""Golden cases that run the sampler with a golden model: guided steps and whole walks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.backends.eager import EagerExecutor
from magi_rt.models.inputs import TextContext
from magi_rt.sampling.guidance import View, combine
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.predictor import Predictor
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import Beginning, Chunk, ChunkText, StreamState
from magi_rt.sampling.visibility import Visibility
from magi_rt.sampling.window import CallPlan, ChunkWindow
from magi_rt.verify.dit_cases import FORWARD, fill_cache
from magi_rt.verify.golden_model import FLOAT32, Setting, golden_config, golden_executor
from magi_rt.verify.goldens import Check, GoldenCase, packed
from magi_rt.verify.sampling_cases import compare_calls, exactly, extraction_call, noisy_call

WALK = 1e-4

# One guided step


class RowPredictor(Predictor):
    """A predictor that is told the text rows of every range, as a golden stores them."""

    def __init__(self, executor: Executor, sampler: SamplerConfig, case: GoldenCase) -> None:
        super().__init__(executor, sampler)
        rows = zip(case.tensors["y"], case.tensors["mask"], strict=True)
        contexts = [executor.prepare_text(packed(y.float(), mask)) for y, mask in rows]
        half, self.first = len(contexts) // 2, int(case.meta["kwargs"]["slice_point"])
        self.kept, self.dropped = contexts[:half], contexts[half:]

    def text_of(self, view: View, chunk: Chunk) -> TextContext:
        rows = self.dropped if self.drops_text(view) else self.kept
        return rows[chunk.index - self.first]


def check_dispatch(case: GoldenCase, setting: Setting = FLOAT32) -> Iterator[Check]:
    """``cfg_dispatch_*``: the views, the guided velocity and the memory of one step."""
    executor, tensors = golden_executor(case, setting), case.tensors
    sampler, plan = _dispatch_sampler(case), _dispatch_plan(case)
    state = _dispatch_state(case, executor, sampler, plan)
    weights = sampler.guidance.weights(plan.noisy_times)
    views = RowPredictor(executor, sampler, case).predict(state, plan, weights)
    velocity = torch.cat([combine(*pair) for pair in zip(views, weights, strict=True)], dim=1)
    yield setting.compare("velocity", velocity, tensors["velocity"][0], FORWARD)
    stored = {View.TEXT: "cond_text", View.HISTORY: "cond_pre", View.ALONE: "uncond"}
    for view, name in stored.items():
        if name in tensors:
            parts = tensors[name][0].split(sampler.chunk_width, dim=1)[-len(views) :]
            for place, part in enumerate(parts):
                if view in views[place]:  # where the guidance asks for it
                    found = views[place][view]
                    yield setting.compare(f"{name}.{place}", found, part, FORWARD)
    if plan.write_clean:
        state.cache.commit(plan.first_chunk)
        slot = state.cache.slot(plan.first_chunk)
        for layer in range(case.model.num_layers):
            kept = torch.cat((state.cache.keys[layer, slot], state.cache.values[layer, slot]), -1)
            expected = tensors[f"kv_out_clean.{layer}"]
            yield setting.compare(f"kv_out_clean.{layer}", kept.transpose(0, 1), expected, FORWARD)


def _dispatch_sampler(case: GoldenCase) -> SamplerConfig:
    """The case's settings; its flag, not the time, says whether the oldest is nearly clean.

    Window and visibility are the case's own: its plan is given, not made.
    """
    call, sampler = case.meta["kwargs"], SamplerConfig.from_config(golden_config(case))
    threshold = -1.0 if call["distill_nearly_clean_chunk"] else 2.0
    return replace(
        sampler,
        steps=call["num_steps"],
        window=1,
        chunk_width=call["chunk_width"],
        guidance=replace(sampler.guidance, threshold=threshold),
        visibility=Visibility(by_stage=(), clean=-1, steps=call["num_steps"]),
    )


def _dispatch_plan(case: GoldenCase) -> CallPlan:
    call, tokens = case.meta["kwargs"], case.meta["tokens_per_chunk"]
    spans = case.tensors["kv_range"].tolist()
    first = call["slice_point"]
    sampler = _dispatch_sampler(case)
    return CallPlan(
        first_chunk=first,
        times=tuple(case.tensors["t"][0].tolist()),
        visible=tuple(first + j + 1 - start // tokens for j, (start, _) in enumerate(spans)),
        write_clean=call["fwd_extra_1st_chunk"],
        step=sampler.intervals.index(float(call["distill_interval"])),
    )


def _dispatch_state(
    case: GoldenCase, executor: EagerExecutor, sampler: SamplerConfig, plan: CallPlan
) -> StreamState:
    """The case's chunks in flight over its memory."""
    x, first = case.tensors["x"][0], int(plan.write_clean)
    width = sampler.chunk_width
    latents = x if plan.write_clean else torch.cat((torch.zeros_like(x[:, :width]), x), dim=1)
    none = ChunkText("", executor.prepare_text(executor.null_text()))
    chunks = [Chunk(plan.first_chunk + j, none, part) for j, part in enumerate(x.split(width, 1))]
    window: ChunkWindow[Chunk] = ChunkWindow(
        size=len(chunks) - first,
        steps=sampler.steps,
        in_flight=tuple(chunks[first:]),
        finished=chunks[0] if plan.write_clean else None,
    )
    return StreamState(
        seed=0,
        window=window,
        latents=latents,
        spare=torch.empty_like(latents),
        cache=fill_cache(executor.dit, case, plan.first_chunk, joining=first),
        beginning=Beginning(0, x[:, :0]),
        chunk_width=width,
    )


# Walks


@dataclass
class Observed:
    """Latents given to one call, and the guided velocity of its noisy chunks: [C, T, H, W]."""

    x: Tensor
    velocity: Tensor


class ObservedPipeline(ChunkPipeline):
    """A pipeline that keeps what went into its calls and came out of them."""

    def __init__(self, executor: Executor, sampler: SamplerConfig, noise: Tensor) -> None:
        width = sampler.chunk_width
        super().__init__(
            executor,
            sampler,
            noise=lambda seed, chunk, shape: noise[:, chunk * width : (chunk + 1) * width],
        )
        self.calls: list[Observed] = []
        self.plans: list[CallPlan] = []

    def velocities(self, state: StreamState, plan: CallPlan) -> list[Tensor]:
        velocities = super().velocities(state, plan)
        chunks = [chunk.latents for chunk in state.chunks_of(plan)]
        self.calls.append(Observed(torch.cat(chunks, dim=1), torch.cat(velocities, dim=1)))
        self.plans.append(plan)
        return velocities


def check_walk(case: GoldenCase, setting: Setting = FLOAT32) -> Iterator[Check]:
    """``walk_*``: a whole run from given noise, compared call by call and chunk by chunk."""
    executor, meta, tensors = golden_executor(case, setting), case.meta, case.tensors
    sampler = SamplerConfig.from_config(golden_config(case))
    noise = tensors["noise"][0]
    prefix = tensors["prefix"][0] if "prefix" in tensors else None
    pipeline = ObservedPipeline(executor, sampler, noise)
    offset, count = meta["chunk_offset"], meta["chunk_num"] - meta["chunk_offset"]
    state = pipeline.new_state(
        seed=0,
        latent_height=noise.shape[2],
        latent_width=noise.shape[3],
        prefix=prefix,
        total_chunks=count,
    )
    texts = _texts(case, executor)
    before = int(offset > 0)
    yields = []
    while not state.exhausted:
        done = pipeline.advance(state, lambda chunk: texts[min(chunk + offset, len(texts) - 1)])
        expected = tensors[f"chunk.{done.index}"][0]
        yield setting.compare(f"chunk.{done.index}", done.latents, expected, WALK)
        after = len(pipeline.calls) + before
        frames = done.latents.shape[1]
        yields.append({"relative_chunk": done.index, "frames": frames, "after_call": after})
    yield exactly("yields", yields, meta["yields"])
    calls = [extraction_call(sampler, offset)] if before else []
    calls += [noisy_call(sampler, plan) for plan in pipeline.plans]
    yield from compare_calls("walk", calls, meta["calls"])
    for place, call in enumerate(pipeline.calls):
        for part, actual in (("x", call.x), ("velocity", call.velocity)):
            name = f"call{place + before:03d}.{part}"
            if name in tensors:
                yield setting.compare(name, actual, tensors[name][0], WALK)


def _texts(case: GoldenCase, executor: Executor) -> list[ChunkText]:
    """One text per absolute chunk, or one for all."""
    rows = zip(case.tensors["y"], case.tensors["mask"], strict=True)
    contexts = [executor.prepare_text(packed(y.float(), mask)) for y, mask in rows]
    return [ChunkText(f"row {place}", context) for place, context in enumerate(contexts)]
