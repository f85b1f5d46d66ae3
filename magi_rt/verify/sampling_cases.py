"""Golden cases of the sampler's arithmetic: time grids, guidance scales, stages, call plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from magi_rt.config import EngineConfig, MagiConfig, RuntimeConfig
from magi_rt.sampling.guidance import Guidance
from magi_rt.sampling.schedule import SamplerConfig, shortcut_intervals, time_grid
from magi_rt.sampling.visibility import Visibility, span
from magi_rt.sampling.window import CallPlan, ChunkWindow, plan_call
from magi_rt.verify.goldens import (
    Check,
    GoldenCase,
    absolute_error,
)

EXACT = 0.0
TIMES = 1e-6


def exactly(name: str, actual: object, expected: object) -> Check:
    """A comparison that allows no difference."""
    return Check(name, 0.0 if actual == expected else float("inf"), EXACT)


# Time grids, guidance scales, stages


_CURVES = {None: "shifted square", "square": "square", "piecewise": "piecewise"}


def check_schedule_time(case: GoldenCase) -> Iterator[Check]:
    """``schedule_time``: grids and intervals."""
    for entry in case.meta["cases"]:
        index, steps, mode = entry["index"], entry["num_steps"], entry["shortcut_mode"]
        other = entry.get("t_schedule_config", {})
        curve = _CURVES.get(other.get("tSchedulerFunc"), "identity")
        grid = time_grid(steps, mode, curve=curve, shift=other.get("shift", 3.0))
        expected = case.tensors[f"t.{index}"]
        yield Check(f"t.{index}", absolute_error(torch.tensor(grid), expected), TIMES)
        if f"interval.{index}" in case.tensors:
            intervals = list(shortcut_intervals(steps, mode))
            expected_intervals = case.tensors[f"interval.{index}"].tolist()
            yield exactly(f"interval.{index}", intervals, expected_intervals)


def check_cfg_scales(case: GoldenCase) -> Iterator[Check]:
    """``cfg_scales``: the two tables at many times."""
    for table, prefix in (("published", ""), ("custom", "custom_")):
        entry = case.meta[table]
        guidance = Guidance(
            guided=True,
            starts=tuple(entry["cfg_t_range"]),
            previous=tuple(entry["prev"]),
            text=tuple(entry["text"]),
            threshold=1.0,
        )
        found = [guidance.scales(time) for time in case.tensors["t"].tolist()]
        for place, name in enumerate(("prev", "text")):
            expected = case.tensors[f"{prefix}{name}"]
            actual = torch.tensor([pair[place] for pair in found])
            yield Check(f"{prefix}{name}", absolute_error(actual, expected), EXACT)


@dataclass(frozen=True)
class Place:
    """A chunk without pixels, to walk through schedules."""

    index: int
    steps_done: int = 0


def check_sequences(case: GoldenCase) -> Iterator[Check]:
    """``schedule_sequences``: the chunks of every stage and their noise stages."""
    for number, entry in enumerate(case.meta["cases"]):
        size = entry["window_size"]
        # One step per stage: a chunk's step count is then its noise stage.
        window: ChunkWindow[Place] = ChunkWindow(
            size, size, entry["chunk_offset"], entry["chunk_num"]
        )
        names = ("clip_start", "clip_end", "t_start", "t_end")
        rows: dict[str, list[int]] = {name: [] for name in names}
        while not window.exhausted:
            if window.wants_chunk:
                window = window.admit(Place(window.next_index))
            oldest, newest = window.in_flight[0], window.in_flight[-1]
            ends = (oldest.index, newest.index + 1, newest.steps_done, oldest.steps_done + 1)
            for name, value in zip(names, ends, strict=True):
                rows[name].append(value)
            window = window.advance([_later(place) for place in window.in_flight])
        for name in names:
            yield exactly(f"{number}.{name}", rows[name], entry[name])


def _later(place: Place) -> Place:
    return replace(place, steps_done=place.steps_done + 1)


# Call plans


def check_walk_plans(case: GoldenCase) -> Iterator[Check]:
    """``schedule_walk_plans``: every call and every emission of complete walks."""
    for number, entry in enumerate(case.meta["plans"]):
        calls, yields = walk_plan(_plan_sampler(entry), entry["chunk_num"], entry["prefix"])
        yield from compare_calls(f"{number}", calls, entry["calls"])
        yield exactly(f"{number}.yields", yields, entry["yields"])


def _plan_sampler(entry: dict[str, Any]) -> SamplerConfig:
    runtime = RuntimeConfig(
        cfg_number=3,
        clean_t=0.9999,
        num_steps=entry["num_steps"],
        window_size=entry["window_size"],
        chunk_width=entry["chunk_width"],
        noise2clean_kvrange=tuple(entry["noise2clean_kvrange"]),
        clean_chunk_kvrange=entry["clean_chunk_kvrange"],
    )
    engine = EngineConfig(shortcut_mode=entry["shortcut_mode"])
    return replace(
        SamplerConfig.from_config(_any_model(runtime, engine)),
        visibility=Visibility.from_config(runtime, entry["num_steps"]),
    )


def _any_model(runtime: RuntimeConfig, engine: EngineConfig) -> MagiConfig:
    from magi_rt.presets import PRESETS

    return replace(PRESETS["4.5B-base"], runtime=runtime, engine=engine)


def walk_plan(
    sampler: SamplerConfig, chunk_num: int, prefix_frames: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All calls and emissions of a walk over ``chunk_num`` chunks, in the goldens' words."""
    width = sampler.chunk_width
    offset = prefix_frames // width
    calls: list[dict[str, Any]] = []
    yields: list[dict[str, Any]] = []
    if offset:
        calls.append(extraction_call(sampler, offset))
    window: ChunkWindow[Place] = ChunkWindow(sampler.window, sampler.steps, offset, chunk_num)
    while not window.exhausted:
        if window.wants_chunk:
            window = window.admit(Place(window.next_index))
        plan = plan_call(window, sampler)
        calls.append(noisy_call(sampler, plan))
        window = window.advance([_later(place) for place in window.in_flight])
        if window.finished is not None:
            index, given = window.finished.index - offset, prefix_frames % width
            pinned = given if index == 0 and prefix_frames != 1 else 0
            yields.append(
                {"relative_chunk": index, "frames": width - pinned, "after_call": len(calls)}
            )
    return calls, yields


