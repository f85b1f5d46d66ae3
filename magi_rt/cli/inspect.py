"""`magi-rt inspect`: what a model folder holds, and what keeps it from being opened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.consoles import for_tables
from magi_rt.cli.refusals import BAD_INPUT, refuse

if TYPE_CHECKING:
    from magi_rt.checkpoints.inspect import Report

Model = Annotated[
    str,
    typer.Argument(metavar="NAME|DIR", help="A built-in world, or a model folder."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Tell family, variant, sizes and number formats of a model, and what is missing.

    Reads configurations and file headers only, so it is quick at any size. The exit code is
    2 when something keeps the model from being opened.

    [bold]Examples[/bold]

      magi-rt inspect nano

      magi-rt inspect ~/models/4.5B-base --json
    """
    from magi_rt.checkpoints.inspect import inspect as look_at

    report = look_at(model)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    elif report.parts:
        _print(report)
    for problem in report.problems:
        refuse(problem)
    if not report.ok:
        raise typer.Exit(BAD_INPUT)


def _print(report: Report) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    console = for_tables()
    facts = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("folder", report.folder),
        ("family", report.family),
        ("variant", report.variant),
        *report.facts,
    ):
        facts.add_row(name, escape(value))
    console.print(facts)
    parts = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("part", "place", "size", "numbers", "formats"):
        parts.add_column(heading, overflow="fold", no_wrap=heading == "part")
    for row in report.to_table():
        parts.add_row(*map(escape, row))
    console.print(parts)
    for remark in report.remarks:
        console.print(f"note: {escape(remark)}")
