"""How fast a world runs and answers, beside the plain implementation in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor
from magi_rt.bench import LEAST_WORLD_CHUNKS
from magi_rt.bench.measure import Numbers, conditions, median, percentile, rounded
from magi_rt.bench.plain import PlainStream
from magi_rt.bench.subject import Subject
from magi_rt.checkpoints.load import PARAMS_DTYPES
from magi_rt.config import MagiConfig
from magi_rt.errors import OptionError
from magi_rt.models.special_tokens import caption_rows_for_chunk
from magi_rt.world import World
from magi_rt.world.machine import WorldMachine
from magi_rt.world.prompt_text import plain_prompt
from magi_rt.world.timeline import Timeline

WARM_UP = 2
"""Chunks at the beginning that no statistic but ``first_chunk_ms`` counts."""
CHUNKS_PER_PROMPT = 2

Tell = Callable[[int], None]
"""Called with the number of chunks done."""


@dataclass
class Times:
    """Seconds measured, one entry per chunk unless said otherwise.

    answers: one per prompt, from ``advance(prompt)`` to the first frames that carry it.
    differences: largest difference of both ways' latents, as a share of the largest value.
    """

    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)


def bench_world(
    subject: Subject, *, chunks: int = 40, plain: bool = True, tell: Tell = lambda _: None
) -> Numbers:
    """Generates chunks with the runtime and the plain way in turn, and returns the numbers.

    Every second chunk comes with a prompt that was not used before. Times are end to end: text,
    denoising, decoding and the way of the pictures to the caller's memory.

    Raises:
        OptionError: fewer than ``LEAST_WORLD_CHUNKS`` chunks, or the executor does not hold all
            weights where the plain way could compute with them, or they have 8 bits.
    """
    if chunks < LEAST_WORLD_CHUNKS:
        raise OptionError(
            f"{chunks} chunks are too few to measure; use {LEAST_WORLD_CHUNKS} or more",
            field="chunks",
        )
    if plain:
        _check_plain(subject.machine)
    rival = Rival(subject.machine) if plain else None
    times = Times()
    for done in _run(subject.machine, chunks, rival, times):
        tell(done)
    numbers = {"bench": "world", "chunks": chunks, **_summary(times, subject.machine)}
    known = conditions(subject.machine, subject.weights)
    return rounded(numbers | known | ({} if rival is None else rival.conditions()))


def refuse_quantised(config: MagiConfig) -> None:
    """Raises OptionError for weights of 8 bits, which the plain way does not compute."""
    if config.engine.fp8_quant:
        raise OptionError(
            "the plain way computes no quantised models; add --no-plain", field="plain"
        )


def _check_plain(machine: WorldMachine) -> None:
    executor = machine.executor
    assert isinstance(executor, EagerExecutor)
    refuse_quantised(executor.config)
    networks = (executor.dit, executor.vae)
    if len({each.device for network in networks for each in network.parameters()}) > 1:
        raise OptionError(
            f"backend {executor.info.name!r} keeps only a part of the weights on {executor.device},"
            " so the plain way cannot run beside it; add --no-plain",
            field="plain",
        )


def _run(machine: WorldMachine, chunks: int, rival: Rival | None, times: Times) -> Iterator[int]:
    timeline = Timeline(machine, machine.begin())
    prompts = fresh_prompts()
    spent, asked = 0.0, dict[str, float]()  # the world's own time: a rival's is nobody's wait
    with World(timeline) as world:
        for chunk in range(chunks):
            prompt = next(prompts) if chunk % CHUNKS_PER_PROMPT == 0 else None
            if prompt is not None:
                asked[prompt] = spent
            begun = time.perf_counter()
            frames = world.advance(prompt)
            times.ours.append(time.perf_counter() - begun)
            spent += times.ours[-1]
            for shown in {frame.prompt for frame in frames} & asked.keys():
                times.answers.append(spent - asked.pop(shown))
            if rival is not None:
                finished = timeline.moment.state.window.finished
                assert finished is not None
                times.plain.append(rival.advance(prompt))
                times.differences.append(difference(finished.latents, rival.latents))
            yield chunk + 1


class Rival:
    """The plain stream under the same prompts, with the same decoder and the same way out.

    It is PyTorch's, in the number format of the executor's products where PyTorch has it.
    """

    def __init__(self, machine: WorldMachine) -> None:
        assert isinstance(machine.executor, EagerExecutor)
        self.machine, self.executor = machine, machine.executor
        self.stream = PlainStream(
            self.executor, machine.pipeline.sampler, seed=machine.options.seed,
            size=machine.latent_size, dtype=PARAMS_DTYPES.get(f"torch.{self.executor.info.dtype}"),
        )  # fmt: skip
        self.rows = self.executor.null_text()
        self.latents = torch.empty(0)

    def conditions(self) -> Numbers:
        """What computes the plain way: its denoiser's format and runtime, and whose decoder."""
        dtype = self.stream.denoiser.dit.working_dtype
        return {
            "plain_dtype": str(dtype).removeprefix("torch."),
            "plain_backend": "eager",
            "plain_decoder": self.executor.info.name,
        }

    def advance(self, prompt: str | None) -> float:
        """Generates the next chunk and returns the seconds it took."""
        begun = time.perf_counter()
        if prompt is not None:
            self.rows = self._read(prompt)
        self.latents = self.stream.advance(self.rows)
        self.executor.decode(self.latents).cpu().numpy()
        return time.perf_counter() - begun

    def _read(self, prompt: str) -> Tensor:
        book = self.machine.book
        return caption_rows_for_chunk(
            self.executor.encode_text(plain_prompt(prompt)),
            tokens=self.executor.special_tokens,
            flags=book.flags,
            max_length=self.executor.config.model.caption_max_length,
        )


