"""The training loop: budgets, rates, averages, and going on after any kind of end."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from magi_rt.errors import CheckpointError, MagiError, OptionError
from magi_rt.training import checkpoint, loop
from magi_rt.training.loop import KEPT_MEMORY, Loop, Plan, read_log, swapped_weights
from tests.training.loop_kit import toy_loop, toy_loss, toy_module

PLAN = Plan(steps=12, warmup=2, log_every=2, evaluate_every=5)


class Killed(Exception):
    """Stands for a sudden end."""


def curve(folder: Path) -> list[dict[str, float]]:
    """The log without its times."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder)]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_loss_falls(tmp_path: Path) -> None:
    toy_loop(tmp_path, Plan(steps=200, warmup=5, log_every=1, evaluate_every=999)).run()
    lines = list(read_log(tmp_path))
    first, last = lines[:20], lines[-20:]
    assert sum(line["loss"] for line in last) < 0.5 * sum(line["loss"] for line in first)


def test_a_killed_run_goes_on_exactly_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = toy_loop(tmp_path / "whole", PLAN)
    done = whole.run()

    module = toy_module()
    steady = toy_loss(module)

    def dies(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        if step == 9:
            raise Killed
        return steady(step)

    always = Plan(steps=12, warmup=2, log_every=2, evaluate_every=5, save_every_s=0)
    with pytest.raises(Killed):
        toy_loop(tmp_path / "cut", always, module=module, loss=dies).run()
    again = toy_loop(tmp_path / "cut", PLAN)
    outcome = again.run()

    assert (outcome.step, outcome.finished) == (12, True)
    assert same_weights(whole.module, again.module)
    assert all(torch.equal(done.averaged[name], v) for name, v in outcome.averaged.items())
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_lines_written_after_the_last_checkpoint_are_written_anew(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN).run()
    wanted = curve(tmp_path)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 99, "loss": 1.0}) + '\n{"step": 100, "lo')
    toy_loop(tmp_path, PLAN).run()
    assert curve(tmp_path) == wanted


def test_the_log_stays_json_when_a_measure_is_no_number(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN, evaluate=lambda step: {"score": math.nan}).run()
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in the log"))
    assert [line["score"] for line in read_log(tmp_path) if "score" in line] == [None] * 3


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    first = toy_loop(tmp_path, PLAN)
    first.run()
    again = toy_loop(tmp_path, PLAN)
    assert again.run().step == 12
    assert same_weights(first.module, again.module)


def test_a_finished_run_that_is_started_again_leaves_its_log_as_it_is(tmp_path: Path) -> None:
    def evaluate(step: int) -> dict[str, float]:
        evaluated.append(step)
        return {"score": float(step)}

    evaluated: list[int] = []
    toy_loop(tmp_path, PLAN, evaluate=evaluate).run()
    before = (tmp_path / "log.jsonl").read_text()
    toy_loop(tmp_path, PLAN, evaluate=evaluate).run()
    assert (tmp_path / "log.jsonl").read_text() == before
    assert [line["step"] for line in read_log(tmp_path) if "score" in line] == [5, 10, 12]
    assert evaluated == [5, 10, 12, 12]


def test_a_finished_run_evaluates_again_wherever_its_budget_ended(tmp_path: Path) -> None:
    evaluated: list[int] = []

    def evaluate(step: int) -> dict[str, float]:
        evaluated.append(step)
        return {"score": float(step)}

    for _ in range(2):
        toy_loop(tmp_path, replace(PLAN, steps=10), evaluate=evaluate).run()
    assert evaluated == [5, 10, 10]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_a_folder_in_which_a_training_is_at_work_refuses_a_second_one(tmp_path: Path) -> None:
    refusals: list[str] = []

    def evaluate(step: int) -> dict[str, float]:
        with pytest.raises(OptionError, match="another training is at work in") as refused:
            toy_loop(tmp_path, PLAN).run()
        refusals.append(refused.value.message)
        return {}

    outcome = toy_loop(tmp_path, PLAN, evaluate=evaluate).run()
    assert len(refusals) == 3 and outcome.finished
    assert toy_loop(tmp_path, PLAN).run().step == 12  # free again


