"""`magi-rt record`: a world as a folder of clips to train on, and a look at such a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.consoles import for_tables, without_bar
from magi_rt.errors import MediaError, OptionError

if TYPE_CHECKING:
    from magi_rt.training.recordings.report import FolderReport

SHOWN_PROMPTS = 12

World = Annotated[
    str | None,
    typer.Argument(metavar="[WORLD]", help="toybox, calm-toybox, or path/to/world.py:ClassName."),
]
Folder = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Where the clips go; made if not there.")
]
Check = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Record nothing; say what is in this folder of clips."),
]
Full = Annotated[
    bool, typer.Option("--full", help="With --check: decode every frame, not three places.")
]
Clips = Annotated[int, typer.Option(metavar="N", min=1, help="How many clips.")]
Seconds = Annotated[float, typer.Option(metavar="S", help="Length of each clip, up to 120.")]
Size = Annotated[
    int, typer.Option(metavar="N", min=16, max=4096, help="Height and width in pixels.")
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="The clips follow from it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def record(
    world: World = None,
    folder: Folder = None,
    check: Check = None,
    full: Full = False,
    clips: Clips = 20,
    seconds: Seconds = 30.0,
    size: Size = 128,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Record a made-up world into a folder of clips, or check a folder that you recorded.

    A clip is a video with captions of the same name beside it: run-1.mp4 and run-1.srt. A caption
    is the prompt that holds while it is shown. To record a game, see Recorder in
    magi_rt.training.recordings. The exit code of a check is 2 when a clip cannot be used.

    [bold]Examples[/bold]

      magi-rt record toybox clips --clips 50 --seconds 30

      magi-rt record --check clips
    """
    if check is not None:
        if world is not None:
            raise OptionError("--check looks at its folder alone; leave WORLD and DIR out")
        _check(check, full)
    elif full:
        raise OptionError("--full says how to check; give --check DIR with it")
    elif world is None or folder is None:
        raise OptionError(
            "give WORLD and DIR to record, as in magi-rt record toybox clips, or --check DIR"
        )
    else:
        _record(world, folder, clips, seconds, size, seed, quiet)


def _record(
    world: str, folder: Path, clips: int, seconds: float, size: int, seed: int, quiet: bool
) -> None:
    from rich.console import Console
    from rich.progress import track

    from magi_rt.training.recordings.from_world import record_clips
    from magi_rt.training.recordings.world_source import WorldSource

    there = {path.name for path in folder.glob("*.mp4")}
    made = record_clips(WorldSource(world, size), folder, clips=clips, seconds=seconds, seed=seed)
    console = Console(stderr=True)
    hidden = without_bar(quiet)
    told = track(made, "recording", clips, console=console, transient=True, disable=hidden)
    new = sum(path.name not in there for path in told)
    kept = f"; {clips - new} were there already and are as they were" if new < clips else ""
    typer.echo(
        f"{new} clips of {seconds:g} s recorded in {folder}{kept}; magi-rt record --check {folder}"
    )


def _check(folder: Path, full: bool) -> None:
    from magi_rt.training.recordings.report import check_folder

    report = check_folder(folder, full)
    _print(report)
    if report.problems:
        raise MediaError(
            f"{len(report.problems)} of {len(report.findings)} files cannot be used; "
            "mend or remove them, and check again",
            field="data",
        )


def _print(report: FolderReport) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("clip", overflow="fold")
    for name in ("picture", "fps", "seconds", "captions"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("problem", overflow="fold")
    for finding in report.findings:
        name = escape(finding.path.name)
        if finding.clip is None:
            table.add_row(name, "", "", "", "", f"[bold red]{escape(str(finding.problem))}[/]")
            continue
        clip = finding.clip
        picture = f"{clip.file.width}x{clip.file.height}"
        numbers = (f"{clip.file.rate:.4g}", f"{clip.file.length_s:.1f}", f"{len(clip.captions)}")
        table.add_row(name, picture, *numbers, "")
    console = for_tables()
    console.print(table)
    if report.prompts:
        console.print(_prompt_table(report))
    minutes = report.seconds / 60
    console.print(
        f"{len(report.clips)} clips, {minutes:.1f} minutes, {len(report.prompts)} different "
        f"prompts, {report.silent_s / 60:.1f} minutes without a prompt"
    )
    console.print(
        f"training clips of 2.7 s may begin at {report.windows['train']:,} places, and at "
        f"{report.windows['held_out']:,} held out for measuring"
    )


def _prompt_table(report: FolderReport) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("prompt", overflow="fold")
    table.add_column("seconds", justify="right", no_wrap=True)
    for prompt, seconds in report.prompts[:SHOWN_PROMPTS]:
        table.add_row(escape(prompt), f"{seconds:.1f}")
    others = report.prompts[SHOWN_PROMPTS:]
    if others:
        total = sum(seconds for _, seconds in others)
        table.add_row(f"[dim]and {len(others)} others[/]", f"{total:.1f}")
    return table
