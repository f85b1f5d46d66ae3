"""`magi-rt bench stream`: pictures on their way, and what a server promises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.bench_progress import Quiet, progress
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.bench.measure import Numbers

PARTS = ("transport", "flush", "kill", "soak")
_STEPS = 1000

Part = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PART]...", help=f"Any of {', '.join(PARTS)}; all if left out."),
]
Rounds = Annotated[int, typer.Option(metavar="N", min=1, help="Of the transport, in turn.")]
Seconds = Annotated[float, typer.Option(metavar="S", min=0.5, help="Of each such measurement.")]
SlowSeconds = Annotated[
    float, typer.Option(metavar="S", min=1.0, help="How long readers are slow or stopped.")
]
Trials = Annotated[int, typer.Option(metavar="N", min=1, help="Prompts with flush.")]
Kills = Annotated[int, typer.Option(metavar="N", min=1, help="Times the server is killed.")]
SoakSeconds = Annotated[float, typer.Option(metavar="S", min=10.0, help="Of the soak.")]


def bench_stream_command(
    parts: Part = None,
    rounds: Rounds = 4,
    seconds: Seconds = 3.0,
    slow_seconds: SlowSeconds = 10.0,
    trials: Trials = 200,
    kills: Kills = 3,
    soak_seconds: SoakSeconds = 600.0,
    quiet: Quiet = False,
) -> None:
    """Speed and latency beside imagezmq and NetGear, slow readers, flush, kill -9, long life.

    Rivals come with the extra `bench`; those that are not installed are left out, and the numbers
    say so. Everything runs on this machine, senders and readers in processes of their own.

    [bold]Examples[/bold]

      magi-rt bench stream transport --rounds 6

      magi-rt bench stream soak --soak-seconds 3600
    """
    chosen = parts or list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise OptionError(f"part is {unknown[0]!r}; take any of {', '.join(PARTS)}", field="part")
    from magi_rt.bench.report import json_line
    from magi_rt.bench.stream_server import bench_flush, bench_kill, bench_soak
    from magi_rt.bench.stream_transport import bench_transport

    measures: dict[str, Callable[[Callable[[float], None]], Numbers]] = {
        "transport": lambda tell: bench_transport(
            rounds=rounds, seconds=seconds, slow_s=slow_seconds, tell=tell
        ),
        "flush": lambda tell: bench_flush(trials=trials, tell=tell),
        "kill": lambda tell: bench_kill(trials=kills, tell=tell),
        "soak": lambda tell: bench_soak(seconds=soak_seconds, tell=tell),
    }
    found: Numbers = {}
    for part in chosen:
        with progress(_STEPS, quiet) as move:
            found[part] = measures[part](partial(_move, move))
        if not quiet:
            _print(part, found[part])
    typer.echo(json_line({"bench": "stream", **found}))


def _move(move: Callable[[int], None], share: float) -> None:
    move(round(_STEPS * share))


def _print(part: str, numbers: Numbers) -> None:
    """A table for each stage with a row for each way, and one for the single numbers."""
    from rich.console import Console
    from rich.markup import escape

    from magi_rt.bench.report import table, ways_table

    console = Console()
    single = {}
    for name, value in numbers.items():
        if not isinstance(value, dict):
            single[name] = value
        elif all(isinstance(each, dict) for each in value.values()):
            console.print(ways_table(name, value))
        else:
            single |= value
    if part == "transport" and (missing := numbers["not_installed"]):
        console.print(escape(f"Not installed, so not measured: {', '.join(missing)}."))
    console.print(table(single))
