"""Worlds that take as many steps as the clock leaves, and tell and repeat what they took."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, count, pairwise, repeat
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor
from magi_rt.errors import OptionError, SnapshotError
from magi_rt.frames import Frame
from magi_rt.presets import PRESETS
from magi_rt.sampling.schedule import time_grid
from magi_rt.world import World
from magi_rt.world.deadline import (
    AIM,
    EARLY,
    LATE,
    LEAST,
    LOOK,
    Deadline,
    StepChange,
    allowed_steps,
    changes_from,
    next_steps,
    steps_at,
)
from magi_rt.world.snapshot import Snapshot
from tests.support import small_config, write_model
from tests.world.kit import dummy_world, same_pixels

ALLOWED = (4, 8, 16, 32)


def after(count: int, seconds: float, steps: int = 8, target: float = 1.0) -> int:
    return next_steps([seconds] * count, steps, ALLOWED, target)


def test_late_chunks_lead_to_fewer_steps_and_early_ones_to_more() -> None:
    assert after(LEAST, LATE + 0.01) == 4
    assert after(LOOK, EARLY / 2 - 0.01) == 16


def test_between_late_and_early_nothing_changes() -> None:
    for seconds in (EARLY / 2 + 0.01, 0.5, EARLY, LATE - 0.01):
        assert after(LOOK, seconds) == 8


def test_too_few_measurements_change_nothing() -> None:
    assert after(LEAST - 1, 100.0) == 8
    assert after(LOOK - 1, 0.001) == 8


def test_one_slow_chunk_among_quick_ones_changes_nothing() -> None:
    assert next_steps([0.5, 0.5, 9.0, 0.5, 0.5], 8, ALLOWED, 1.0) == 8


def test_a_very_late_world_skips_counts_that_would_be_late_too() -> None:
    assert after(LEAST, 3.0, steps=32) == 8  # 16 would take up to 1.5 s
    assert after(LEAST, 100.0, steps=32) == 4
    assert after(LEAST, 100.0, steps=4) == 4


def test_more_steps_are_added_one_count_at_a_time() -> None:
    assert after(LOOK, 0.001, steps=4) == 8
    assert after(LOOK, 0.001, steps=32) == 32


def test_a_count_that_is_not_allowed_is_left_at_once() -> None:
    assert next_steps([], 64, ALLOWED, 1.0) == 32
    assert next_steps([], 2, ALLOWED, 1.0) == 4


@pytest.mark.parametrize("per_step", [0.01, 0.03, 0.05, 0.07, 0.09, 0.115, 0.2, 0.4])
@pytest.mark.parametrize("fixed", [0.0, 0.1, 0.3])
def test_on_a_steady_machine_the_count_settles_and_is_not_late(
    per_step: float, fixed: float
) -> None:
    deadline, steps, seen = Deadline(ALLOWED, 1.0), 8, []
    for _ in range(60):
        steps = deadline.choose(steps)
        deadline.measured(steps, fixed + per_step * steps)
        seen.append(steps)
    assert len(set(seen[-20:])) == 1
    assert fixed + per_step * steps <= LATE or steps == min(ALLOWED)
    assert sum(a != b for a, b in pairwise(seen)) <= len(ALLOWED)


def test_what_was_measured_at_another_count_says_nothing_after_a_rewind_or_restore() -> None:
    deadline = Deadline(ALLOWED, 1.0)
    assert deadline.choose(4) == 4
    for _ in range(LOOK):
        deadline.measured(4, 0.3)
    assert deadline.told(8, changes=0).median_s is None
    assert deadline.choose(8) == 8, "in 0.3 s a chunk of 16 would fit"


def test_the_shares_leave_room_between_them() -> None:
    assert EARLY < AIM < LATE < 1


@pytest.mark.parametrize("window", [2, 4])
def test_grids_of_all_counts_meet_where_stages_end(window: int) -> None:
    counts = [n for n in (4, 8, 12, 16, 32, 64) if n % window == 0]
    ends = [[time_grid(n)[stage * n // window] for stage in range(window)] for n in counts]
    assert all(each == ends[0] for each in ends)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "distilled"
    return write_model(folder, small_config(distill=True))


def clock(seconds: Sequence[float]) -> Callable[[], float]:
    """A clock by which the next chunks take so long, the last one's time for all that follow."""
    left, now, begun = list(seconds), 0.0, True

    def read() -> float:
        nonlocal now, begun
        if not begun:
            now += left.pop(0) if len(left) > 1 else left[0]
        begun = not begun
        return now

    return read


