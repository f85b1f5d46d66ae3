"""Speed on a GPU: sizes, windows, executors and precisions in turn, one line of numbers each.

Weights are random, which costs the same time and memory as trained ones. Every case plays one
stream: its first chunk from an empty world, some chunks until memory and window are full, then the
chunks that count. Denoising and decoding are waited for one after the other, so that each has a
time of its own. The plain implementation (``bench/plain.py``) plays the same streams in bfloat16.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch

from magi_rt.backends.compiled import CompiledExecutor
from magi_rt.bench.measure import Numbers, conditions, hardware, memory_bytes, rounded
from magi_rt.bench.subject import RandomText, random_executor
from magi_rt.bench.world import Rival
from magi_rt.errors import MagiError, OptionError
from magi_rt.planner.chips import GPUS, PRECISIONS, Chip, precisions_of
from magi_rt.planner.speed import denoise_seconds
from magi_rt.planner.work import Subject, chunk_work
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions

PROMPT = "a red ball rolls over a green hill while rain begins to fall"
FORMATS = ("bf16", "fp8")
WAYS = ("plain", "eager", "compiled")
COUNTED = 3
"""Chunks that count in every case."""
BUDGET_S = 540.0
"""No case is begun after so many seconds."""

SLOWER = ("pcie", "nvl", "laptop", "maxq", "4090d", "5090d")
"""In the names of cards that have not the peaks of the chip they are called by."""

Open = Callable[[str, str], RandomText]
"""Opens an executor from (backend, precision)."""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    way: str
    precision: str
    size: tuple[int, int]
    window: int


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        model: a shape by name, see ``bench/subject.py``.
        sizes: (height, width) in pixels.
        ways: of ``WAYS``; "plain" is measured in bf16 only.
        precisions: of ``FORMATS``.
        steps: denoising steps of a chunk, ``None`` for the model's own.
    """

    model: str = "4.5B-distill"
    sizes: tuple[tuple[int, int], ...] = ((256, 256), (384, 384), (480, 480))
    windows: tuple[int, ...] = (1, 4)
    ways: tuple[str, ...] = WAYS
    precisions: tuple[str, ...] = FORMATS
    steps: int | None = 8
    device: str = "cuda"
    budget_s: float = BUDGET_S

    def __post_init__(self) -> None:
        for name, chosen, known in (
            ("backend", self.ways, WAYS),
            ("precision", self.precisions, FORMATS),
        ):
            for each in chosen:
                if each not in known:
                    raise OptionError(
                        f"{name} {each!r} is unknown; use {', '.join(known)}", field=name
                    )

    def cases(self) -> list[Case]:
        """In the order of their use: a cut run has compared all ways in bf16 already."""
        found = []
        for precision, way in product(self.precisions, self.ways):
            if way == "plain" and precision != "bf16":
                continue
            found += [
                Case(way, precision, size, window)
                for size, window in product(self.sizes, self.windows)
            ]
        return found


def bench_gpu(plan: Plan, open_executor: Open | None = None) -> Iterator[Numbers]:
    """Yields the numbers of every case as they come, then one summary.

    A case that fails (too little memory, no compiler) yields its error; the others go on.

    Args:
        open_executor: opens what is measured, for tests.

    Raises:
        BackendError: the shape cannot be opened on the device.
    """
    begun, left_out = time.perf_counter(), []
    opened: tuple[tuple[str, str], RandomText] | None = None
    made = open_executor or _opener(plan)
    plain_fps: dict[tuple[tuple[int, int], int], float] = {}
    for case in plan.cases():
        if time.perf_counter() - begun > plan.budget_s:
            left_out.append(_name(case))
            continue
        wanted = ("compiled" if case.way == "compiled" else "eager", case.precision)
        if opened is None or opened[0] != wanted:
            opened = None  # its memory is free before the next one takes some
            _empty(plan.device)
            opened = (wanted, made(*wanted))
        numbers = _measured(plan, case, opened[1])
        key = (case.size, case.window)
        if case.way == "plain" and "fps" in numbers:
            plain_fps[key] = numbers["fps"]
        elif key in plain_fps and "fps" in numbers:
            numbers["speedup_vs_plain"] = numbers["fps"] / plain_fps[key]
        yield rounded(numbers)
    yield rounded(
        {
            "bench": "gpu",
            "model": plan.model,
            "left_out": left_out,
            "seconds": time.perf_counter() - begun,
        }
    )


def _opener(plan: Plan) -> Open:
    def made(backend: str, precision: str) -> RandomText:
        return random_executor(
            plan.model, backend=backend, device=plan.device, dtype="bfloat16",
            fp8=precision == "fp8",
        )  # fmt: skip

    return made


def _name(case: Case) -> str:
    height, width = case.size
    return f"{case.way} {case.precision} {height}x{width} window {case.window}"


