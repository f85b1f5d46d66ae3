"""`magi-rt bench backends`: executors of one model side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from magi_rt.cli.bench_progress import Quiet, progress


def bench_backends_command(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|DIR", help="nano, or a model folder.")
    ] = "nano",
    way: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BACKEND/DTYPE",
            help="openvino/bfloat16 for one; may be given several times. If left out, all "
            "that are installed.",
        ),
    ] = None,
    chunks: Annotated[int, typer.Option(metavar="N", min=8, help="Chunks in every round.")] = 100,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Turns of every way.")] = 3,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of the processor; 0 is PyTorch's own choice.")
    ] = 0,
    quiet: Quiet = False,
) -> None:
    """Frames per second of every executor, and how far its pictures are from eager's.

    Each runs in a process of its own, in turns, because thread pools disturb each other; ratios are
    to eager float32 in the same round. The first opening of a model on a machine converts it.

    [bold]Example[/bold]

      magi-rt bench backends --way openvino/bfloat16
    """
    from magi_rt.bench.backends import REFERENCE, WAYS, bench_backends
    from magi_rt.bench.report import json_line, ways_table

    turns = rounds * len({REFERENCE, *(way or WAYS)})
    with progress(turns, quiet) as tell:
        numbers = bench_backends(
            model, ways=way, chunks=chunks, rounds=rounds, threads=threads, tell=tell
        )
    if not quiet:
        from rich.console import Console

        Console().print(ways_table(f"{model}, {chunks} chunks", numbers["ways"]))
    typer.echo(json_line(numbers))
