"""The command `magi-rt` and its verbs; heavy parts are imported by the verb that needs them."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

import magi_rt
from magi_rt.cli import (
    bench,
    demo,
    doctor,
    inspect,
    keys,
    plan,
    prompt,
    record,
    run,
    serve,
    stats,
    train,
    verify,
    view,
    watch,
)
from magi_rt.cli import compile as compiling
from magi_rt.cli import eval as evaluation
from magi_rt.cli.first_time import tell_of_conversions
from magi_rt.cli.refusals import PlainSpokenGroup

app = typer.Typer(
    name="magi-rt",
    cls=PlainSpokenGroup,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"magi-rt {magi_rt.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def magi_rt_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Worlds that are generated while you watch, chunk by chunk, and obey prompts.

    Start with magi-rt demo, which opens a page, or magi-rt run, which makes a video.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("view")(view.view)
app.command("serve")(serve.serve)
app.command("watch")(watch.watch)
app.command("prompt")(prompt.prompt)
app.command("stats")(stats.stats)
app.command("keys")(keys.keys)
app.command("plan")(plan.plan)
app.command("doctor")(doctor.doctor)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.add_typer(train.train, name="train")
app.command("compile")(compiling.compile)
app.command("record")(record.record)
app.command("eval")(evaluation.evaluate)
app.add_typer(bench.bench, name="bench")


def main() -> None:
    """Run the command line of this process and exit with its code."""
    tell_of_conversions()
    try:
        app()
    finally:
        # the verb has ended; one more Ctrl-C would only tear the interpreter's own end apart
        signal.signal(signal.SIGINT, signal.SIG_IGN)
