"""Folders of golden cases: what passes, what fails with which sentence, what is not known."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from magi_rt.cli.app import app
from magi_rt.errors import BackendError, CheckpointError, OptionError
from magi_rt.verify import golden_model
from magi_rt.verify.dit_cases import forward
from magi_rt.verify.golden_model import FLOAT32, golden_executor
from magi_rt.verify.goldens import Check, GoldenCase, relative_error
from magi_rt.verify.kinds import KINDS
from magi_rt.verify.run import CaseResult, Report, run_folder

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
CASES = sorted(path.stem for path in GOLDENS.glob("*.json") if not path.stem.startswith("weights_"))
QUICK = ("dit_forward_r1_nocache", "cfg_scales", "fp8_per_tensor_linear", "weights_fam45")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder with three quick cases and their weights, to be damaged at will."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in QUICK:
        copy(name, folder)
    return folder


def copy(name: str, folder: Path, new: str | None = None) -> None:
    """A case under its own or another name."""
    card = json.loads((GOLDENS / f"{name}.json").read_text())
    new = card["case"] = new or name
    (folder / f"{new}.json").write_text(json.dumps(card))
    if (GOLDENS / f"{name}.safetensors").exists():
        shutil.copy(GOLDENS / f"{name}.safetensors", folder / f"{new}.safetensors")


def edit_card(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def edit_tensors(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def problem_of(report: Report, case: str) -> str:
    return next(each.problem for each in report.results if each.case == case)


@pytest.fixture(scope="module")
def all_cases() -> Report:
    """The one run of all cases that the tests below read from."""
    return run_folder(GOLDENS)


@pytest.mark.parametrize("name", CASES)
def test_the_golden_case_reproduces(all_cases: Report, name: str) -> None:
    (result,) = [each for each in all_cases.results if each.case == name]
    assert result.checks and result.problem == ""
    assert [check for check in result.checks if not check.passed] == []


def test_every_case_of_every_kind_is_run(all_cases: Report) -> None:
    assert all_cases.passed and all_cases.unknown == ()
    assert sorted(each.case for each in all_cases.results) == CASES
    assert {each.kind for each in all_cases.results} == {kind.prefix for kind in KINDS}
    families = Counter(name.split("_")[0] for name in CASES)
    assert families["vae"] == 17
    assert sum(families[name] for name in ("schedule", "cfg", "walk")) == 30
    assert families.total() == 82


# Failures, each with a sentence


def test_one_wrong_number_fails_its_case_and_no_other(few: Path) -> None:
    def corrupt(tensors: dict[str, Tensor]) -> None:
        tensors["out"][0, 3, 1, 2, 1] += 0.01

    edit_tensors(few / "dit_forward_r1_nocache.safetensors", corrupt)
    report = run_folder(few)
    assert [each.case for each in report.failed] == ["dit_forward_r1_nocache"]
    worst = report.failed[0].worst
    assert worst is not None and worst.name == "out" and worst.error > worst.tolerance
    assert CliRunner().invoke(app, ["verify", str(few)]).exit_code == 1


def test_a_number_that_is_none_fails(few: Path) -> None:
    def corrupt(tensors: dict[str, Tensor]) -> None:
        tensors["x"][0, 0, 0, 0, 0] = float("nan")

    edit_tensors(few / "dit_forward_r1_nocache.safetensors", corrupt)
    assert [each.case for each in run_folder(few).failed] == ["dit_forward_r1_nocache"]


def test_missing_weights_are_named(few: Path) -> None:
    (few / "weights_fam45.json").unlink()
    said = problem_of(run_folder(few), "dit_forward_r1_nocache")
    assert "'weights_fam45'" in said and "not in few/" in said


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "cannot be read"),
        (lambda path: edit_tensors(path, lambda tensors: tensors.pop("mask")), "lacks the tensor"),
        (
            lambda path: edit_tensors(path, lambda t: t.update(t=torch.zeros(2))),
            "'t' in dit_forward_r1_nocache.safetensors has shape [2]",
        ),
        (
            lambda path: edit_card(path.with_suffix(".json"), lambda c: c["tensors"].pop("x")),
            "the manifest lacks x",
        ),
        (
            lambda path: edit_card(
                path.with_suffix(".json"), lambda c: c["meta"].update(tokens_per_chunk=7)
            ),
            "Error",
        ),
        (lambda path: path.with_suffix(".json").write_text('{"case": '), "not a golden manifest"),
    ],
)
def test_a_damaged_case_fails_with_a_sentence_and_the_others_go_on(
    few: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(few / "dit_forward_r1_nocache.safetensors")
    report = run_folder(few)
    assert [each.case for each in report.failed] == ["dit_forward_r1_nocache"]
    assert says in problem_of(report, "dit_forward_r1_nocache")
    assert "\n" not in problem_of(report, "dit_forward_r1_nocache")
    assert len(report.results) == 3


# Names and kinds


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("dit_forward_24B_r1", "dit_forward_"),
        ("fp8_per_channel_linear", "fp8_"),
        ("block_timestep", "block_timestep"),
        ("block_caption_embedder", "block_caption_embedder"),
        ("vae_tiled_encode_image", "vae_tiled_encode"),
        ("vae_decode_single_latent", "vae_decode"),
        ("vae_encode_single_frame", "vae_encode"),
        ("prompt_no_tokens", "prompt_"),
        ("cfg_dispatch_distill_plain", "cfg_dispatch_"),
        ("schedule_sequences", "schedule_sequences"),
    ],
)
@pytest.mark.parametrize("name", ["{kind}_h17_other", "case_3"])
def test_a_kind_is_known_under_other_names(tmp_path: Path, case: str, kind: str, name: str) -> None:
    weights = json.loads((GOLDENS / f"{case}.json").read_text())["weights"]
    if weights:
        copy(weights, tmp_path)
    copy(case, tmp_path, new=name.format(kind=kind))
    report = run_folder(tmp_path)
    assert report.passed
    assert [each.kind for each in report.results] == [kind]


def test_an_unknown_kind_is_named_and_neither_passes_nor_fails(few: Path) -> None:
    card: dict[str, Any] = {"case": "hologram_3", "weights": None, "meta": {}, "tensors": {}}
    (few / "hologram_3.json").write_text(json.dumps(card))
    report = run_folder(few)
    assert [each.case for each in report.unknown] == ["hologram_3"]
    assert report.passed
    shown = CliRunner().invoke(app, ["verify", str(few)])
    assert shown.exit_code == 0 and "hologram_3" in shown.stdout


def test_only_the_cases_that_are_asked_for_run(few: Path) -> None:
    assert [each.case for each in run_folder(few, only="scales").results] == ["cfg_scales"]
    assert [each.case for each in run_folder(few, only="*_linear").results] == [
        "fp8_per_tensor_linear"
    ]
    with pytest.raises(CheckpointError, match="named like 'walk'"):
        run_folder(few, only="walk")
    with pytest.raises(CheckpointError, match="holds weights but no case"):
        run_folder(few, only="weights_*")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"backend": "abacus"}, BackendError, "'abacus'"),
        ({"dtype": "int3"}, OptionError, "'int3'"),
        ({"device": "tpu:0"}, BackendError, "'tpu:0'"),
    ],
)
def test_what_cannot_compute_is_refused(
    few: Path, options: dict[str, str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        run_folder(few, **options)  # type: ignore[arg-type]


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no golden case"):
        run_folder(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        run_folder(tmp_path / "none")


# How it computes


def test_in_bfloat16_the_cases_are_held_to_its_rounding_noise() -> None:
    results = run_folder(GOLDENS, dtype="bfloat16", only="dit_forward_r*").results
    errors = [check.error for result in results for check in result.checks]
    assert all(result.passed for result in results)
    assert max(errors) > 1e-3  # it was bfloat16


def test_the_number_of_threads_does_not_matter() -> None:
    case = GoldenCase.read(GOLDENS / "dit_forward_r1_nocache.json")
    threads, outs = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            outs.append(forward(golden_executor(case, FLOAT32), case))
    finally:
        torch.set_num_threads(threads)
    assert relative_error(*outs) < 2e-6


def test_the_weights_of_a_case_are_let_go_before_the_next(
    few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy("dit_forward_distill16", few)
    opened: list[weakref.ref[object]] = []
    made = golden_model.EXECUTORS["eager"]

    def watched(*arguments: Any) -> Any:
        executor = made(*arguments)
        opened.append(weakref.ref(executor.dit))
        return executor

    def told(result: CaseResult) -> None:
        gc.collect()
        assert [each() for each in opened if each() is not None] == []

    monkeypatch.setitem(golden_model.EXECUTORS, "eager", watched)
    run_folder(few, only="dit_forward", told=told)
    assert len(opened) == 2


def test_the_worst_comparison_is_the_one_nearest_to_its_tolerance() -> None:
    near, far = Check("near", 0.9e-4, 1e-4), Check("far", 0.5, 1.0)
    exact, failed = Check("exact", 0.0, 0.0), Check("failed", float("nan"), 1.0)
    assert CaseResult("a", "a", (far, near, exact)).worst is near
    assert CaseResult("a", "a", (far, failed, near)).worst is failed
    assert CaseResult("a", "a").worst is None and not CaseResult("a", "a").passed