def extraction_call(sampler: SamplerConfig, offset: int) -> dict[str, Any]:
    """The goldens' words for reading all whole given chunks, there in one call."""
    visible = tuple(sampler.visibility.given(chunk) for chunk in range(offset))
    plan = CallPlan(0, (sampler.clean_time,) * offset, visible, write_clean=False, step=0)
    changes = {"extract_prefix": True, "distill_nearly_clean_chunk": False}
    return noisy_call(sampler, plan) | changes


def noisy_call(sampler: SamplerConfig, plan: CallPlan) -> dict[str, Any]:
    """A planned call in the goldens' words."""
    spans = [span(plan.first_chunk + j, width) for j, width in enumerate(plan.visible)]
    ranges = len(plan.times)
    return {
        "frames": ranges * sampler.chunk_width,
        "t": list(plan.times),
        "kv_range_chunks": [list(each) for each in spans],
        "slice_point": plan.first_chunk,
        "range_num": plan.first_chunk + ranges,
        "denoising_range_num": ranges,
        "fwd_extra_1st_chunk": plan.write_clean,
        "extract_prefix": False,
        "distill_nearly_clean_chunk": sampler.guidance.nearly_clean(plan.noisy_times[0]),
        "distill_interval": sampler.intervals[plan.step],
        "num_steps": sampler.steps,
    }


def compare_calls(
    name: str, actual: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> Iterator[Check]:
    """Integers and flags exactly, times within their tolerance."""
    yield exactly(f"{name}.calls", len(actual), len(expected))
    for place, (ours, theirs) in enumerate(zip(actual, expected, strict=False)):
        label = f"{name}.call {place}"
        times = absolute_error(torch.tensor(ours["t"]), torch.tensor(theirs["t"]))
        yield Check(f"{label} times", times, TIMES)
        wrong = [key for key in theirs if key != "t" and ours.get(key) != theirs[key]]
        yield exactly(f"{label} plan", wrong, [])
