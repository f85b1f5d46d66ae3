"""`magi-rt bench page`: the demo's page, from the key press to the picture."""

from __future__ import annotations

from typing import Annotated

import typer

from magi_rt.cli.bench_progress import Quiet, progress

_STEPS = 1000

Model = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME|DIR", help="nano, dummy or a model folder.")
]
Prompts = Annotated[int, typer.Option(metavar="N", min=1, help="Prompts that are typed.")]
Minutes = Annotated[
    float,
    typer.Option(
        metavar="M", min=0.0, help="How long the page runs afterwards while its memory is read."
    ),
]


def bench_page_command(
    model: Model = "nano", prompts: Prompts = 40, minutes: Minutes = 0.0, quiet: Quiet = False
) -> None:
    """From a typed prompt to the first picture that shows it, and what the page adds to it.

    Needs Chromium, and Playwright of the extra `bench`. The world, its server and the browser share
    this machine, as they do when you open the demo.

    [bold]Example[/bold]

      magi-rt bench page --minutes 30
    """
    from magi_rt.bench.page import bench_page
    from magi_rt.bench.report import json_line, table

    with progress(_STEPS, quiet) as move:
        found = bench_page(
            model, prompts=prompts, minutes=minutes, tell=lambda share: move(round(_STEPS * share))
        )
    if not quiet:
        from rich.console import Console

        Console().print(table(found))
    typer.echo(json_line(found))