def test_a_training_that_failed_leaves_its_folder_free(tmp_path: Path) -> None:
    def dies(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        raise Killed

    with pytest.raises(Killed):
        toy_loop(tmp_path, PLAN, loss=dies).run()
    assert toy_loop(tmp_path, PLAN).run().finished


def test_sigterm_saves_and_stops(tmp_path: Path) -> None:
    module = toy_module()
    steady = toy_loss(module)

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return steady(step)

    before = signal.getsignal(signal.SIGTERM)
    outcome = toy_loop(tmp_path, PLAN, module=module, loss=loss).run()
    assert (outcome.step, outcome.finished) == (4, False)
    assert signal.getsignal(signal.SIGTERM) is before
    assert toy_loop(tmp_path, PLAN).run().step == 12


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second interrupt was swallowed")

    with pytest.raises(KeyboardInterrupt):
        toy_loop(tmp_path, PLAN, loss=loss).run()


def test_the_loop_runs_outside_the_main_thread(tmp_path: Path) -> None:
    steps = []
    worker = threading.Thread(target=lambda: steps.append(toy_loop(tmp_path, PLAN).run().step))
    worker.start()
    worker.join(60)
    assert steps == [12]


def test_the_time_of_all_sittings_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()  # a second at a step
    monkeypatch.setattr("magi_rt.training.loop.time.monotonic", lambda: float(next(ticks)))
    module = toy_module()
    steady = toy_loss(module)

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        return steady(step)

    assert toy_loop(tmp_path, PLAN, module=module, loss=loss).run().elapsed_s == 4
    assert toy_loop(tmp_path, PLAN).run().elapsed_s == 12


def test_checkpoints_are_written_as_often_as_the_plan_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks, saved = itertools.count(), list[int]()
    monkeypatch.setattr("magi_rt.training.loop.time.monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(loop, "save_run", lambda path, *given: saved.append(given[2].step))
    toy_loop(tmp_path, replace(PLAN, save_every_s=5.0)).run()
    assert saved == [5, 10, 12, 12]


def test_no_step_is_longer_than_the_clipped_gradient(tmp_path: Path) -> None:
    module = toy_module()
    before = [p.detach().clone() for p in module.parameters()]
    plan = Plan(steps=1, warmup=0, decay=0.0, clip=0.25)
    step = torch.optim.SGD(module.parameters(), lr=1.0)
    Loop(tmp_path, module, toy_loss(module), [step], plan, card={}).run()
    pairs = zip(module.parameters(), before, strict=True)
    moved = sum(float((p.detach() - old).square().sum()) for p, old in pairs)
    assert moved**0.5 == pytest.approx(0.25, rel=1e-4)


def test_the_average_follows_quickly_at_first_and_slowly_later(tmp_path: Path) -> None:
    module = toy_module()
    first = module.get_parameter("0.weight").detach().clone()
    average = toy_loop(tmp_path / "one", Plan(steps=1, warmup=0, decay=0.0), module=module).run()
    live = module.get_parameter("0.weight").detach()
    expected = torch.lerp(first, live, 0.9)  # of the first ten steps, one is done
    torch.testing.assert_close(average.averaged["0.weight"], expected)
    slow = Plan(steps=40, warmup=0, decay=0.0, ema=0.5)
    module = toy_module()
    outcome = toy_loop(tmp_path / "many", slow, module=module).run()
    left = (module.get_parameter("0.weight") - outcome.averaged["0.weight"]).abs().max()
    assert 0 < float(left.detach()) < 0.05


def test_a_run_with_other_settings_is_refused_with_the_difference(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN).run()
    with pytest.raises(OptionError, match="seed=1, not 2") as caught:
        toy_loop(tmp_path, PLAN, card={"seed": 2}).run()
    assert caught.value.field == "seed"


def test_a_folder_with_a_run_is_refused_when_a_fresh_one_is_wanted(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN).run(resume=False)
    with pytest.raises(OptionError, match="exists already"):
        toy_loop(tmp_path, PLAN).run(resume=False)


def test_first_weights_that_differ_with_a_setting_are_told_by_the_setting(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN, card={"begun": "a1", "seed": 1}).run()
    with pytest.raises(OptionError, match="seed=1, not 2"):
        toy_loop(tmp_path, PLAN, card={"begun": "b2", "seed": 2}).run()
    with pytest.raises(OptionError, match="began with other weights") as refused:
        toy_loop(tmp_path, PLAN, card={"begun": "b2", "seed": 1}).run()
    assert refused.value.field == "start"


def test_a_checkpoint_of_another_module_is_refused(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN).run()
    with pytest.raises(CheckpointError, match="does not fit"):
        toy_loop(tmp_path, PLAN, module=nn.Linear(4, 1)).run()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    toy_loop(tmp_path, PLAN).run()
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="no checkpoint"):
        toy_loop(tmp_path, PLAN).run()


def test_a_checkpoint_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        toy_loop(tmp_path, PLAN).run()
    with pytest.raises(CheckpointError, match="has format 2; this reads 1"):
        toy_loop(tmp_path, PLAN).run()


def test_a_setting_that_only_the_checkpoint_knows_is_a_difference_too(tmp_path: Path) -> None:
    toy_loop(tmp_path, PLAN, card={"seed": 1, "warmth": 3}).run()
    with pytest.raises(OptionError, match="warmth=3, not None"):
        toy_loop(tmp_path, PLAN).run()


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    stopped = toy_loop(tmp_path, PLAN)
    stopped.run()
    path = tmp_path / "checkpoint.safetensors"
    before = path.read_bytes()

    def torn(_: object, to: Path, *__: object) -> None:
        to.write_bytes(b"half")
        raise kind("no space left")

    monkeypatch.setattr(checkpoint, "save_file", torn)
    with pytest.raises(CheckpointError, match=r"could not be written .no space left.* goes on"):
        stopped._save()
    assert not list(tmp_path.glob("*.tmp"))
    assert path.read_bytes() == before


def test_evaluation_sees_the_averaged_weights_and_leaves_the_others(tmp_path: Path) -> None:
    module = toy_module()
    seen: dict[int, Tensor] = {}

    def evaluate(step: int) -> dict[str, float]:
        seen[step] = next(module.parameters()).detach().clone()
        return {"score": 1.0}

    outcome = toy_loop(tmp_path, PLAN, module=module, evaluate=evaluate).run()
    assert sorted(seen) == [5, 10, 12]
    assert torch.equal(seen[12], outcome.averaged["0.weight"])
    assert not torch.equal(next(module.parameters()), seen[12])


def test_swapped_weights_come_back_after_an_error() -> None:
    module = toy_module()
    zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    with pytest.raises(Killed), swapped_weights(module, zeros):
        assert not any(p.any() for p in module.parameters())
        raise Killed
    assert same_weights(module, toy_module())


def test_steps_without_a_finite_gradient_are_left_out(tmp_path: Path) -> None:
    module = toy_module()
    steady = toy_loss(module)

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        value, numbers = steady(step)
        return (value * float("nan") if step == 3 else value), numbers

    toy_loop(tmp_path, PLAN, module=module, loss=loss).run()
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())


