"""Files that are there whole, or not at all.

A file is written under a temporary name beside its target and renamed when whole, so no reader
ever meets half a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from magi_rt.errors import MediaError


def write_whole(path: str | Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Call `write(stream)` on a temporary file beside `path`, then rename it to `path`.

    Raises MediaError when the disk is full or the folder refuses; nothing is left behind then.
    """
    path = Path(path)
    with removed_on_error(path) as temporary:
        try:
            with open(temporary, "wb") as stream:
                write(stream)
            os.replace(temporary, path)
        except OSError as error:
            raise cannot_write(path, error) from error


@contextmanager
def removed_on_error(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; a file of that name is gone after an exception."""
    temporary = temporary_name(path)
    try:
        yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path`, another at every call, to write it under until it is whole.

    Raises MediaError when no file can have such a name.
    """
    if "\0" in str(path):
        raise MediaError(f"{str(path)!r} holds a NUL character; choose another name", field="path")
    return path.with_name(f".{path.name[:40]}.{os.urandom(8).hex()}.part")


def cannot_write(path: Path, error: BaseException) -> MediaError:
    """The MediaError for a file that could not be written: which, why, and the way out."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return MediaError(
        f"{path} could not be written ({reason}); nothing was left behind: "
        "free some space or choose another folder",
        field="path",
    )
