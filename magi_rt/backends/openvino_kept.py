"""What OpenVINO compiled for this processor: kept in a plan's folder, checked before it is used.

OpenVINO takes a file of its own of the right length for whole, whatever is in it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from magi_rt.errors import MediaError
from magi_rt.export.manifest import MANIFEST, FileMark, mark_files
from magi_rt.whole_files import write_whole

COMPILED = "openvino"
WAIT_S = 600.0
"""For another process that compiles the same graph; none takes so long."""

logger = logging.getLogger(__name__)


@contextmanager
def kept_in(plan: Path) -> Iterator[Path | None]:
    """The folder in which OpenVINO may find and keep what it makes of a plan.

    What is not as it was written is removed first, and what is new in the end is marked. One
    process at a time is inside. ``None`` where nothing can be kept.
    """
    import filelock

    folder = plan / COMPILED
    lock = filelock.FileLock(plan / f".{COMPILED}.lock")
    try:
        lock.acquire(timeout=WAIT_S)
    except (OSError, filelock.Timeout):  # for one, the plan may only be read
        yield folder if _whole(folder) else None
        return
    try:
        known = _whole(folder)
        if known is None:
            if (folder / MANIFEST).exists():
                logger.warning("%s is not as it was written; it is compiled again", folder)
            shutil.rmtree(folder, ignore_errors=True)
            known = {}
        if folder.exists() and not known:
            yield None  # it could not be removed
            return
        yield folder
        if _names(folder) != set(known):
            _mark(folder)
    finally:
        lock.release()


def _whole(folder: Path) -> dict[str, FileMark] | None:
    """Marks of the files there, none where there is no folder; ``None`` where one is wrong."""
    if not folder.exists():
        return {}
    try:
        card = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        marks = {name: FileMark(**mark) for name, mark in card.items()}
        return marks if mark_files(folder) == marks else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.name != MANIFEST}


def _mark(folder: Path) -> None:
    card = {name: asdict(mark) for name, mark in mark_files(folder).items()}
    text = json.dumps(card, indent=1) + "\n"
    try:
        write_whole(folder / MANIFEST, lambda stream: stream.write(text.encode()))
    except (MediaError, OSError) as error:
        logger.info("%s; %s is compiled anew next time", error, folder)
