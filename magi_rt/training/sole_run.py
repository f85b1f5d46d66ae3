"""One process at a time in a folder: two trainings would take turns at its checkpoint and mix its
log, two recordings would make the same clips."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magi_rt.errors import OptionError

if sys.platform != "win32":
    import fcntl


@contextmanager
def sole_run(folder: Path, work: str = "training") -> Iterator[None]:
    """While open, the folder, which is made if need be, is this training's (or other work's) alone.

    The system lets go of it when the process ends, however it ends. On Windows, where folders
    cannot be locked, nothing is held.

    Raises:
        OptionError: another one is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OptionError(
                f"another {work} is at work in {folder}; wait until it ends or stop it, or take "
                "another folder",
                field="out",
            ) from error
        except OSError:
            pass  # a network folder without locks
        yield
    finally:
        os.close(held)
