"""What a chunk costs besides its networks: scheduling, bookkeeping of the memory, copies.

A world of the model's own shape runs on an executor that computes nothing. It still does
everything that is not a network: the ring of finished chunks has its real size and is laid out for
attention as the real executor does it, finished chunks are staged and committed, noise is drawn,
velocities are combined and added up, moments are copied for rewinding, pictures become frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.backends.dummy import DummyExecutor
from magi_rt.backends.eager import parts_of
from magi_rt.backends.graph_inputs import Call, TextRoom, calls_of, looked_back, shape_of
from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.bench.measure import Numbers, conditions, median, percentile, rounded
from magi_rt.bench.subject import Subject
from magi_rt.errors import OptionError
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.world import World
from magi_rt.world.machine import WorldMachine
from magi_rt.world.timeline import Timeline

SHARE_LIMIT_PCT, STEP_LIMIT_MS = 5.0, 0.5
"""What everything besides the networks may cost: of a chunk's time, and per step."""

WARM_UP = 6
LEAST_OVERHEAD_CHUNKS = 20
Tell = Callable[[int], None]


class IdleExecutor(DummyExecutor):
    """The shapes of a model without its networks: everything it returns was made before.

    Args:
        real: the model whose shapes are taken.

    Attributes:
        way: whose bookkeeping it does, "eager": history laid out layer by layer.
    """

    way = "eager"

    def __init__(self, real: Executor, cache: RollingKVCache) -> None:
        super().__init__(real.config)
        self.picture_multiple = real.picture_multiple
        self._shape, self._dtype = cache.shape, cache.keys.dtype
        self._answers: dict[tuple[int, ...], Tensor] = {}
        model, shape = self.config.model, cache.shape
        keys = torch.zeros(model.num_layers, shape.groups, 8, shape.head_dim, dtype=self._dtype)
        self._text = TextContext(keys, keys)
        self._keys = torch.zeros(shape.groups, shape.tokens, shape.head_dim, dtype=self._dtype)

    def prepare_text(self, rows: Tensor) -> TextContext:
        """The same keys for every prompt."""
        return self._text

    def new_cache(self, latent_height: int, latent_width: int, depth: int) -> RollingKVCache:
        """A ring of the model's own size."""
        shape: CacheShape = replace(self._shape, depth=depth)
        bands = torch.ones(self.config.model.rope_bands)
        return RollingKVCache.allocate(shape, bands, self._dtype, torch.device("cpu"))

    @torch.inference_mode()
    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """Zeros; but the history is laid out and the finished chunk is staged in every layer."""
        first, n = inputs.first_chunk, cache.shape.tokens
        starts = [
            cache.first_visible(first, place, width)
            for branch in inputs.branches
            for place, width in enumerate(branch.visible)
        ]
        oldest = min(first, *starts)
        count, tokens = len(inputs.branches), (first - oldest + len(inputs.times)) * n
        for layer in range(cache.shape.layers):
            room = cache.workspace(count, tokens, layer)
            cache.recall(layer, oldest, first, room, count)
            for place in range(first - oldest, first - oldest + len(inputs.times)):
                own = slice(place * n, (place + 1) * n)
                room.keys[:count, :, own].copy_(self._keys)
                room.values[:count, :, own].copy_(self._keys)
            if inputs.stage_branch is not None:
                cache.stage(layer, self._keys, self._keys)
        return self._made(len(inputs.branches), *inputs.latents.shape)

    def _made(self, *shape: int) -> Tensor:
        if shape not in self._answers:
            self._answers[shape] = torch.zeros(shape)
        return self._answers[shape]

    def decode(self, latents: Tensor) -> Tensor:
        """Black pictures."""
        _, frames, height, width = latents.shape
        side = self.picture_multiple // self.config.model.patch_size
        length = self.config.runtime.temporal_downsample_factor
        return torch.zeros(frames * length, height * side, width * side, 3, dtype=torch.uint8)


