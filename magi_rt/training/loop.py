"""The training loop all trainers share: killed at any moment, it goes on as if it were not.

Everything a step needs follows from (seed, step), and a checkpoint is one file that replaces the
last one in a single move. So a killed run that goes on draws the same curve, as long as its budget
counts steps; a budget in minutes depends on the clock.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from magi_rt.errors import MagiError, OptionError
from magi_rt.training.checkpoint import RunState, load_run, save_run
from magi_rt.training.signals import StopRequest
from magi_rt.training.sole_run import sole_run

GIB = 1 << 30
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(8 * GIB),
    "MALLOC_TRIM_THRESHOLD_": str(8 * GIB),
    "MALLOC_TOP_PAD_": str(GIB // 4),
}
CHECKPOINT = "checkpoint.safetensors"
BAD_STEPS = 20  # this many steps without a finite gradient in a row end the run

Evaluate = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """How long to train and how fast; exactly one of ``minutes`` and ``steps`` is the budget.

    Attributes:
        minutes: wall-clock budget of all sittings together.
        steps: number of optimiser steps.
        warmup: steps over which the learning rate rises from 0.
        decay: share of the budget, at its end, over which the rate falls to 0 along a cosine.
        ema: decay of the averaged weights, reached gradually.
        clip: largest gradient norm.
        save_every_s: seconds between checkpoints.
    """

    minutes: float | None = None
    steps: int | None = None
    warmup: int = 100
    decay: float = 0.5
    ema: float = 0.999
    clip: float = 1.0
    log_every: int = 20
    evaluate_every: int = 200
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise OptionError("a plan needs either minutes or steps, not both and not neither")
        budget = self.minutes if self.steps is None else self.steps
        if budget is None or not budget > 0:
            raise OptionError(f"the budget is {budget}; it must be greater than 0")
        if not 0 <= self.decay <= 1 or not 0 <= self.ema < 1:
            raise OptionError(f"decay {self.decay} and ema {self.ema} must lie between 0 and 1")
        if self.warmup < 0 or min(self.log_every, self.evaluate_every) < 1:
            raise OptionError("warmup must be 0 or more, log_every and evaluate_every 1 or more")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Used share of the budget; 1 or more ends the run."""
        if self.steps is not None:
            return step / self.steps
        return elapsed_s / (60.0 * (self.minutes or 1.0))

    def rate(self, step: int, progress: float) -> float:
        """Factor of the learning rate, 0 to 1."""
        factor = min(1.0, (step + 1) / (self.warmup + 1))
        left = max(0.0, 1.0 - progress)
        if left < self.decay:
            factor *= 0.5 - 0.5 * math.cos(math.pi * left / self.decay)
        return factor


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        finished: False when a signal stopped it; starting it again goes on.
        averaged: the averaged weights by parameter name.
    """

    step: int
    elapsed_s: float
    finished: bool
    averaged: dict[str, Tensor]


class Loop:
    """Trains one module.

    Args:
        folder: where ``checkpoint.safetensors`` and ``log.jsonl`` are written.
        loss: step -> (loss, numbers to log); all its randomness must follow from the step.
        optimisers: their rates at construction are the peaks of the plan.
        card: JSON values that identify the run; a checkpoint with others is refused.
        evaluate: step -> numbers to log, called with the averaged weights in the module.
    """

    def __init__(
        self,
        folder: Path,
        module: nn.Module,
        loss: Callable[[int], tuple[Tensor, Mapping[str, Tensor]]],
        optimisers: Sequence[torch.optim.Optimizer],
        plan: Plan,
        *,
        card: Mapping[str, Any],
        evaluate: Evaluate | None = None,
    ) -> None:
        self.folder, self.module, self.loss, self.plan = folder, module, loss, plan
        self.optimisers, self.card, self.evaluate = list(optimisers), dict(card), evaluate
        self.peaks = [[group["lr"] for group in o.param_groups] for o in self.optimisers]
        averaged = {name: p.detach().clone() for name, p in module.named_parameters()}
        self.state = RunState(step=0, elapsed_s=0.0, averaged=averaged)
        self.console = Console(stderr=True)
        self.bad_steps = 0

    def run(self, *, resume: bool = True) -> Outcome:
        """Trains until the budget is used or SIGTERM or SIGINT arrives; both save.

        Raises:
            OptionError: the folder holds a checkpoint of another run, or one while resume is False,
                or another training is at work in it.
            MagiError: the loss stays without a finite gradient.
        """
        with sole_run(self.folder):
            return self._run(resume)

    def _run(self, resume: bool) -> Outcome:
        self._take_up(resume)
        state, plan = self.state, self.plan
        begun, before, started = state.step, state.elapsed_s, time.monotonic()
        saved = started
        with StopRequest() as stop:
            while plan.progress(state.step, state.elapsed_s) < 1 and not stop.requested:
                self._step()
                now = time.monotonic()
                state.elapsed_s = before + now - started
                if now - saved >= plan.save_every_s:
                    self._save()
                    saved = now
            finished = plan.progress(state.step, state.elapsed_s) >= 1
            self._save()
        # one that was finished already evaluates, and so exports, once more
        if finished and (state.step == begun or state.step % plan.evaluate_every):
            self._evaluate()
        self._save()
        return Outcome(state.step, state.elapsed_s, finished, state.averaged)

    def _take_up(self, resume: bool) -> None:
        path = self.folder / CHECKPOINT
        if path.exists():
            if not resume:
                raise OptionError(f"{path} exists already; resume it or take another folder")
            load_run(path, self.module, self.optimisers, self.state, self.card)
        keep_lines(self.folder / "log.jsonl", self.state.step)

    def _save(self) -> None:
        path = self.folder / CHECKPOINT
        save_run(path, self.module, self.optimisers, self.state, self.card)

    def _step(self) -> None:
        state, plan = self.state, self.plan
        factor = plan.rate(state.step, plan.progress(state.step, state.elapsed_s))
        for optimiser, peaks in zip(self.optimisers, self.peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimiser.zero_grad()
        loss, numbers = self.loss(state.step)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), plan.clip)
        if self._usable(norm):
            for optimiser in self.optimisers:
                optimiser.step()
            self._average()
        state.step += 1
        if state.step % plan.log_every == 0:
            values = {"loss": loss, "gradient": norm, **numbers}
            self._log({k: float(v.detach()) for k, v in values.items()} | {"rate": factor})
        if state.step % plan.evaluate_every == 0:
            self._evaluate()

    def _usable(self, norm: Tensor) -> bool:
        """False for a step without a finite gradient, which is left out."""
        self.bad_steps = 0 if bool(torch.isfinite(norm)) else self.bad_steps + 1
        if self.bad_steps >= BAD_STEPS:
            raise MagiError(
                f"the gradient was not finite in {BAD_STEPS} steps up to {self.state.step}; "
                "train with a lower --rate, or look at the clips: what they show may be broken"
            )
        return self.bad_steps == 0

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.plan.ema, (self.state.step + 1) / (self.state.step + 10))
        live = dict(self.module.named_parameters())
        names = list(self.state.averaged)
        averaged = [self.state.averaged[name] for name in names]
        torch._foreach_lerp_(averaged, [live[name].detach() for name in names], 1 - decay)

    def _evaluate(self) -> None:
        if self.evaluate is None:
            return
        with swapped_weights(self.module, self.state.averaged):
            numbers = self.evaluate(self.state.step)
        if not any(is_evaluation(one, self.state.step) for one in read_log(self.folder)):
            self._log(numbers)

    def _log(self, numbers: Mapping[str, float]) -> None:
        state = self.state
        line: dict[str, Any] = {"step": state.step, "seconds": round(state.elapsed_s, 1)}
        line |= {key: _plain(value) for key, value in numbers.items()}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        share = min(1.0, self.plan.progress(state.step, state.elapsed_s))
        words = "  ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        self.console.print(f"[bold]{share:4.0%}[/] step {state.step}  {words}", highlight=False)


def _plain(value: float) -> float | None:
    """A number as JSON has it; it knows no NaN and no infinity."""
    return round(value, 6) if math.isfinite(value) else None


class swapped_weights:
    """While open, a module computes with the given parameters; its own come back afterwards."""

    def __init__(self, module: nn.Module, values: Mapping[str, Tensor]) -> None:
        self.module, self.values = module, values

    def __enter__(self) -> None:
        self.own = {name: p.detach().clone() for name, p in self.module.named_parameters()}
        self._put(self.values)

    def __exit__(self, *_: object) -> None:
        self._put(self.own)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(values[name])


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log, oldest first."""
    path = folder / "log.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        yield json.loads(line)


def is_evaluation(line: Mapping[str, Any], step: int) -> bool:
    """Whether a line of a log tells of an evaluation after ``step`` steps."""
    return line["step"] == step and "rate" not in line


def keep_lines(path: Path, step: int) -> None:
    """Drops the lines of a log that a resumed run will write again, and a torn last one."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            known = json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError):
            break
        if known:
            kept.append(line + "\n")
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)


def restart_with_kept_memory() -> None:
    """Restarts this process once so that freed memory stays with it; for main programs only.

    Without this, glibc hands large tensors back to the system after every step and takes them
    again, and a CPU run spends most of its time in the kernel.
    """
    if not sys.platform.startswith("linux"):
        return
    if all(os.environ.get(name) == value for name, value in KEPT_MEMORY.items()):
        return
    os.environ.update(KEPT_MEMORY)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
