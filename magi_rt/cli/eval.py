"""`magi-rt eval`: does a world obey its prompts, and does it last?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.consoles import without_bar
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.evaluation.opened import OpenedModel
    from magi_rt.evaluation.report import Evaluation

BELOW = 1
"""Exit code when the share asked for with --require was not reached."""
LONGEST_S = 3600.0
SHORTEST_S = 3.0
TRIALS_LIMIT = 10_000

Tell = Callable[[str], None]

Model = Annotated[
    str, typer.Argument(metavar="[NAME|DIR]", help="A built-in world, or a model folder.")
]
Trials = Annotated[int, typer.Option(metavar="N", min=1, max=TRIALS_LIMIT, help="Steering trials.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Trials, scenes and noise follow from it.")]
Seconds = Annotated[
    float, typer.Option(metavar="S", help="Length of each long video; 0 leaves them out.")
]
Streams = Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Long videos.")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write the report, its numbers and pictures.")
]
Backend = Annotated[str, typer.Option(metavar="NAME", help="What runs the model.")]
Require = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Exit with 1 when less than this share obeys (0 to 1)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def evaluate(
    model: Model = "nano",
    trials: Trials = 200,
    seed: Seed = 0,
    seconds: Seconds = 60.0,
    streams: Streams = 3,
    out: Out = None,
    backend: Backend = "auto",
    require: Require = None,
    quiet: Quiet = False,
) -> None:
    """Measure how well a world obeys its prompts and whether it lasts.

    Steering: short videos of the toybox go on under a prompt for day, night or one of four
    gravities; a detector says whether the picture changed as asked. Stability: long videos under
    changing prompts are compared with the simulator's. The last line of the output is JSON.

    [bold]Examples[/bold]

      magi-rt eval nano

      magi-rt eval runs/dit/export --trials 60 --seconds 0 --out report --require 0.8
    """
    _check(seconds, require, out)
    from magi_rt.evaluation.opened import OpenedModel
    from magi_rt.evaluation.report import json_line, markdown, write

    opened = OpenedModel.open(model, backend=backend, seed=seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # refused now rather than after minutes
    chunks = math.ceil(seconds * opened.fps / opened.frames_per_chunk)
    with _progress(trials + (streams * chunks if seconds else 0), quiet) as tell:
        found = _measure(opened, trials, seed, (streams, chunks), tell)
    files = [] if out is None else write(found, out)
    typer.echo(markdown(found))
    for path in files:
        typer.echo(f"written: {path}")
    typer.echo(json_line(found))
    if require is not None and found.obeyed < require:
        typer.echo(f"magi-rt: {found.obeyed:.1%} obeyed, less than {require:.1%}", err=True)
        raise typer.Exit(BELOW)


def _check(seconds: float, require: float | None, out: Path | None) -> None:
    if not (seconds == 0 or SHORTEST_S <= seconds <= LONGEST_S):
        raise OptionError(
            f"--seconds is {seconds:g}; give {SHORTEST_S:g} to {LONGEST_S:g}, or 0 for none",
            field="seconds",
        )
    if require is not None and not 0 <= require <= 1:
        raise OptionError(
            f"--require is {require:g}; give a share of 0 to 1, as in 0.8", field="require"
        )
    if out is not None and out.exists() and not out.is_dir():
        raise OptionError(f"--out {out} is a file; name a folder", field="out")


def _measure(
    opened: OpenedModel, trials: int, seed: int, long: tuple[int, int], tell: Tell
) -> Evaluation:
    from magi_rt.evaluation.report import Evaluation
    from magi_rt.evaluation.stability import draw_script, run_stream
    from magi_rt.evaluation.steering import run_trials
    from magi_rt.evaluation.trials import draw_trials

    drawn = draw_trials(trials, seed, opened.frames_per_chunk)
    outcomes = run_trials(drawn, opened.begin, lambda outcome: tell(outcome.trial.prompt))
    count, chunks = long
    played = [
        run_stream(
            draw_script(chunks, seed + number),
            opened.begin,
            fps=opened.fps,
            frames_per_chunk=opened.frames_per_chunk,
            tell=tell,
        )
        for number in range(count if chunks else 0)
    ]
    return Evaluation(opened.card(), seed, outcomes, played)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Tell]:
    """A bar over trials and chunks of the long videos; yields what moves it on."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from magi_rt.cli.screen import shortened

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=without_bar(quiet)) as bar:
        task = bar.add_task("drawing trials", total=total)

        def tell(prompt: str) -> None:
            bar.update(task, advance=1, description=escape(shortened(prompt, 40)))

        yield tell
