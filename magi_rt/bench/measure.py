"""What a measurement is made of: times, memory, and what the numbers were measured on."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from magi_rt.training.loop import KEPT_MEMORY
from magi_rt.world.machine import WorldMachine

Numbers = dict[str, Any]
"""What the last line of a measurement says: values that JSON can hold."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` percent of the values do not exceed, interpolated."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), share))


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def memory_bytes(device: str) -> int:
    """Memory that this process holds now: on a GPU what PyTorch reserved there, else resident.

    0 where the system does not tell (Windows).
    """
    if device.startswith("cuda"):
        return int(torch.cuda.memory_reserved(device))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        try:
            import resource  # other systems tell the peak only; it shows growth all the same
        except ImportError:
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024


def hardware(device: str) -> str:
    """The name of what computes."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cores() -> int:
    """Processor cores that this process may use."""
    told = getattr(os, "sched_getaffinity", None)
    return len(told(0)) if told else os.cpu_count() or 1


def kept_memory() -> bool:
    """True when the allocator was told to keep freed memory (``restart_with_kept_memory``)."""
    return all(os.environ.get(name) == value for name, value in KEPT_MEMORY.items())


def conditions(machine: WorldMachine, weights: str) -> Numbers:
    """What was measured and on what.

    Args:
        weights: "trained" or "random".
    """
    info, sampler = machine.executor.info, machine.pipeline.sampler
    height, width = machine.size
    return {
        "model": machine.model,
        "weights": weights,
        "size": f"{height}x{width}",
        "steps": sampler.steps,
        "window": sampler.window,
        "frames_per_chunk": machine.executor.config.runtime.frames_per_chunk,
        "backend": info.name,
        "dtype": info.dtype,
        "device": info.device,
        "threads": info.threads,
        "hardware": hardware(info.device),
        "cores": _cores(),
        "torch": torch.__version__,
        "allocator": "keeps freed memory" if kept_memory() else "system default",
    }


def rounded(numbers: Numbers) -> Numbers:
    """The same with floats cut to what was measured; values that are no numbers become None."""
    return {
        name: _rounded(value) if isinstance(value, float) else value
        for name, value in numbers.items()
    }


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return round(value, 3) if abs(value) >= 0.01 or value == 0 else float(f"{value:.3g}")