def _measured(plan: Plan, case: Case, executor: RandomText) -> Numbers:
    height, width = case.size
    head: Numbers = {
        "bench": "gpu case", "way": case.way, "precision": case.precision, "model": plan.model,
        "size": f"{height}x{width}", "window": case.window,
        "steps": plan.steps or executor.config.runtime.num_steps,
        "hardware": hardware(executor.info.device), "torch": torch.__version__,
    }  # fmt: skip
    options = WorldOptions(window=case.window, steps=plan.steps, size=case.size)
    if isinstance(executor, CompiledExecutor):
        executor.forget()
    _empty(executor.info.device)
    _reset_peak(executor.info.device)
    begun = time.perf_counter()
    try:
        machine = WorldMachine.around(executor, plan.model, options)
        head |= conditions(machine, "random") | {"ready_s": time.perf_counter() - begun}
        played = _plain(machine) if case.way == "plain" else _played(machine)
    except (MagiError, RuntimeError) as error:
        return head | {"failed": " ".join(str(error).split())[:200]}
    return head | played | _share(machine, case, played)


def _played(machine: WorldMachine) -> Numbers:
    """One stream through the machine's pipeline."""
    device, pipeline = machine.executor.info.device, machine.pipeline
    text = machine.read_prompt(PROMPT)
    pipeline.advance(machine.begin().state, lambda _: text)  # libraries choose their kernels
    state = machine.begin().state
    denoise, decode = [], []
    for _ in range(_uncounted(machine, state.cache.depth) + COUNTED):
        begun = _now(device)
        finished = pipeline.advance(state, lambda _: text)
        middle = _now(device)
        machine.executor.decode(finished.latents).cpu()
        denoise.append(middle - begun)
        decode.append(_now(device) - middle)
    return _summary(machine, denoise, decode) | {"peak_gib": _peak_gib(device)}


def _plain(machine: WorldMachine) -> Numbers:
    """The same stream the plain way; its decoding is the same and not told apart."""
    device, rival = machine.executor.info.device, Rival(machine)
    depth = machine.begin().state.cache.depth
    Rival(machine).advance(PROMPT)
    times = [rival.advance(PROMPT) for _ in range(_uncounted(machine, depth) + COUNTED)]
    counted = statistics.median(times[-COUNTED:])
    return {
        "fps": machine.executor.config.runtime.frames_per_chunk / counted,
        "chunk_ms": 1e3 * counted,
        "first_chunk_ms": 1e3 * times[0],
        "peak_gib": _peak_gib(device),
    }


def _uncounted(machine: WorldMachine, depth: int) -> int:
    """Chunks until the memory is full; the window has filled before the first one ends."""
    return depth + 1


def _summary(machine: WorldMachine, denoise: list[float], decode: list[float]) -> Numbers:
    whole = [a + b for a, b in zip(denoise, decode, strict=True)]
    chunk = statistics.median(whole[-COUNTED:])
    return {
        "fps": machine.executor.config.runtime.frames_per_chunk / chunk,
        "chunk_ms": 1e3 * chunk,
        "first_chunk_ms": 1e3 * whole[0],
        "denoise_ms": 1e3 * statistics.median(denoise[-COUNTED:]),
        "vae_ms": 1e3 * statistics.median(decode[-COUNTED:]),
    }


def _share(machine: WorldMachine, case: Case, numbers: Numbers) -> Numbers:
    """Time at the chip's full peaks as a share of the time taken, for known chips.

    What a chip has no products for and emulates (FP8 on an A100) has no peak and no share.
    """
    chip, way = chip_named(hardware(machine.executor.info.device)), PRECISIONS[case.precision]
    if chip is None or "denoise_ms" not in numbers or way not in precisions_of(chip):
        return {"roofline_share": None}
    config, sampler = machine.executor.config, machine.pipeline.sampler
    subject = Subject(machine.model, config)
    tokens = subject.tokens(*machine.size)
    work = chunk_work(subject, tokens, sampler.steps, window=sampler.window)
    ideal = denoise_seconds(work, chip, way, config.model.num_layers)
    return {"roofline_share": 1e3 * ideal / numbers["denoise_ms"]}


def chip_named(hardware: str) -> Chip | None:
    """The known chip that a driver's name speaks of ("NVIDIA H200", "NVIDIA A100-SXM4-80GB").

    Cards of the same name with other peaks (``SLOWER``) are not known.
    """
    plain = "".join(letter for letter in hardware.lower() if letter.isalnum())
    found = [name for name in GPUS if name in plain and not any(each in plain for each in SLOWER)]
    return GPUS[max(found, key=len)] if found else None


def _now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _empty(device: str) -> None:
    """Gives back what nobody holds, also what is held in a circle only."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: str) -> float:
    """Most memory that PyTorch held on the card; on a CPU, what the process holds now.

    Tensors alone would flatter replayed graphs, whose intermediate ones are not counted as theirs.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device) / 2**30
    return memory_bytes(device) / 2**30
