"""Files are there whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import IO

import pytest

from magi_rt.errors import MediaError
from magi_rt.whole_files import write_whole


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    target.write_bytes(b"old")

    def no_room(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MediaError, match="No space left on device"):
        write_whole(target, no_room)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(stream: IO[bytes]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.png", interrupted)
    assert list(tmp_path.iterdir()) == []
