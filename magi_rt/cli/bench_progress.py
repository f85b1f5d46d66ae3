"""How far a measurement has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no table.")]


@contextmanager
def progress(chunks: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar over the chunks on stderr; yields what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("chunks", total=chunks)
        yield lambda done: bar.update(task, completed=done)
