"""`magi-rt eval`: does a world obey its prompts, does it know how things move, and does it last?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.consoles import without_bar
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.evaluation.plan import Amounts, Plan
    from magi_rt.evaluation.report import Evaluation

BELOW = 1
"""Exit code when the share asked for with --require was not reached."""
MOST = 10_000

Tell = Callable[[str], None]

Model = Annotated[
    str, typer.Argument(metavar="[NAME|DIR]", help="A built-in world, or a model folder.")
]
Only = Annotated[
    str | None, typer.Option(metavar="PARTS", help="Only these parts, as in steering,physics.")
]
Full = Annotated[
    bool,
    typer.Option("--full", help="100 trials of each kind of prompt, five plays of 10 minutes."),
]
Beginnings = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=MOST, help="Captions that a world begins by.")
]
Trials = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=MOST, help="Trials of each kind of prompt."),
]
Scenes = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=MOST, help="Physics scenes of each start.")
]
Scripts = Annotated[int | None, typer.Option(metavar="N", min=1, max=MOST, help="Plays.")]
Minutes = Annotated[
    float | None, typer.Option(metavar="MIN", help="Minutes of each play, 0.1 to 120.")
]
Steps = Annotated[
    int | None, typer.Option(metavar="N", help="Steps per chunk; unset: the model's own.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Trials, scenes and noise follow from it.")]
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
    only: Only = None,
    full: Full = False,
    beginnings: Beginnings = None,
    trials: Trials = None,
    scenes: Scenes = None,
    scripts: Scripts = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    out: Out = None,
    backend: Backend = "auto",
    require: Require = None,
    quiet: Quiet = False,
) -> None:
    """Measure how well a world obeys its prompts, knows how things move, and lasts.

    Short videos of the toybox go on in the world and in the simulator it learned from, under the
    same prompts; detectors and metrics that see nothing but pixels compare the two. The last line
    of the output is JSON.

    [bold]Examples[/bold]

      magi-rt eval nano --out report

      magi-rt eval runs/dit/export --only steering --trials 4 --require 0.8

      magi-rt eval nano --full --out report

    The parts are beginnings, steering, physics, play, settings (steps, window, history) and vae.
    """
    _check(require, out)
    plan = _plan(only, seed, _amounts(full, beginnings, trials, scenes, scripts, minutes))
    if require is not None and "steering" not in plan.parts:
        raise OptionError("--require needs the part steering", field="require")
    obeyed = _measured(plan, model, backend, steps, out, quiet)
    if require is not None and obeyed < require:
        typer.echo(f"magi-rt: {obeyed:.1%} obeyed, less than {require:.1%}", err=True)
        raise typer.Exit(BELOW)


def _measured(
    plan: Plan, model: str, backend: str, steps: int | None, out: Path | None, quiet: bool
) -> float:
    """Carries the plan out, writes and prints the report; the share of trials obeyed."""
    from magi_rt.evaluation.opened import OpenedModel
    from magi_rt.evaluation.plan import carry_out
    from magi_rt.evaluation.report import json_line, markdown, write

    _tell_strangers(model)
    opened = OpenedModel.open(model, backend=backend, seed=plan.seed, steps=steps)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # refused now rather than after minutes
    files: list[Path] = []

    def save(part: Evaluation) -> None:
        if out is not None:
            files[:] = write(part, out)

    with _progress(plan.ticks(opened), quiet) as tell:
        found = carry_out(plan, opened, tell, save)
    typer.echo(markdown(found))
    for path in files:
        typer.echo(f"written: {path}")
    typer.echo(json_line(found))
    return found.obeyed


def _tell_strangers(model: str) -> None:
    """Says so when the model learned from something else than what it is asked here."""
    from magi_rt.checkpoints.layout import locate
    from magi_rt.checkpoints.trained_on import MADE_UP, trained_on

    data = trained_on(locate(model)) if model != "dummy" else None
    if data is not None and data not in MADE_UP:
        typer.echo(
            f"magi-rt: {model} was trained on {data}; all questions are about the toybox, so the "
            "answers say little about it",
            err=True,
        )


def _amounts(
    full: bool,
    beginnings: int | None,
    trials: int | None,
    scenes: int | None,
    scripts: int | None,
    minutes: float | None,
) -> Amounts:
    from magi_rt.evaluation.plan import FULL, QUICK

    usual = FULL if full else QUICK
    return replace(
        usual,
        beginnings=usual.beginnings if beginnings is None else beginnings,
        trials=usual.trials if trials is None else trials,
        scenes=usual.scenes if scenes is None else scenes,
        scripts=usual.scripts if scripts is None else scripts,
        minutes=usual.minutes if minutes is None else minutes,
    )


def _plan(only: str | None, seed: int, amounts: Amounts) -> Plan:
    from magi_rt.evaluation.plan import Plan
    from magi_rt.evaluation.report import PARTS

    parts = PARTS if only is None else tuple(part.strip() for part in only.split(","))
    return Plan(parts, amounts, seed)


def _check(require: float | None, out: Path | None) -> None:
    if require is not None and not 0 <= require <= 1:
        raise OptionError(
            f"--require is {require:g}; give a share of 0 to 1, as in 0.8", field="require"
        )
    if out is not None and out.exists() and not out.is_dir():
        raise OptionError(f"--out {out} is a file; name a folder", field="out")


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Tell]:
    """A bar over all that is measured; yields what moves it on."""
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
