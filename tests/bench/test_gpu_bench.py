"""The GPU measurement on a miniature and a CPU: complete, in order, and cut without loss."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from magi_rt.backends.compiled import CompiledExecutor
from magi_rt.bench import gpu
from magi_rt.bench.gpu import Case, Plan, bench_gpu, chip_named
from magi_rt.bench.gpu_table import COLUMNS, HEADING, markdown, read_lines
from magi_rt.bench.subject import RandomText, random_networks
from magi_rt.cli.app import app
from magi_rt.errors import OptionError

TINY = Plan(model="tiny", sizes=((32, 32),), windows=(1, 2), device="cpu")


class Uncompiled(RandomText, CompiledExecutor):
    """The compiled executor with a compiler that changes nothing."""


def opened(backend: str, precision: str) -> RandomText:
    config, dit, vae, info = random_networks("tiny", device="cpu", fp8=precision == "fp8")
    if backend == "compiled":
        return Uncompiled(config, dit, vae, None, info, compiler=lambda function: function)
    return RandomText(config, dit, vae, None, info)


def test_every_way_size_and_window_gives_a_line_and_a_summary_comes_last() -> None:
    *cases, summary = bench_gpu(TINY, opened)
    told = [(case["way"], case["precision"], case["window"]) for case in cases]
    assert told == [
        (way, precision, window)
        for precision, ways in (
            ("bf16", ("plain", "eager", "compiled")),
            ("fp8", ("eager", "compiled")),
        )
        for way in ways
        for window in (1, 2)
    ]
    assert all(case["fps"] > 0 and case["first_chunk_ms"] > 0 for case in cases)
    assert all(case["vae_ms"] > 0 for case in cases if case["way"] != "plain")
    assert all("speedup_vs_plain" in case for case in cases if case["way"] != "plain")
    assert summary["bench"] == "gpu" and summary["left_out"] == []


def test_what_does_not_fit_the_budget_is_left_out_by_name() -> None:
    lines = list(bench_gpu(Plan(model="tiny", sizes=((32, 32),), budget_s=-1), opened))
    assert len(lines) == 1
    assert "compiled fp8 32x32 window 4" in lines[0]["left_out"]


def test_a_case_that_fails_does_not_end_the_run() -> None:
    plan = Plan(model="tiny", sizes=((33, 32), (32, 32)), windows=(1,), ways=("eager",))
    wrong, right = [line for line in bench_gpu(plan, opened) if line.get("precision") == "bf16"]
    assert "multiples of" in wrong["failed"] and right["fps"] > 0
    assert [wrong[name] for name in HEADING] == [right[name] for name in HEADING]


def test_fp8_on_a_card_that_emulates_it_has_no_share_of_a_peak_and_ends_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "hardware", lambda _: "NVIDIA A100-SXM4-80GB")
    plan = Plan(model="tiny", sizes=((32, 32),), windows=(1,), ways=("eager",), device="cpu")
    bf16, fp8, summary = bench_gpu(plan, opened)
    assert bf16["roofline_share"] > 0
    assert fp8["fps"] > 0 and fp8["roofline_share"] is None
    assert summary["bench"] == "gpu"


def test_lines_of_two_cards_make_two_tables() -> None:
    line = {
        "model": "nano",
        "steps": 8,
        "torch": "2.13",
        "size": "8x8",
        "window": 1,
        "way": "eager",
    }
    cards = ("NVIDIA H200", "NVIDIA A100", "NVIDIA H200")
    text = markdown([line | {"hardware": card} for card in cards], date(2026, 1, 2))
    tables = text.split("\n\n## ")
    assert [table.count("| eager |") for table in tables] == [2, 1]
    assert "H200" in tables[0] and "A100" in tables[1] and "H200" not in tables[1]


def test_peak_memory_is_what_pytorch_held_so_that_graphs_are_not_flattered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 3 * 2**30)
    assert gpu._peak_gib("cuda:0") == 3.0


def test_the_published_run_compares_all_ways_at_three_sizes() -> None:
    cases = Plan().cases()
    assert len(cases) == 3 * 2 * (3 + 2)
    assert cases[0] == Case("plain", "bf16", (256, 256), 1)


@pytest.mark.parametrize("field", ["ways", "precisions"])
def test_an_unknown_way_or_precision_is_refused(field: str) -> None:
    with pytest.raises(OptionError, match="'quick' is unknown"):
        Plan(**{field: ("quick",)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "chip"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("AMD EPYC", None),
    ],
)
def test_a_drivers_name_finds_its_chip(told: str, chip: str | None) -> None:
    found = chip_named(told)
    assert (found.name if found else None) == chip


def test_the_command_writes_lines_as_they_come_and_renders_them(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    ran = CliRunner().invoke(
        app,
        ["bench", "gpu", "--model", "tiny", "--device", "cpu", "--size", "32x32", "--window", "1",
         "--backend", "plain", "--backend", "eager", "--precision", "bf16", "--out", str(out)],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["bench"] for line in lines] == ["gpu case", "gpu case", "gpu"]
    shown = CliRunner().invoke(app, ["bench", "gpu", "--table", str(out)])
    assert shown.exit_code == 0, shown.output
    heading, _, names, _, *rows = shown.output.splitlines()
    assert heading.startswith("## 2") and "tiny" in heading
    assert names.count("|") == len(COLUMNS) + 1
    assert [row.split(" | ")[2] for row in rows] == ["plain", "eager"]


def test_a_line_that_was_cut_does_not_spoil_the_table(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    case = {"bench": "gpu case", "size": "256x256", "window": 4, "way": "eager",
            "precision": "fp8", "failed": "CUDA out of memory | 3 GiB"}  # fmt: skip
    path.write_text(json.dumps(case) + '\n{"bench": "gpu ca', encoding="utf-8")
    text = markdown(read_lines(path), date(2026, 1, 2))
    assert text.startswith("## 2026-01-02") and "failed: CUDA out of memory / 3 GiB" in text


def test_a_file_without_cases_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(OptionError, match="magi-rt bench gpu"):
        read_lines(path)