class IdleGraphExecutor(IdleExecutor):
    """Does the bookkeeping of a graph executor, which takes history and prompts as whole tensors.

    Attributes:
        way: "graphs".
    """

    way = "graphs"

    def __init__(self, real: Executor, cache: RollingKVCache) -> None:
        super().__init__(real, cache)
        self._texts, self._room = TextRoom(), max(8, self.config.model.caption_max_length)
        self._staged = self._keys.repeat(cache.shape.layers, 1, 1, 1)

    @torch.inference_mode()
    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """Zeros; but all that a graph is given is made ready, and what it gives is taken."""
        found = [self._part(part, cache) for part in parts_of(inputs, cache)]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _part(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        found = [self._call(call, cache) for call in calls_of(inputs, cache)]
        return found[0] if len(found) == 1 else torch.cat(found, dim=2)

    def _call(self, call: Call, cache: RollingKVCache) -> Tensor:
        inputs = call.inputs
        shape_of(inputs, cache, self._room)
        self._texts.get(inputs, self._room)
        places = looked_back(self.config.runtime, cache.depth)
        call.over(cache.laid_out(call.history(), places).slots)
        inputs.latents[None].contiguous()
        if inputs.stage_branch is not None:
            cache.stage(slice(None), self._staged, self._staged)
        return self._made(len(inputs.branches), *inputs.latents.shape).clone()

    def decode(self, latents: Tensor) -> Tensor:
        """Black pictures, copied out of the graph's memory."""
        return super().decode(latents).clone()


def bench_overhead(subject: Subject, *, chunks: int = 100, tell: Tell = lambda _: None) -> Numbers:
    """Times a world with its networks and one of the same shape without, in turn.

    The share compares times by the clock, of both under the same load. Milliseconds per step are
    time that a processor was busy: what a program beside this one delays is not overhead.

    Raises:
        OptionError: fewer than ``LEAST_OVERHEAD_CHUNKS`` chunks, or a model that is not on the CPU.
    """
    if chunks < LEAST_OVERHEAD_CHUNKS:
        raise OptionError(
            f"{chunks} chunks are too few to measure; use {LEAST_OVERHEAD_CHUNKS} or more",
            field="chunks",
        )
    machine = subject.machine
    if machine.executor.info.device != "cpu":
        raise OptionError(
            "what is not a network is measured on the CPU; give --device cpu", field="device"
        )
    idle = idle_machine(machine)
    assert isinstance(idle.executor, IdleExecutor)
    whole, bare, busy = _times(machine, idle, chunks, tell)
    steps = machine.pipeline.sampler.steps_per_stage
    share = 100 * median(bare) / median(whole)
    step_ms = 1e3 * median(busy) / steps
    numbers: Numbers = {
        "bench": "overhead",
        "chunks": chunks,
        "overhead_chunk_ms_p50": 1e3 * median(bare),
        "overhead_chunk_ms_p95": 1e3 * percentile(bare, 95),
        "overhead_step_ms": step_ms,
        "overhead_cpu_chunk_ms_p50": 1e3 * median(busy),
        "chunk_ms_p50": 1e3 * median(whole),
        "overhead_share_pct": share,
        "within_limits": share < SHARE_LIMIT_PCT and step_ms < STEP_LIMIT_MS,
        "bookkeeping": idle.executor.way,
    }
    return rounded(numbers | conditions(machine, subject.weights))


def idle_machine(machine: WorldMachine) -> WorldMachine:
    """The same world on an executor that computes nothing, an :class:`IdleExecutor`."""
    cache = machine.executor.new_cache(*machine.latent_size, 1)
    idle = idle_executor(machine.executor, cache)
    options = replace(machine.options, adapt=False, fps=None)
    return WorldMachine.around(idle, machine.model, options)


def idle_executor(real: Executor, cache: RollingKVCache) -> IdleExecutor:
    """An executor that keeps books as the real one does, and computes nothing."""
    graphs = isinstance(real, GraphExecutor)
    return (IdleGraphExecutor if graphs else IdleExecutor)(real, cache)


def _times(
    real: WorldMachine, idle: WorldMachine, chunks: int, tell: Tell
) -> tuple[list[float], list[float], list[float]]:
    """Seconds per chunk with networks and without, and what a processor was busy for the latter.

    The first chunks are left out.
    """
    found: tuple[list[float], list[float]] = ([], [])
    busy: list[float] = []
    machines = (real, idle)
    worlds = [World(Timeline(machine, machine.begin())) for machine in machines]
    for chunk in range(chunks + WARM_UP):
        prompt = "night falls" if chunk == 0 else None
        for world, times in zip(worlds, found, strict=True):
            begun, cpu = time.perf_counter(), time.thread_time()
            world.advance(prompt)
            if chunk >= WARM_UP:
                times.append(time.perf_counter() - begun)
                if times is found[1]:
                    busy.append(time.thread_time() - cpu)
        tell(max(0, chunk + 1 - WARM_UP))
    return *found, busy
