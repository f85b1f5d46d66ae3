"""Where tables are printed: as wide as the terminal, or wide enough for a file or a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 140


def for_tables() -> Console:
    """A console on stdout; without a terminal 140 columns wide, unless COLUMNS says otherwise."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if piped else None)


def without_bar(quiet: bool) -> bool:
    """True when no progress bar is to be drawn: not wanted, or no terminal to draw it on."""
    return quiet or not sys.stderr.isatty()
