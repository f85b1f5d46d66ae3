"""The clock of a frames loop: when a frame is due, and how far ahead chunks are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from magi_rt.world.frame_loop import FrameBuffer, Pace
from tests.world.kit import dummy_world


def shown_at(
    monkeypatch: pytest.MonkeyPatch, fps: float | None, busy_s: Sequence[float]
) -> list[float]:
    """Seconds after the first frame at which frames are shown, each looked at for so long."""
    now_s, pace, shown = 50.0, Pace(fps), []
    monkeypatch.setattr("magi_rt.world.frame_loop.time", SimpleNamespace(monotonic=lambda: now_s))
    for busy in busy_s:
        now_s += pace.wait_s()
        shown.append(now_s - 50.0)
        now_s += busy
    return shown


def test_frames_fall_due_at_even_distances_however_long_each_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = (0.0, 0.03, 0.09, 0.0, 0.12, 0.02, 0.0)
    expected = (0.0, 0.1, 0.2, 0.3, 0.4, 0.52, 0.6)  # the one that comes late moves no other
    assert shown_at(monkeypatch, 10, busy) == pytest.approx(expected)


def test_after_a_stall_the_clock_goes_on_from_there_and_nothing_is_rushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = shown_at(monkeypatch, 10, (0.0, 1.0, 0.0, 0.0, 0.0))
    assert shown == pytest.approx((0.0, 0.1, 1.1, 1.2, 1.3))


def test_without_a_clock_no_frame_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_at(monkeypatch, None, (0.0, 0.0, 2.0, 0.0)) == [0.0, 0.0, 0.0, 2.0]


def test_a_wait_for_the_time_of_a_frame_ends_with_the_loop() -> None:
    buffer, begun_s = FrameBuffer(8, "wait"), time.monotonic()
    threading.Timer(0.01, buffer.end).start()
    buffer.pause(20)
    assert time.monotonic() - begun_s < 10


def test_what_was_made_before_a_failure_is_shown_before_it_is_told() -> None:
    buffer = FrameBuffer(8, "wait")
    frames = dummy_world().advance()
    buffer.put(frames, buffer.epoch)
    buffer.fail(RuntimeError("the device is gone"))
    assert [buffer.take() for _ in frames] == frames
    with pytest.raises(RuntimeError, match="the device is gone"):
        buffer.take()


def test_a_world_that_may_drop_frames_makes_one_chunk_in_a_chunks_time() -> None:
    world, begun_s = dummy_world(), time.monotonic()
    stream = world.frames(fps=world.frames_per_chunk, when_slow="drop_oldest")  # one a second
    next(stream)
    threading.Event().wait(0.1)
    made = world.chunks
    stream.close()
    assert made <= 1 + time.monotonic() - begun_s


def test_two_chunks_wait_to_be_shown_unless_another_buffer_is_asked_for() -> None:
    world = dummy_world()
    stream = world.frames(fps=None)
    next(stream)  # of chunk 0, whose others wait with chunk 1 and the first of chunk 2
    while world.chunks < 3:
        threading.Event().wait(0.001)
    threading.Event().wait(0.05)
    made = world.chunks
    stream.close()
    assert made == 3