def difference(ours: Tensor, plain: Tensor) -> float:
    """max |a - b| / max |b|."""
    return float((ours - plain).abs().max() / plain.abs().max().clamp_min(1e-30))


def fresh_prompts() -> Iterator[str]:
    """Prompts of usual length, no two alike; they come again after some thousand."""
    while True:
        for light, weather, pull, count in product(
            ("night falls", "day breaks"),
            ("it rains", "it snows", "the sky is clear"),
            ("gravity pulls left", "gravity pulls right", "things float", "everything falls down"),
            range(1, 1000),
        ):
            yield f"{count} red balls, {light}, {weather}, {pull}"


def _summary(times: Times, machine: WorldMachine) -> Numbers:
    ours, plain = times.ours[WARM_UP:], times.plain[WARM_UP:]
    quarter = max(1, len(ours) // 4)
    frames = machine.executor.config.runtime.frames_per_chunk
    numbers: Numbers = {
        "fps": len(ours) * frames / sum(ours),
        "chunk_ms_p50": 1e3 * median(ours),
        "chunk_ms_p95": 1e3 * percentile(ours, 95),
        "prompt_to_frames_ms_p50": 1e3 * median(times.answers),
        "prompt_to_frames_ms_p95": 1e3 * percentile(times.answers, 95),
        "first_chunk_ms": 1e3 * times.ours[0],
        "speedup_vs_plain": None,
    }
    if plain:
        numbers |= {
            "speedup_vs_plain": speedup(ours, plain),
            "speedup_early": speedup(ours[:quarter], plain[:quarter]),
            "speedup_late": speedup(ours[-quarter:], plain[-quarter:]),
            "plain_chunk_ms_p50": 1e3 * median(plain),
            "plain_fps": len(plain) * frames / sum(plain),
            "difference_first_chunk": times.differences[0],
            "difference_max": max(times.differences),
        }
    return numbers


def speedup(ours: list[float], plain: list[float]) -> float:
    """How many times longer the plain way took for the same chunks, by medians."""
    assert len(ours) == len(plain)
    return median(plain) / median(ours)
