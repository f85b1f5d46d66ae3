"""Snapshots of a server on disk: names in one folder, never paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magi_rt.errors import OptionError, SnapshotError
from magi_rt.stream.requests import NAME
from magi_rt.world.snapshot import Snapshot

SUFFIX = ".magi"
MOST_FILES = 256
"""Snapshots that a folder takes; a client could fill the disk otherwise."""


FileMark = tuple[int, int, int] | None
"""Tells a file from another one that was written under its name; None: there is none."""


class SnapshotFolder:
    """The one folder that requests may write to and read from.

    Args:
        folder: must exist; None for a server that writes nothing.

    Raises:
        OptionError: there is no such folder.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None and not self._folder.is_dir():
            raise OptionError(
                f"{self._folder} is no folder for snapshots; make it first", field="snapshots"
            )

    def save(self, name: str, snapshot: Snapshot) -> int:
        """Writes a snapshot, over an older one of that name; returns its bytes.

        Raises:
            OptionError: the server has no folder, the name is none, or the folder is full.
            SnapshotError: the file cannot be written.
        """
        path = self._path(name)
        if not path.exists() and len(list(path.parent.glob(f"*{SUFFIX}"))) >= MOST_FILES:
            raise OptionError(
                f"the server keeps {MOST_FILES} snapshots already; write over one of them",
                field="name",
            )
        with self._unsaid():
            snapshot.save(path)
            return path.stat().st_size

    def load(self, name: str) -> Snapshot | None:
        """The snapshot of that name, None when there is none.

        Raises:
            OptionError: the server has no folder, or the name is none.
            SnapshotError: the file is damaged.
        """
        path = self._path(name)
        # a link would lead out of the folder
        if path.is_symlink() or not path.is_file():
            return None
        with self._unsaid():
            return Snapshot.load(path)

    def mark(self, name: str) -> FileMark:
        """What changes whenever somebody writes the snapshot of that name; errors as in `load`."""
        try:
            found = self._path(name).lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @property
    def usable(self) -> bool:
        """True when there is a folder at all."""
        return self._folder is not None

    @contextmanager
    def _unsaid(self) -> Iterator[None]:
        """Errors inside name files without their folder, which is nobody's business."""
        try:
            yield
        except SnapshotError as error:
            told = error.message.replace(f"{self._folder}{os.sep}", "")
            raise SnapshotError(told, field=error.field) from error

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise OptionError(
                "this server has no folder for snapshots; start it with "
                "magi-rt serve --snapshots DIR",
                field="name",
            )
        if NAME.fullmatch(name) is None:
            raise OptionError(
                f"name {name[:80]!r} cannot be used; take 1 to 64 of A-Z a-z 0-9 _ -",
                field="name",
            )
        return self._folder / f"{name}{SUFFIX}"
