"""Frames in shared memory: written, read, overwritten, abandoned."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from magi_rt.stream.shared_frames import (
    SLOTS,
    SharedFramesError,
    SharedReader,
    SharedWriter,
    remove_abandoned,
)
from tests.stream.golden_frames import pixels_of
from tests.stream.support import NEXT_STREAM, STREAM
from tests.stream.write_golden import FOLDER


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SharedWriter]:
    made = SharedWriter(STREAM, "rgb8-top", 5_000, folder=tmp_path)
    yield made
    made.close()


def write(writer: SharedWriter, value: int, size: int = 5_000) -> tuple[int, int]:
    begun = writer.begin(size)
    assert begun is not None
    slot, pixels = begun
    pixels[:] = value
    return slot, writer.end(slot)


def test_the_file_is_laid_out_as_the_protocol_says(writer: SharedWriter) -> None:
    slot, turn = write(writer, 77)
    data = writer.path.read_bytes()
    magic, stream, slots, zero, per_slot, start = struct.unpack_from("<8s16sIIQQ", data)
    assert (magic, stream, slots, zero) == (b"MAGISHM1", STREAM.encode(), SLOTS, 0)
    assert start % 4_096 == 0 and per_slot >= 5_000
    assert len(data) >= start + slots * per_slot
    assert struct.unpack_from("<Q", data, 64 + 8 * slot) == (turn,)
    assert data[start + slot * per_slot :][:5_000] == bytes([77]) * 5_000
    assert writer.path.name.startswith("magi_rt-")
    assert writer.path.stat().st_mode & 0o777 == 0o600


def test_the_golden_file_is_read_slot_by_slot(tmp_path: Path) -> None:
    path = tmp_path / "magi_rt-golden"
    path.write_bytes((FOLDER / "shared-memory.bin").read_bytes())
    reader = SharedReader(path, STREAM)
    for slot, turn in ((0, 4), (1, 2)):
        seen = reader.copy(slot, turn, 48)
        assert seen is not None
        assert seen.tobytes() == pixels_of(96)[48 * slot : 48 * (slot + 1)]
    assert reader.copy(1, 4, 48) is None
    reader.close()


def test_a_frame_stays_for_one_fewer_further_frames_than_there_are_slots(
    writer: SharedWriter,
) -> None:
    reader = SharedReader(writer.path, STREAM)
    place = write(writer, 1)
    for value in range(SLOTS - 1):
        write(writer, 2 + value)
        seen = reader.copy(*place, 5_000)
        assert seen is not None and (seen == 1).all()
    write(writer, 99)
    assert reader.copy(*place, 5_000) is None
    assert reader.view(*place, 5_000) is None
    reader.close()


def test_a_frame_that_is_being_written_does_not_count(writer: SharedWriter) -> None:
    reader = SharedReader(writer.path, STREAM)
    slot, turn = write(writer, 1)
    for _ in range(SLOTS - 1):
        write(writer, 2)
    assert writer.begin(5_000) is not None
    assert not reader.intact(slot, turn)
    assert not reader.intact(slot, turn + 1), "odd turns are never a frame"
    reader.close()


def test_pixels_that_are_lent_tell_when_they_are_overwritten(writer: SharedWriter) -> None:
    reader = SharedReader(writer.path, STREAM)
    place = write(writer, 5)
    lent = reader.view(*place, 5_000)
    assert lent is not None and (lent == 5).all() and reader.intact(*place)
    assert not lent.flags.writeable
    for _ in range(SLOTS):
        write(writer, 6)
    assert not reader.intact(*place)
    reader.close()


@pytest.mark.parametrize("place", [(SLOTS, 2), (10**9, 2), (0, 3), (0, 10**15), (0, 2**64 - 2)])
def test_slots_and_turns_that_do_not_exist_are_no_frames(
    writer: SharedWriter, place: tuple[int, int]
) -> None:
    write(writer, 1)
    reader = SharedReader(writer.path, STREAM)
    assert reader.copy(*place, 100) is None
    reader.close()


def test_a_frame_larger_than_a_slot_is_neither_written_nor_read(writer: SharedWriter) -> None:
    assert writer.begin(writer.slot_bytes + 1) is None
    place = write(writer, 1)
    reader = SharedReader(writer.path, STREAM)
    assert reader.copy(*place, writer.slot_bytes + 1) is None
    reader.close()


def test_another_stream_s_file_is_not_read(writer: SharedWriter) -> None:
    with pytest.raises(SharedFramesError, match=NEXT_STREAM):
        SharedReader(writer.path, NEXT_STREAM)


def test_files_that_are_none_are_refused(tmp_path: Path, writer: SharedWriter) -> None:
    good = writer.path.read_bytes()
    files = {
        "absent": None,
        "empty": b"",
        "magic": b"X" + good[1:],
        "cut": good[: len(good) // 2],
        "slots": good[:24] + struct.pack("<I", 2**31) + good[28:],
        "one-slot": good[:24] + struct.pack("<I", 1) + good[28:],
        "huge": good[:32] + struct.pack("<Q", 2**60) + good[40:],
        "turns": good[:40] + struct.pack("<Q", 64) + good[48:],
    }
    for name, data in files.items():
        path = tmp_path / f"magi_rt-{name}"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(SharedFramesError):
            SharedReader(path, STREAM)


def test_only_files_of_our_name_are_opened(tmp_path: Path, writer: SharedWriter) -> None:
    other = tmp_path / "passwords"
    other.write_bytes(writer.path.read_bytes())
    with pytest.raises(SharedFramesError, match="magi_rt-"):
        SharedReader(other, STREAM)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_with_our_name_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "magi_rt-pipe")
    with pytest.raises(SharedFramesError):
        SharedReader(tmp_path / "magi_rt-pipe", STREAM)


def test_a_link_is_not_followed(tmp_path: Path, writer: SharedWriter) -> None:
    (tmp_path / "magi_rt-link").symlink_to(writer.path)
    with pytest.raises(SharedFramesError):
        SharedReader(tmp_path / "magi_rt-link", STREAM)


def test_a_folder_without_room_is_an_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SharedFramesError, match="by socket"):
        SharedWriter(STREAM, "rgb8-top", 2**58, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_on_windows_no_file_is_made_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SharedFramesError, match="by socket"):
        SharedWriter(STREAM, "rgb8-top", 5_000, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_closing_removes_the_file_and_a_reader_keeps_what_it_sees(writer: SharedWriter) -> None:
    reader = SharedReader(writer.path, STREAM)
    place = write(writer, 42)
    writer.close()
    writer.close()
    assert not writer.path.exists()
    seen = reader.copy(*place, 5_000)
    assert seen is not None and (seen == 42).all()
    reader.close()


def test_a_reader_of_an_earlier_file_takes_no_frame_of_the_next_one(tmp_path: Path) -> None:
    first = SharedWriter(STREAM, "rgb8-top", 5_000, folder=tmp_path)
    old = SharedReader(first.path, STREAM)
    for value in range(20):
        write(first, value)
    first.begin(5_000)
    turn = first.beyond
    first.close()
    second = SharedWriter(STREAM, "rgb8-top", 9_000, folder=tmp_path, turn=turn)
    new = SharedReader(second.path, STREAM)
    for value in range(20):
        place = write(second, value)
        assert old.copy(*place, 5_000) is None
        seen = new.copy(*place, 5_000)
        assert seen is not None and (seen == value).all()
    second.close()


def test_files_of_dead_servers_are_removed_and_those_of_living_ones_stay(
    tmp_path: Path, writer: SharedWriter
) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from magi_rt.stream.shared_frames import SharedWriter\n"
        f"w = SharedWriter({NEXT_STREAM!r}, 'rgb8-top', 100, folder=Path(sys.argv[1]))\n"
        "print(w.path, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.exists() and done.returncode == 9
    assert remove_abandoned(tmp_path) == [left]
    assert writer.path.exists() and not left.exists()
    assert remove_abandoned(tmp_path) == []


def test_only_files_named_after_a_stream_are_removed(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("magi_rt-demo.mp4", "magi_rt-notes", "magi_rt-12ab-a")]
    for path in others:
        path.write_bytes(b"somebody's own")
    assert remove_abandoned(tmp_path) == []
    assert all(path.exists() for path in others)


def test_no_reader_ever_sees_half_a_frame(tmp_path: Path) -> None:
    writer = SharedWriter(STREAM, "rgb8-top", 40_000, folder=tmp_path)
    reader = SharedReader(writer.path, STREAM)
    places = [write(writer, value % 251, 40_000) for value in range(500)]
    whole = [reader.copy(*place, 40_000) for place in places]
    assert all(seen is None for seen in whole[:-SLOTS])
    assert all(seen is not None and len(np.unique(seen)) == 1 for seen in whole[-SLOTS:])
    reader.close()
    writer.close()