def test_bad_steps_end_a_run_only_when_they_follow_each_other(tmp_path: Path) -> None:
    module = toy_module()
    steady = toy_loss(module)

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        value, numbers = steady(step)
        return (value * float("nan") if step % 2 else value), numbers

    plan = Plan(steps=2 * loop.BAD_STEPS + 4, warmup=0)
    assert toy_loop(tmp_path, plan, module=module, loss=loss).run().finished


def test_a_run_that_never_has_a_finite_gradient_ends_with_the_way_out(tmp_path: Path) -> None:
    module = toy_module()

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        return toy_loss(module)(step)[0] * float("inf"), {}

    with pytest.raises(MagiError, match="lower --rate"):
        toy_loop(tmp_path, Plan(steps=50), module=module, loss=loss).run()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"minutes": 1.0, "steps": 3},
        {"steps": 0},
        {"minutes": float("nan")},
        {"steps": 3, "decay": 1.5},
        {"steps": 3, "ema": 1.0},
        {"steps": 3, "log_every": 0},
    ],
)
def test_impossible_plans_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Plan(**values)  # type: ignore[arg-type]


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    plan = Plan(steps=100, warmup=9, decay=0.4)
    rates = [plan.rate(step, plan.progress(step, 0.0)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == 0.0
    assert all(a >= b for a, b in pairwise(rates[60:]))


def test_a_budget_in_minutes_counts_time_and_not_steps() -> None:
    plan = Plan(minutes=2.0)
    assert plan.progress(10_000, 30.0) == 0.25
    assert plan.progress(0, 120.0) == 1.0


def test_a_budget_in_minutes_ends_and_counts_all_sittings(tmp_path: Path) -> None:
    plan = Plan(minutes=0.2 / 60, log_every=1000, evaluate_every=100_000)
    outcome = toy_loop(tmp_path, plan).run()
    assert outcome.finished and outcome.elapsed_s >= 0.2
    assert toy_loop(tmp_path, plan).run().step == outcome.step


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the restart is for glibc")
def test_the_process_restarts_once_with_kept_memory_and_the_same_arguments() -> None:
    program = (
        "import os, sys\n"
        "from magi_rt.training.loop import restart_with_kept_memory\n"
        "print('turn', sys.argv[1:], flush=True)\n"
        "restart_with_kept_memory()\n"
        "print({k: v for k, v in os.environ.items() if k.startswith('MALLOC_')})\n"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    clean["PYTHONPATH"] = os.pathsep.join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", program, "a b"],
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == ["turn ['a b']"] * 2 + [str(KEPT_MEMORY)]
