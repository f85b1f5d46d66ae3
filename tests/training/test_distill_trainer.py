"""A distillation survives being killed, and its export is a world."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.trained_on import TRAINED_ON, trained_on
from magi_rt.config import MagiConfig
from magi_rt.errors import OptionError
from magi_rt.planner.steps import taught_steps
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.training.distill_folders import Source, distilled_config
from magi_rt.training.distill_trainer import Distillation, train_distill
from magi_rt.training.dit_trainer import train_dit
from magi_rt.training.loop import Outcome, read_log
from magi_rt.world import World
from tests.support import small_config, write_model
from tests.training.distill_kit import CHUNKS, ready_shards, small_teacher

CLIPS = {"chunks": CHUNKS, "still": 1}
PLAN = {"warmup": 1, "log_every": 1, "evaluate_every": 4, "save_every_s": 0.0}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_teacher(tmp_path_factory.mktemp("teacher") / "model")


def distil(run: Path, teacher: Path, **options: Any) -> Outcome:
    if not run.exists():
        ready_shards(run, teacher, CLIPS)
    settings: dict[str, Any] = {
        "steps": 6,
        "batch": 3,
        "plan": PLAN,
        "clips": CLIPS,
    }
    return train_distill(run, teacher, **(settings | options))


def curve(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(run)]


@pytest.fixture(scope="module")
def finished(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("distill") / "whole"
    assert distil(run, teacher).finished
    return run


def test_a_killed_distillation_goes_on_exactly_as_if_it_had_not_been(
    teacher: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole = tmp_path / "killed", Distillation.loss

    def dies(self: Distillation, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        if step == 3:
            raise KeyboardInterrupt
        return whole(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Distillation, "loss", dies)
        with pytest.raises(KeyboardInterrupt):
            distil(run, teacher)
    assert distil(run, teacher).finished
    assert curve(run) == curve(finished)
    for name, value in load_file(finished / "checkpoint.safetensors").items():
        assert torch.equal(load_file(run / "checkpoint.safetensors")[name], value), name


def test_openings_are_lessons_too_and_another_number_of_them_is_another_run(
    teacher: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert distil(run, teacher, openings=5).finished
    assert all("openings" in line for line in curve(run) if "rate" in line)
    with pytest.raises(OptionError, match="openings"):
        distil(run, teacher, openings=4)


def test_a_student_may_take_after_an_earlier_one(
    teacher: Path, finished: Path, tmp_path: Path
) -> None:
    """Distilled again from the same teacher at a rate of nothing it is the earlier one."""
    earlier = finished / "export"
    distil(tmp_path / "again", teacher, like=(teacher, earlier), steps=1, rate=1e-12)
    old, new = (load_denoiser(resolve(at)) for at in (earlier, tmp_path / "again" / "export"))
    fresh = load_denoiser(resolve(teacher))
    for name, parameter in new.named_parameters():
        torch.testing.assert_close(parameter, old.get_parameter(name), rtol=1e-2, atol=1e-4)
    assert any(not torch.equal(p, fresh.get_parameter(n)) for n, p in old.named_parameters())


def test_an_evaluation_says_how_far_the_ends_are_from_the_teachers(finished: Path) -> None:
    last = curve(finished)[-1]
    assert {"apart_16", "apart_8", "apart_4", "teacher_8", "held_out_teacher"} <= set(last)


@pytest.mark.parametrize("steps", [64, 32, 16, 12, 8, 4])
def test_the_export_opens_as_a_distilled_world_at_every_step_count(
    finished: Path, steps: int
) -> None:
    with World.open(finished / "export", steps=steps, device="cpu") as world:
        frames = [*world.advance("a red ball"), *world.advance()]
    assert len(frames) == 16


def test_the_export_has_its_own_denoiser_and_all_else_of_its_teacher(
    teacher: Path, finished: Path
) -> None:
    config = MagiConfig.from_file(finished / "export" / "config.json")
    assert (config.engine.distill, config.runtime.cfg_number) == (True, 1)
    assert (config.runtime.num_steps, config.runtime.window_size) == (8, 1)
    assert config.runtime.shortest_steps == 4
    for part in ("vae", "t5/t5-v1_1-xxl"):
        for file in (teacher / part).iterdir():
            same = (finished / "export" / part / file.name).read_bytes() == file.read_bytes()
            assert same or file.suffix == ".json"


def test_a_student_learns_from_what_its_teacher_was_trained_on_and_says_so(
    teacher: Path, finished: Path, tmp_path: Path
) -> None:
    assert trained_on(resolve(finished / "export")) == "toybox"  # its teacher tells nothing
    other = shutil.copytree(teacher, tmp_path / "teacher")
    (other / TRAINED_ON).write_text('{"data": "calm-toybox"}')
    assert Source.open(other).recipe(1).data == "calm-toybox"
    assert Source.open(other).recipe(1, data="clips").data == "clips"


def test_a_program_that_a_model_folder_names_is_not_run_unasked(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "world.py").write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()")
    other = shutil.copytree(teacher, tmp_path / "teacher")
    (other / TRAINED_ON).write_text('{"data": "world.py:Mine"}')
    into = tmp_path / "runs"
    with pytest.raises(OptionError, match=r"a program, which runs only .* --data world\.py:Mine"):
        train_distill(into, other, steps=1, batch=1)
    with pytest.raises(OptionError, match=r"a program, which runs only .* --data world\.py:Mine"):
        train_dit(into, start=other, steps=1, batch=1)
    (other / TRAINED_ON).write_text('{"data": "clips-of-mine"}')
    with pytest.raises(OptionError, match=r"no folder here .* --data clips-of-mine"):
        train_distill(into, other, steps=1, batch=1)
    assert not ran.exists() and not into.exists()
    with pytest.raises(OptionError, match="no class 'Mine'"):
        train_distill(into, other, steps=1, batch=1, clips={"data": "world.py:Mine"})
    assert ran.exists() and not into.exists(), "asked for, it runs"


@pytest.mark.parametrize("shortest", [4, 8])
def test_the_export_says_the_fewest_steps_it_was_taught_and_is_offered_no_fewer(
    shortest: int,
) -> None:
    config = distilled_config(small_config(window_size=1), shortest)
    assert MagiConfig.from_dict(config.to_dict()).runtime.shortest_steps == shortest
    assert taught_steps(config)[0] == shortest


def test_no_chunk_of_a_student_is_run_once_more_without_history() -> None:
    sampler = SamplerConfig.from_config(distilled_config(small_config(window_size=1), 4))
    for time in sampler.times[:-1]:
        assert sampler.guidance.weights([time])[0].alone == 0


def test_a_distilled_model_is_not_distilled_again(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", small_config(distill=True))
    with pytest.raises(OptionError, match=r"cfg_number 1.*guided model it came from"):
        train_distill(tmp_path / "run", model, steps=1)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_only_with_the_same_teacher(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    other = write_model(
        tmp_path / "other", small_config(window_size=1, num_steps=16), seed=5, text=True
    )
    with pytest.raises(OptionError, match="teacher"):
        distil(run, other)