def adapted(model: Path, seconds: Sequence[float], **options: Any) -> World:
    settings: dict[str, Any] = {"window": 1, "seed": 5, "device": "cpu"} | options
    world = World.open(model, adapt=True, fps=8, **settings)
    assert world._deadline is not None
    world._deadline.clock = clock(seconds)
    return world


def made(world: World, chunks: int) -> list[Frame]:
    return [frame for _ in range(chunks) for frame in world.advance()]


SLOW_THEN_QUICK = [2.0] * 3 + [0.05] * 40


@pytest.mark.parametrize("window", [1, 2, 4])
def test_an_adapted_run_replayed_from_its_log_gives_equal_pixels(
    model: Path, tmp_path: Path, window: int
) -> None:
    world = adapted(model, SLOW_THEN_QUICK, window=window)
    frames = made(world, 16)
    assert [change.steps for change in world.log.changes] == [4, 8], "down and up again"
    world.log.save(tmp_path / "run.json")
    again = World.replay(tmp_path / "run.json")
    assert again._deadline is not None
    again._deadline.clock = clock([9.0])  # a slow clock must not matter
    repeated = made(again, 16)
    assert same_pixels(repeated, frames)
    assert [frame.steps for frame in repeated] == [frame.steps for frame in frames]
    assert again.log.changes == world.log.changes


def test_a_run_of_changing_steps_is_the_run_of_those_steps(model: Path) -> None:
    # the chunks up to the first change are those of an ordinary world
    world = adapted(model, SLOW_THEN_QUICK)
    frames = made(world, 8)
    first = world.log.changes[0].chunk
    plain = made(World.open(model, window=1, device="cpu", seed=5), 8)
    border = first * world.frames_per_chunk
    assert same_pixels(frames[:border], plain[:border])
    assert not same_pixels(frames[border:], plain[border:])


@pytest.mark.parametrize("window", [1, 4])
def test_a_snapshot_goes_on_with_the_steps_it_was_taken_with(
    model: Path, tmp_path: Path, window: int
) -> None:
    world = adapted(model, [2.0] * 4, window=window)
    made(world, 9)
    assert world.steps == 4
    world.snapshot().save(tmp_path / "here.safetensors")
    other = adapted(model, [0.4], window=window)
    other.restore(Snapshot.load(tmp_path / "here.safetensors"))
    assert other.steps == 4 and other.log.changes == world.log.changes
    assert same_pixels(made(other, 2), made(world, 2))


def test_the_log_of_a_restored_world_repeats_the_whole_run(model: Path, tmp_path: Path) -> None:
    world = adapted(model, SLOW_THEN_QUICK)
    frames = made(world, 6)
    other = adapted(model, [0.3])
    other.restore(world.snapshot())
    frames += made(other, 3)
    other.log.save(tmp_path / "run.json")
    assert same_pixels(made(World.replay(tmp_path / "run.json"), 9), frames)


def test_the_call_that_fills_the_window_is_longer_and_not_late(model: Path) -> None:
    world = adapted(model, [2.0], window=4)
    late = []
    for _ in range(3):
        world.advance()
        assert world.adaptation is not None
        late.append(world.adaptation.late)
    assert late == [0, 1, 2]


def test_a_rewind_takes_the_step_counts_back(model: Path) -> None:
    world = adapted(model, [2.0])
    made(world, 4)
    assert list(world.log.changes) == [StepChange(3, 4)]
    world.rewind(2)
    assert world.steps == 8 and list(world.log.changes) == []


def test_without_history_a_chunk_that_a_failed_call_began_keeps_its_steps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = adapted(model, [0.4], window=4, history=0)
    wanted = chain((8,), repeat(4))
    monkeypatch.setattr(Deadline, "choose", lambda *_: next(wanted))
    with monkeypatch.context() as patch:
        denoise, calls = EagerExecutor.denoise, count(1)

        def fails(*given: Any) -> Tensor:
            if next(calls) == 3:  # the first stage of two is done
                raise RuntimeError("stopped by the test")
            return denoise(*given)

        patch.setattr(EagerExecutor, "denoise", fails)
        with pytest.raises(RuntimeError):
            world.advance()
    frames = made(world, 2)
    assert {frame.steps for frame in frames[: world.frames_per_chunk]} == {8}
    assert world.steps == 4
    world.log.save(tmp_path / "run.json")
    assert same_pixels(made(World.replay(tmp_path / "run.json"), 2), frames)


def test_a_fork_measures_for_itself(model: Path) -> None:
    world = adapted(model, [2.0])
    made(world, 2)
    twin = world.fork()
    assert twin._deadline is not None and twin._deadline is not world._deadline
    assert twin.adaptation is not None and twin.adaptation.late == 0


