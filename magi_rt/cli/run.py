"""`magi-rt run`: a world becomes an mp4 and a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magi_rt.cli.consoles import for_tables
from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.run_plan import MAX_SECONDS, RunPlan, RunWishes, plan_run
from magi_rt.cli.world_options import Attention, Backend, Device, Dtype, Model, Size, Steps, Window

_START = "What the world starts from"
_TELL = "What happens"
_FILES = "What is written"

Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", "-p", help="What is to be seen from the start.", rich_help_panel=_TELL
    ),
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        "--then",
        metavar='"M:SS PROMPT"',
        help='A new prompt, seen from that time in the video on: "0:03 wind blows left". '
        "Give it as often as you like.",
        rich_help_panel=_TELL,
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        metavar="S", help=f"Length of the video, up to {MAX_SECONDS:g}.", rich_help_panel=_TELL
    ),
]
Image = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="First picture (PNG, JPEG, WebP); stretched to the world's size.",
        rich_help_panel=_START,
    ),
]
Video = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A video to continue, at any frame rate; its first frames are used.",
        rich_help_panel=_START,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Another number, another world; the same one, options and prompts: the same video. "
        "0 to 2**63 - 1.",
        rich_help_panel=_START,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE.mp4", help="The video.", rich_help_panel=_FILES)
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png",
        help="The contact sheet: twenty pictures with time and prompt. "
        "Beside the video if left out.",
        rich_help_panel=_FILES,
    ),
]
Scale = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Enlarge the video N times. Small worlds are enlarged to 256 pixels if left out.",
        rich_help_panel=_FILES,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="Also write what World.replay needs to repeat the run.",
        rich_help_panel=_FILES,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress bar, no closing table.", rich_help_panel=_FILES
    ),
]


def run(
    prompt: Prompt = None,
    then: Then = None,
    seconds: Seconds = 10.0,
    image: Image = None,
    video: Video = None,
    seed: Seed = 0,
    model: Model = "nano",
    steps: Steps = None,
    window: Window = None,
    size: Size = None,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    attention: Attention = "auto",
    out: Out = Path("magi-world.mp4"),
    sheet: Sheet = None,
    scale: Scale = None,
    log: Log = None,
    quiet: Quiet = False,
) -> None:
    """Make a video of a world that obeys prompts.

    With no options it tells a ten-second story with the built-in world:
    magi-world.mp4 and a contact sheet magi-world.png appear in this folder.

    [bold]Examples[/bold]

      magi-rt run

      magi-rt run -p "a red ball" --then "0:03 wind blows left" --seconds 6

      magi-rt run --image photo.png -p "night falls" --seed 7 -o night.mp4

      magi-rt run --model ~/models/4.5B-distill --window 4 --size 720x720 -p "a harbour at dawn"
    """
    wishes = RunWishes(
        prompt=prompt, then=tuple(then or ()), seconds=seconds, image=image, video=video, seed=seed,
        model=model, steps=steps, window=window, size=size, backend=backend, device=device,
        dtype=dtype, attention=attention, out=out, sheet=sheet, scale=scale, log=log,
    )  # fmt: skip
    code = carry_out(plan_run(wishes), quiet)
    if code:
        raise typer.Exit(code)


def carry_out(plan: RunPlan, quiet: bool) -> int:
    """Render the plan with progress and table; returns the exit code, 0 when all was made."""
    from magi_rt.cli.render import RunReport, render
    from magi_rt.cli.screen import closing_tables, progress

    report = RunReport()
    with InterruptGuard() as guard:
        try:
            with progress(plan, quiet) as tell:
                render(plan, guard, tell, report)
        except KeyboardInterrupt:
            kept = f"{report.frames} frames are kept: {', '.join(map(str, report.files))}"
            typer.echo(f"magi-rt: stopped; {kept if report.files else 'nothing kept'}", err=True)
            return guard.exit_code or 130
    if not quiet:
        console = for_tables()
        for table in closing_tables(plan, report):
            console.print(table)
    return 0
