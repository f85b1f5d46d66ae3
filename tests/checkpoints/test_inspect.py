"""A report says what a folder holds and what is wrong, and never raises."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magi_rt.backends.eager import EagerExecutor
from magi_rt.checkpoints.inspect import inspect
from magi_rt.errors import CheckpointError
from magi_rt.models.special_tokens import SPECIAL_ROWS
from magi_rt.models.tokenizer import TOKENIZER_FILES
from tests.support import small_config, write_model

T5 = Path("t5", "t5-v1_1-xxl")


def test_a_complete_folder_has_no_problems(talking_model: Path) -> None:
    report = inspect(talking_model)
    assert report.ok
    assert (report.family, report.variant) == ("4.5B type", "base")
    denoiser, vae, text, tokens = report.parts
    assert denoiser.tensors == 92
    assert dict(denoiser.dtypes) == {"F32": denoiser.parameters}
    assert vae.parameters > 0
    assert text.tensors > 0
    assert tokens.path is None
    assert "special_tokens.npz" in report.remarks[0]


def test_family_and_variant_follow_from_the_structure(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", small_config("24B", distill=True, fp8=True))
    report = inspect(folder)
    assert (report.family, report.variant) == ("24B type", "distill, 8-bit")
    assert "F8_E4M3" in dict(report.parts[0].dtypes)


def test_a_missing_text_encoder_is_a_remark_and_no_problem(model_folder: Path) -> None:
    report = inspect(model_folder)
    assert report.ok
    assert any("t5-v1_1-xxl" in remark for remark in report.remarks)


def test_every_broken_part_is_listed_at_once(model_folder: Path) -> None:
    weights = model_folder / "inference_weight" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    (model_folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    problems = inspect(model_folder).problems
    assert len(problems) == 2
    assert "cut short" in problems[0]
    assert "diffusion_pytorch_model.safetensors does not exist" in problems[1]


def test_an_auto_encoder_of_another_size_is_a_problem(model_folder: Path) -> None:
    path = model_folder / "vae" / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["ddconfig"]["depth"] = 2
    path.write_text(json.dumps(data), encoding="utf-8")
    (problem,) = inspect(model_folder).problems
    assert "blocks.1" in problem


def test_weights_of_another_configuration_are_a_problem(model_folder: Path) -> None:
    path = model_folder / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model_config"]["ffn_hidden_size"] = 128
    path.write_text(json.dumps(data), encoding="utf-8")
    report = inspect(model_folder)
    assert not report.ok
    assert "another shape" in report.problems[0]
    assert report.parts[0].tensors == 92


def _pickled(folder: Path) -> None:
    (folder / T5 / "model.safetensors").rename(folder / T5 / "pytorch_model.bin")


def _without_tokenizer(folder: Path) -> None:
    for name in TOKENIZER_FILES:
        (folder / T5 / name).unlink(missing_ok=True)


def _another_width(folder: Path) -> None:
    path = folder / T5 / "config.json"
    path.write_text(path.read_text("utf-8").replace('"d_model": 32', '"d_model": 16'), "utf-8")


def _tokens_of(width: int) -> Callable[[Path], None]:
    rows: dict[str, Any] = {name: np.zeros((count, width)) for name, count in SPECIAL_ROWS.items()}
    return lambda folder: np.savez(folder / "special_tokens.npz", **rows)


@pytest.mark.parametrize(
    ("damage", "opens"),
    [
        (lambda folder: None, True),
        (lambda folder: shutil.rmtree(folder / T5), True),
        (lambda folder: (folder / T5 / "config.json").unlink(), True),
        (_tokens_of(32), True),
        (_tokens_of(31), False),
        (lambda folder: (folder / "special_tokens.npz").write_bytes(b"junk"), False),
        (lambda folder: (folder / T5 / "config.json").write_text("{"), False),
        (_pickled, False),
        (_without_tokenizer, False),
        (_another_width, False),
    ],
)
def test_what_inspect_calls_fine_opens(
    talking_model: Path, tmp_path: Path, damage: Callable[[Path], None], opens: bool
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(talking_model, folder)
    damage(folder)
    assert inspect(folder).ok is opens
    try:
        EagerExecutor.open(folder, device="cpu")
    except CheckpointError as error:
        assert not opens and error.message in inspect(folder).problems
    else:
        assert opens


@pytest.mark.parametrize(
    "model", ["nowhere", "4.5B-base", "", "~nobody-here/m", "x" * 5000, "a\0b"]
)
def test_what_cannot_be_opened_becomes_a_sentence(model: str) -> None:
    report = inspect(model)
    assert not report.ok
    assert report.parts == ()


def test_a_report_is_plain_data(talking_model: Path) -> None:
    report = inspect(talking_model)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True
    table = report.to_table()
    assert [row[0] for row in table] == [
        "denoiser",
        "auto-encoder",
        "text encoder",
        "special tokens",
    ]
    assert table[3][1] == "missing"
    assert all(len(row) == 5 for row in table)