def test_frames_and_stats_tell_what_is_done(model: Path) -> None:
    world = adapted(model, [2.0])
    frames = made(world, 5)
    per = world.frames_per_chunk
    assert [frame.steps for frame in frames[::per]] == [8, 8, 8, 4, 4]
    told = world.adaptation
    assert told is not None
    assert (told.steps, told.changes, told.late, told.target_s) == (4, 1, 5, per / 8)
    assert told.allowed[0] == 4 and told.median_s is None
    made(world, 1)
    assert world.adaptation is not None and world.adaptation.median_s == 2.0


def test_an_ordinary_world_says_its_steps_and_logs_nothing_new(tmp_path: Path) -> None:
    world = dummy_world()
    assert {frame.steps for frame in made(world, 2)} == {8}
    assert world.adaptation is None and world.steps == 8
    world.log.save(tmp_path / "run.json")
    card = json.loads((tmp_path / "run.json").read_text())
    assert "changes" not in card and "adapt" not in card["options"]


def test_counts_can_be_chosen_or_bounded(model: Path) -> None:
    def counts(**options: Any) -> tuple[int, ...]:
        told = World.open(model, device="cpu", **options).adaptation
        assert told is not None
        return told.allowed

    assert counts(adapt=(16, 4)) == (4, 16)
    assert counts(adapt=True) == (4, 8, 12, 16, 32, 64)
    assert counts(adapt=True, steps=12) == (4, 8, 12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"adapt": (7,)}, "taught 4, 8, 12"),
        ({"adapt": ()}, "adapt is empty"),
        ({"adapt": "yes"}, "True, False or step counts"),
        ({"adapt": True, "fps": 0}, "0.001 to 1000"),
        ({"fps": 24}, "give adapt=True"),
        ({"adapt": True, "window": 3, "steps": 12}, "use a window of 1, 2 or 4"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(
    model: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        World.open(model, device="cpu", **options)


def test_with_adapt_no_chunk_takes_more_steps_than_were_given() -> None:
    config = PRESETS["4.5B-distill"]
    assert allowed_steps(config, 4, True, 8) == (8,)
    with pytest.raises(OptionError, match=r"within steps=4; give steps=8 or more"):
        allowed_steps(config, 4, True, 4)


def test_a_model_of_one_step_count_is_refused_with_the_reason() -> None:
    with pytest.raises(OptionError, match=r"8 steps .* nothing else.* distilled"):
        dummy_world(adapt=True)


def test_an_ordinary_world_refuses_a_snapshot_of_other_steps(model: Path) -> None:
    world = adapted(model, [2.0])
    made(world, 4)
    with pytest.raises(SnapshotError, match="adapt=True"):
        World.open(model, window=1, device="cpu").restore(world.snapshot())


def test_logged_counts_must_be_in_order() -> None:
    changes = changes_from([{"chunk": 2, "steps": 4}, {"chunk": 5, "steps": 16}])
    assert [steps_at(changes, chunk, 8) for chunk in (0, 1, 2, 4, 5, 9)] == [8, 8, 4, 4, 16, 16]
    for wrong in ([(5, 4), (2, 8)], [(2, 4), (2, 8)]):
        with pytest.raises(SnapshotError, match="not in order"):
            changes_from([{"chunk": chunk, "steps": steps} for chunk, steps in wrong])
    for chunk, steps in ((-1, 4), (2.5, 4), (2, 0), (2, True), (2, "8")):
        with pytest.raises(OptionError, match="must be a whole number"):
            changes_from([{"chunk": chunk, "steps": steps}])


def test_step_counts_that_a_world_may_not_take_are_refused_with_its_log_or_snapshot(
    model: Path, tmp_path: Path
) -> None:
    world = adapted(model, SLOW_THEN_QUICK)
    made(world, 9)
    log, state = world.log, world.snapshot()
    plain = World.open(model, window=1, device="cpu", seed=5)
    with pytest.raises(SnapshotError, match="snapshot took 4 steps, which this world may not"):
        plain.restore(state)
    assert plain.chunks == 0
    for other in ({"adapt": False, "fps": None}, {"adapt": (8, 16)}):
        options = replace(log.options, **other)
        replace(log, options=options).save(tmp_path / "run.json")
        with pytest.raises(SnapshotError, match="log took 4 steps, which this world may not"):
            World.replay(tmp_path / "run.json")


def test_a_call_that_fails_changes_neither_steps_nor_log(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = adapted(model, [2.0])
    made(world, 3)
    executor = world._timeline.machine.executor

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(executor, "decode", fails)
        with pytest.raises(KeyboardInterrupt):
            world.advance()
    assert world.steps == 8 and list(world.log.changes) == []
    made(world, 1)
    assert list(world.log.changes) == [StepChange(3, 4)]
