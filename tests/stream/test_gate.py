"""The rules by which frames count, one by one."""

from __future__ import annotations

from magi_rt.stream.gate import Gate
from tests.stream.support import NEXT_STREAM, STREAM, numbered


def test_only_new_frames_of_the_newest_epoch_count() -> None:
    gate = Gate()
    said = [
        gate.refuses(numbered(seq, epoch=epoch))
        for seq, epoch in [(1, 1), (2, 1), (2, 1), (1, 1), (5, 1), (6, 2), (7, 1), (8, 2), (8, 3)]
    ]
    assert said == ["", "", "seq", "seq", "", "", "epoch", "", "seq"]


def test_an_epoch_told_by_an_event_or_a_receipt_ends_older_frames() -> None:
    gate = Gate()
    assert gate.refuses(numbered(1)) == ""
    assert gate.hear(STREAM, 2)
    assert gate.refuses(numbered(2, epoch=1)) == "epoch"
    assert gate.refuses(numbered(3, epoch=2)) == ""


def test_an_old_epoch_that_is_heard_of_late_changes_nothing() -> None:
    gate = Gate()
    gate.hear(STREAM, 5)
    gate.hear(STREAM, 2)
    assert gate.epoch == 5


def test_a_restarted_server_begins_anew_and_nothing_of_the_old_one_counts() -> None:
    gate = Gate()
    assert gate.refuses(numbered(100, epoch=7)) == ""
    assert gate.refuses(numbered(1, epoch=0, stream=NEXT_STREAM)) == ""
    assert (gate.stream, gate.epoch, gate.seq) == (NEXT_STREAM, 0, 1)
    assert gate.refuses(numbered(101, epoch=7)) == "stream"
    assert not gate.hear(STREAM, 9)
    assert gate.epoch == 0


def test_a_receipt_of_a_restarted_server_ends_frames_of_the_old_one() -> None:
    gate = Gate()
    gate.refuses(numbered(1))
    assert gate.hear(NEXT_STREAM, 3)
    assert gate.refuses(numbered(2)) == "stream"
    assert gate.refuses(numbered(1, epoch=2, stream=NEXT_STREAM)) == "epoch"
