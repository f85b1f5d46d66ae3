"""One executor measured in a process of its own: ``python -m magi_rt.bench.backends_peer TASK``."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.backends.choose import open_executor
from magi_rt.bench.backends import LEAST_CHUNKS, SKIPPED, Task, psnr
from magi_rt.bench.measure import Numbers, median
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.world import World
from magi_rt.world.actions import ActionMap
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.timeline import Timeline

PROMPT_EVERY = 25
SEED = 11


class Shadow:
    """An executor's door behind which a second one answers the same calls, on equal inputs."""

    def __init__(self, real: Executor, other: Executor) -> None:
        self._real, self._other = real, other
        self.config, self.info = real.config, real.info
        self.picture_multiple, self.special_tokens = real.picture_multiple, real.special_tokens
        self.encode_text, self.null_text = real.encode_text, real.null_text
        self.prepare_text, self.new_cache, self.encode = (
            real.prepare_text,
            real.new_cache,
            real.encode,
        )
        self.steps: list[float] = []
        self.pictures: list[float] = []

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        found = self._other.denoise(inputs, cache)
        expected = self._real.denoise(inputs, cache)  # last: what it stages is kept
        self.steps.append(float((found - expected).norm() / expected.norm()))
        return expected

    def decode(self, latents: Tensor) -> Tensor:
        found, expected = self._other.decode(latents).float(), self._real.decode(latents)
        self.pictures.append(float((found - expected.float()).norm() / expected.float().norm()))
        return expected


def prompts(model: str) -> list[str]:
    """Prompts that come in turn, from the model's own map of keys."""
    actions = ActionMap.of(model)
    return [actions.start, *list(actions.keys.values())[:3]]


def play(machine: WorldMachine, chunks: int) -> tuple[list[float], NDArray[np.uint8]]:
    """Milliseconds of every chunk, and its pictures [chunks, frames, H, W, 3] uint8."""
    world, told = World(Timeline(machine, machine.begin())), prompts(machine.model)
    times, pictures = [], []
    for chunk in range(chunks):
        prompt = told[chunk // PROMPT_EVERY % len(told)] if chunk % PROMPT_EVERY == 0 else None
        begun = time.perf_counter()
        frames = world.advance(prompt)
        times.append((time.perf_counter() - begun) * 1e3)
        pictures.append(np.stack([frame.pixels for frame in frames]))
    return times, np.stack(pictures)


def compare(real: WorldMachine, other: WorldMachine, chunks: int) -> Numbers:
    """Every chunk by both, from the same history, noise and prompt; the first one's goes on."""
    shadow = Shadow(real.executor, other.executor)
    play(_machine(shadow, real.model), LEAST_CHUNKS)
    first, second = (World(Timeline(each, each.begin())) for each in (real, other))
    told, errors = prompts(real.model), []
    for chunk in range(chunks):
        prompt = told[chunk // PROMPT_EVERY % len(told)] if chunk % PROMPT_EVERY == 0 else None
        second.restore(first.snapshot())
        expected, found = (np.stack([f.pixels for f in w.advance(prompt)]) for w in (first, second))
        errors.append(float(np.mean((found.astype(np.float32) - expected) ** 2)))
    return {
        "step_difference": median(shadow.steps),
        "step_difference_max": max(shadow.steps),
        "decoder_difference_max": max(shadow.pictures),
        "chunk_psnr_db": psnr(float(np.mean(errors))),
        "chunk_psnr_db_worst": psnr(max(errors)),
    }


def _machine(executor: Executor, model: str) -> WorldMachine:
    return WorldMachine.around(executor, model, WorldOptions(seed=SEED))


def measure(task: Task) -> Numbers:
    """Opens, plays and tells."""
    if task.threads:
        torch.set_num_threads(task.threads)
    backend, dtype = task.way.split("/")
    begun = time.perf_counter()
    executor = open_executor(task.model, backend=backend, device="cpu", dtype=dtype)
    if task.trial:
        return {}
    if task.shadow:
        real = open_executor(task.model, backend="eager", device="cpu", dtype="float32")
        return compare(_machine(real, task.model), _machine(executor, task.model), task.chunks)
    machine = _machine(executor, task.model)
    opened = time.perf_counter() - begun
    times, pictures = play(machine, task.chunks)
    if task.pictures:
        np.save(task.pictures, pictures)
    usual = times[SKIPPED:]
    return {
        "fps": 1e3 * pictures.shape[1] / median(usual),
        "chunk_ms": median(usual),
        "least_ms": min(usual),
        "open_s": opened,
        "threads": executor.info.threads,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
