"""`magi-rt verify`: does this machine compute what the reference computed?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.consoles import for_tables, without_bar

if TYPE_CHECKING:
    from magi_rt.verify.run import CaseResult, Report, Row

FAILED = 1
"""Exit code when a case fails, or when there was none that could be computed."""

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder of golden cases: .json with .safetensors.")
]
Backend = Annotated[
    str, typer.Option(metavar="NAME", help="What computes whole networks and runs of them.")
]
Dtype = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="float32, or bfloat16, which is held to its own rounding noise."
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N.")]
Only = Annotated[
    str, typer.Option(metavar="NAME", help="Only cases named like this: walk, or *_24*.")
]
Every = Annotated[
    bool, typer.Option("--all", help="One row per comparison instead of the worst of each case.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def verify(
    folder: Folder,
    backend: Backend = "eager",
    dtype: Dtype = "float32",
    device: Device = "cpu",
    only: Only = "*",
    every: Every = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check that this machine computes what it should, by the golden cases of a folder.

    A golden case is small random weights, inputs, and the outputs of the published definition.

    Prints case, error, tolerance and pass. The exit code is 1 when a case fails; cases of
    kinds that this version does not know are named, and neither pass nor fail.

    [bold]Examples[/bold]

      magi-rt verify goldens

      magi-rt verify goldens --dtype bfloat16 --device cuda --only walk
    """
    from magi_rt.verify.run import manifests, run_folder

    total = len(manifests(folder, only))
    with _progress(total, quiet) as told:
        report = run_folder(folder, backend, dtype, device=device, only=only, told=told)
    if as_json:
        typer.echo(json.dumps(as_object(report), ensure_ascii=False))
    else:
        _print(report, every)
    if not report.passed:
        raise typer.Exit(FAILED)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[CaseResult], None]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=without_bar(quiet)) as bar:
        task = bar.add_task("verifying", total=total)

        def told(result: CaseResult) -> None:
            bar.update(task, advance=1, description=escape(result.case))

        yield told


def as_object(report: Report) -> dict[str, object]:
    """The report as JSON values; an error that is no number is null."""
    rows = [
        {
            "case": row.case,
            "what": row.what,
            "error": None if math.isnan(row.error) else row.error,
            "tolerance": row.tolerance,
            "passed": row.passed,
        }
        for row in report.rows
    ]
    return {
        "passed": report.passed,
        "cases": len(report.results),
        "failed": [result.case for result in report.failed],
        "unknown": [result.case for result in report.unknown],
        "rows": rows,
    }


def rows_to_show(report: Report, every: bool) -> list[Row]:
    """All rows, or of every case the one nearest to its tolerance or farthest beyond it."""
    from magi_rt.verify.run import Row

    if every:
        return report.rows
    shown = []
    for result in report.results:
        worst = result.worst
        if result.known and (result.problem or worst is None):
            words = result.problem or "nothing was compared"
            shown.append(Row(result.case, words, float("nan"), 0.0, False))
        elif worst is not None:
            shown.append(Row(result.case, worst.name, worst.error, worst.tolerance, worst.passed))
    return shown


def _print(report: Report, every: bool) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("case", overflow="fold")
    table.add_column("nearest to its tolerance" if not every else "compared", overflow="fold")
    for name in ("error", "tolerance"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("pass", no_wrap=True)
    for row in rows_to_show(report, every):
        counted = not math.isnan(row.error)
        numbers = [f"{row.error:.2e}", f"{row.tolerance:.0e}"] if counted else ["", ""]
        verdict = "[green]yes[/]" if row.passed else "[bold red]NO[/]"
        table.add_row(escape(row.case), escape(row.what), *numbers, verdict)
    console = for_tables()
    console.print(table)
    known = [result for result in report.results if result.known]
    good = len(known) - len(report.failed)
    seconds = sum(result.seconds for result in report.results)
    console.print(f"{good} of {len(known)} cases pass, in {seconds:.1f} s")
    if report.failed:
        console.print(escape("failed: " + ", ".join(result.case for result in report.failed)))
    if report.unknown:
        names = ", ".join(result.case for result in report.unknown)
        console.print(escape(f"of kinds that this version does not know: {names}"))
