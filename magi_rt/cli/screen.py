"""What a person sees of a run: progress on stderr, a closing table on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from magi_rt.cli.consoles import without_bar
from magi_rt.cli.render import RunReport, Tell
from magi_rt.cli.run_plan import RunPlan
from magi_rt.media.contact_sheet import clock

_BAR_LETTERS = 40
_TABLE_LETTERS = 160


@contextmanager
def progress(plan: RunPlan, quiet: bool) -> Iterator[Tell]:
    """A progress bar over the frames of the video; yields what keeps it moving."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=without_bar(quiet)) as bar:
        task = bar.add_task(f"opening {escape(plan.model)}", total=plan.frames, rate="")

        def tell(report: RunReport, prompt: str) -> None:
            bar.update(
                task,
                completed=report.frames,
                description=escape(shortened(prompt, _BAR_LETTERS)),
                rate=f"{report.made_fps:.1f}/s" if report.frames else "",
            )

        yield tell


def shortened(prompt: str, letters: int) -> str:
    """A prompt on one line of at most so many characters, those that cannot be shown dropped."""
    shown = "".join(letter if letter.isprintable() else " " for letter in prompt)
    words = " ".join(shown.split()) or "(no prompt)"
    return words if len(words) <= letters else words[: letters - 3] + "..."


def closing_tables(plan: RunPlan, report: RunReport) -> list[Table]:
    """The table of the run and, where the prompt changed, the table of what was seen when."""
    tables = [_run_table(plan, report)]
    if len(plan.story.turns) > 1:
        tables.append(_prompt_table(plan, report))
    return tables


def _run_table(plan: RunPlan, report: RunReport) -> Table:
    height, width = report.size
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    delay_s = report.delay_chunks * report.chunk_frames / report.fps
    rows = {
        "model": f"{plan.model}, {height}x{width} (height x width), {report.fps:g} fps",
        "engine": report.engine,
        "video": f"{report.frames} frames, {report.frames / report.fps:.2f} s",
        "speed": f"{report.made_fps:.1f} frames per second",
        "first chunk": f"{report.first_chunk_s:.2f} s after {report.opened_s:.2f} s to open",
        "delay": f"{report.delay_chunks} chunks ({delay_s:.2f} s) before a new prompt shows, "
        f"1 chunk is {report.chunk_frames} frames",
        **{f"note {number}": note for number, note in enumerate(report.notes, start=1)},
        "written": "\n".join(str(path) for path in report.files),
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def _prompt_table(plan: RunPlan, report: RunReport) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("asked for", "first seen", "prompt"):
        table.add_column(name, no_wrap=name != "prompt")
    for turn in plan.story.turns:
        seen = report.seen.get(turn)
        first = "not in the video" if seen is None else clock(seen)
        table.add_row(clock(turn.time_s), first, escape(shortened(turn.prompt, _TABLE_LETTERS)))
    return table
