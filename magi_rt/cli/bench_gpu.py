"""`magi-rt bench gpu`: the published shapes on a GPU, and the table of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench_gpu_command(
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="NAME", help="A shape: 4.5B-distill, nano, tiny."),
    ] = "4.5B-distill",
    size: Annotated[
        list[str] | None, typer.Option(metavar="HxW", help="Picture size; may be given again.")
    ] = None,
    window: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Chunks in flight; may be given again.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="plain, eager or compiled; may be given again."),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="bf16 or fp8; may be given again.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Denoising steps of a chunk.")] = 8,
    device: Annotated[str, typer.Option(metavar="NAME", help="cuda, cuda:N or cpu.")] = "cuda",
    budget: Annotated[
        float, typer.Option(metavar="S", min=1, help="No case is begun after so many seconds.")
    ] = 540,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines are appended here as they come.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measure nothing; print a file of lines as Markdown."),
    ] = None,
) -> None:
    """Speed of a published shape with random weights, per size, window, executor and precision.

    One line of JSON per case, as it comes; the last line is a summary. The whole run is sized to
    end within ten minutes on a data-centre GPU, and a cut run leaves the lines it had.

    [bold]Examples[/bold]

      magi-rt bench gpu --out results.jsonl

      magi-rt bench gpu --table results.jsonl
    """
    if table is not None:
        from datetime import datetime

        from magi_rt.bench.gpu_table import markdown, read_lines

        day = datetime.fromtimestamp(table.stat().st_mtime).date() if table.exists() else None
        typer.echo(markdown(read_lines(table), day or datetime.now().date()))
        return
    from magi_rt.bench.gpu import FORMATS, WAYS, Plan, bench_gpu
    from magi_rt.bench.report import json_line
    from magi_rt.cli.run_plan import parse_size

    defaults = Plan()
    plan = Plan(
        model=model, device=device, steps=steps, budget_s=budget,
        sizes=tuple(parse_size(each) for each in size) if size else defaults.sizes,
        windows=tuple(window) if window else defaults.windows,
        ways=tuple(backend) if backend else WAYS,
        precisions=tuple(precision) if precision else FORMATS,
    )  # fmt: skip
    for numbers in bench_gpu(plan):
        line = json_line(numbers)
        typer.echo(line)
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
