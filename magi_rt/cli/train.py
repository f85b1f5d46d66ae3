"""`magi-rt train`: train the built-in world's parts from nothing, on the machine at hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.training.loop import Outcome

train = typer.Typer(
    no_args_is_help=False,
    help="""Train a world of your own: first its auto-encoder, then its denoiser; then make it fast.

    Clips are drawn while training from a made-up world, or from a folder of recordings (--data).
    Ctrl-C saves and stops; the same command goes on where it was.

    [bold]Examples[/bold]

      magi-rt train vae runs/vae --minutes 30

      magi-rt train dit runs/dit --vae runs/vae/export --minutes 120

      magi-rt train distill runs/fast --teacher runs/dit/export --minutes 60

      magi-rt run --model runs/fast/export --prompt "a red ball"
    """,
)

MOST = 10**12
"""Largest seed: shards of clips count on from a million times it, in 64 bits."""

Out = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of the run: checkpoint, log, export.")
]
Minutes = Annotated[
    float | None, typer.Option(metavar="M", help="Budget in minutes of all sittings together.")
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Budget in steps, instead.")]
Batch = Annotated[int | None, typer.Option(metavar="N", min=1, help="Clips in one step.")]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=MOST, help="Clips and noise follow from it.")
]
Rate = Annotated[float, typer.Option(metavar="R", help="Highest learning rate.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="WORLD|DIR",
        help="toybox, calm-toybox, path/to/world.py:ClassName, or a folder of recordings; unset: "
        "what the model was trained on that is gone on from or learned from, else toybox.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Processes that make clips ahead; 0 makes them here."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Refuse a folder that already holds a run.")]


@train.command("vae")
def train_vae_command(
    out: Out,
    start: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Go on from the VAE of this model.")
    ] = None,
    data: Data = None,
    minutes: Minutes = None,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 1,
    rate: Rate = 3e-3,
    device: Device = "cpu",
    decoder_only: Annotated[
        bool,
        typer.Option("--decoder-only", help="Keep the encoder of --start, and so its denoisers."),
    ] = False,
    fresh: Fresh = False,
) -> None:
    """Train the auto-encoder; DIR/export then holds what `train dit --vae` needs.

    [bold]Example[/bold]

      magi-rt train vae runs/vae --minutes 30

      magi-rt train vae runs/mine --start nano --data clips --minutes 30

      magi-rt train vae runs/sharper --start nano --decoder-only --minutes 15
    """
    check_budget(minutes, steps, rate)
    keep_memory()
    from magi_rt.training.vae_trainer import train_vae

    _, outcome = train_vae(
        out, minutes=minutes, steps=steps, batch=batch or 32, seed=seed, rate=rate,
        device=device, start=start, decoder_only=decoder_only, data=data, resume=not fresh,
    )  # fmt: skip
    conclude(outcome, out)


@train.command("dit")
def train_dit_command(
    out: Out,
    vae: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The export of `train vae`.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Go on from this model; without --vae, with its own."),
    ] = None,
    data: Data = None,
    minutes: Minutes = None,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 1,
    rate: Rate = 2e-3,
    device: Device = "cpu",
    workers: Workers = 0,
    layers: Annotated[
        int | None,
        typer.Option(min=1, max=48, help="The dial of the network's size; 6, or that of --start."),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="Latents along a token's side; 2, or that of --start."),
    ] = None,
    text_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="First teach the text encoder what stands beside each word; 600, or 0 with "
            "--start. Not of the budget.",
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Through torch.compile, which pays on a GPU.")
    ] = False,
    fresh: Fresh = False,
) -> None:
    """Train the denoiser and its text encoder; DIR/export then opens with `run --model`.

    [bold]Example[/bold]

      magi-rt train dit runs/dit --vae runs/vae/export --minutes 120

      magi-rt train dit runs/more --start nano-base --minutes 9 --device cuda --workers 12 --compile

      magi-rt train dit runs/mine --start nano-base --vae runs/vae/export --data clips --minutes 60

      magi-rt train dit runs/finer --vae runs/vae/export --patch 1 --batch 6 --minutes 120
    """
    check_budget(minutes, steps, rate)
    check_beginning(vae, start)
    keep_memory()
    from magi_rt.training.dit_trainer import train_dit

    outcome = train_dit(
        out, vae, minutes=minutes, steps=steps, batch=batch or 12, seed=seed, rate=rate,
        device=device, workers=workers, layers=layers, patch=patch, compiled=compiled,
        start=start, data=data, text_steps=text_steps, resume=not fresh,
    )  # fmt: skip
    conclude(outcome, out)


@train.command("distill")
def train_distill_command(
    out: Out,
    teacher: Annotated[
        str, typer.Option(metavar="MODEL", help="Guided model to learn from; it stays as it is.")
    ],
    data: Data = None,
    minutes: Minutes = None,
    steps: Steps = None,
    batch: Batch = None,
    shortest: Annotated[
        int, typer.Option(metavar="N", help="Fewest steps of a chunk to learn: 4 or 8.")
    ] = 4,
    shards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Clips of the teacher's run, with the same --seed."),
    ] = None,
    seed: Seed = 1,
    rate: Rate = 5e-4,
    device: Device = "cpu",
    workers: Workers = 0,
    fresh: Fresh = False,
) -> None:
    """Distil a trained model: a few steps of one branch instead of many of three.

    DIR/export then runs with 64, 32, 16, 12, 8 or 4 steps, 8 by default.

    [bold]Example[/bold]

      magi-rt train distill runs/fast --teacher runs/dit/export --minutes 60

      magi-rt train distill runs/fast --teacher nano-base --shortest 8 --steps 2000 --device cuda
    """
    check_budget(minutes, steps, rate)
    check_lesson(shortest, shards)
    keep_memory()
    from magi_rt.training.distill_loss import DistillSettings
    from magi_rt.training.distill_trainer import train_distill

    outcome = train_distill(
        out, teacher, minutes=minutes, steps=steps, batch=batch or 12, shards=shards, seed=seed,
        rate=rate, device=device, workers=workers, resume=not fresh,
        settings=DistillSettings(shortest=shortest), clips={} if data is None else {"data": data},
    )  # fmt: skip
    conclude(outcome, out)


@train.command("average")
def average_command(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Where the model goes.")],
    first: Annotated[str, typer.Argument(metavar="MODEL", help="One of the two.")],
    second: Annotated[str, typer.Argument(metavar="MODEL", help="The other one.")],
    share: Annotated[float, typer.Option(metavar="S", help="Of the second one, 0 to 1.")] = 0.5,
) -> None:
    """Average two models that were trained on from the same one; DIR is then a model.

    The mean often keeps what each of the two learned. Average the students, and the teachers too
    if training is to go on.

    [bold]Example[/bold]

      magi-rt train average runs/mean nano runs/fast/export
    """
    from magi_rt.training.average import average_models

    typer.echo(f"averaged: {average_models(out, first, second, share=share)}")


def check_budget(minutes: float | None, steps: int | None, rate: float) -> None:
    """Raise OptionError unless exactly one budget is given, and it and the rate are positive."""
    if (minutes is None) == (steps is None):
        raise OptionError(
            "give the budget either as --minutes or as --steps, as in --minutes 30",
            field="minutes",
        )
    budget = float(minutes if minutes is not None else steps or 0)
    if not (math.isfinite(budget) and budget > 0):
        raise OptionError(f"the budget is {budget:g}; it must be more than 0", field="minutes")
    if not (math.isfinite(rate) and rate > 0):
        raise OptionError(f"--rate {rate:g} trains nothing; give more than 0, as in 1e-3")


def check_beginning(vae: Path | None, start: str | None) -> None:
    """Raise OptionError unless a denoiser begins with an auto-encoder, a model, or both."""
    if vae is None and start is None:
        raise OptionError(
            "give either --vae DIR to train from nothing or --start MODEL to go on from a model, "
            "or both to go on with another auto-encoder",
            field="vae",
        )
    if vae is not None and not vae.is_dir():
        raise OptionError(
            f"--vae {vae} is no folder; give the export folder of `magi-rt train vae`", field="vae"
        )


def check_lesson(shortest: int, shards: Path | None) -> None:
    """Raise OptionError for a step count that cannot be learned, or clips that are not there."""
    if shortest not in (4, 8):
        raise OptionError(f"--shortest {shortest} cannot be learned; give 4 or 8", field="shortest")
    if shards is not None and not shards.is_dir():
        raise OptionError(
            f"--shards {shards} is no folder; give the shards folder of the teacher's run, or "
            "leave it out to have clips drawn",
            field="shards",
        )


def keep_memory() -> None:
    """Restart this process once with an allocator that keeps freed memory; much faster on CPUs."""
    from magi_rt.training.loop import restart_with_kept_memory

    restart_with_kept_memory()


def conclude(outcome: Outcome, out: Path) -> None:
    """Say how the run ended; one that was stopped exits like any interrupted command."""
    from magi_rt.cli.refusals import INTERRUPTED

    took = f"step {outcome.step}, {outcome.elapsed_s / 60:.1f} minutes"
    if outcome.finished:
        typer.echo(f"trained: {took}; exported to {out / 'export'}")
        return
    typer.echo(f"magi-rt: stopped and saved at {took}; the same command goes on", err=True)
    raise typer.Exit(INTERRUPTED)
