"""The rules on whole messages, with a made-up socket and a made-up clock."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import Any

import pytest
import zmq

from magi_rt.stream.events import Event, Heartbeat, NewEpoch, ServerEnds, pack_event
from magi_rt.stream.intake import Intake
from magi_rt.stream.received import Received
from magi_rt.stream.topics import EVENT
from magi_rt.stream.wire import FrameHeader, pack_header, pack_packed
from tests.stream.support import HEADER, NEXT_STREAM, STREAM, numbered, picture

MS = 1_000_000
FRAME = 40 * MS
PIXELS = picture().tobytes()
PARTS, PACKED = b"frame/rgb8/top/parts", b"frame/rgb8/top/packed"


class Part(zmq.Frame):
    """One part of a message; libzmq alone can say of its own that more follow."""

    more = False


class Desk:
    """An intake whose messages and time a test decides."""

    def __init__(self, *, every: bool = False) -> None:
        self.messages: deque[list[bytes]] = deque()
        self.now = 10**12
        self.shown: list[Received] = []
        self.events: list[Event] = []
        self.asked = 0
        self.intake = Intake(
            self,  # type: ignore[arg-type]
            None,
            every=every,
            copy=True,
            deliver=self.shown.append,
            announce=lambda _: None,
            ask_again=self.ask_again,
            tell=self.events.append,
            clock=lambda: self.now,
        )

    def getsockopt(self, option: int) -> int:
        assert option == zmq.EVENTS
        return zmq.POLLIN if self.messages else 0

    def recv(self, flags: int, copy: bool) -> Part:
        assert flags == zmq.DONTWAIT and not copy
        message = self.messages[0]
        part = Part(message.pop(0))
        part.more = bool(message)
        if not message:
            self.messages.popleft()
        return part

    def ask_again(self) -> None:
        self.asked += 1

    def frame(self, seq: int, *, sent_ns: int | None = None, **changed: Any) -> None:
        sent = self.now - MS if sent_ns is None else sent_ns
        self.send(numbered(seq, sent_ns=sent, due_ns=seq * FRAME, **changed))

    def send(self, header: FrameHeader) -> None:
        self.messages.append([PARTS, pack_header(header), PIXELS])

    def event(self, event: Event) -> None:
        self.messages.append([EVENT, pack_event(event)])

    def read(self) -> list[int]:
        """Numbers of the frames that are shown now."""
        before = len(self.shown)
        self.intake.read()
        return [received.header.seq for received in self.shown[before:]]

    def play(self, frames: int = 10) -> None:
        """So many frames at their pace."""
        for seq in range(1, frames + 1):
            self.now += FRAME
            self.frame(seq)
            assert self.read() == [seq]

    def dropped(self, reason: str) -> int:
        return self.intake.stats.dropped[reason]


def common(**changed: Any) -> dict[str, Any]:
    return {"stream": STREAM, "epoch": 1, "seq": 1, "sent_ns": 0} | changed


def test_of_many_frames_only_the_newest_is_shown() -> None:
    desk = Desk()
    for seq in range(1, 8):
        desk.frame(seq)
    assert desk.read() == [7]
    assert desk.dropped("replaced") == 6
    assert desk.shown[0].pixels.tobytes() == PIXELS


def test_every_frame_is_shown_when_all_are_wanted() -> None:
    desk = Desk(every=True)
    for seq in (1, 2, 4, 4, 3, 9):
        desk.frame(seq, sent_ns=0)
    assert desk.read() == [1, 2, 4, 9]


def test_a_packed_frame_is_shown_like_one_in_parts() -> None:
    desk = Desk()
    desk.messages.append([pack_packed(PACKED, HEADER, PIXELS)])
    assert desk.read() == [1]
    assert desk.shown[0].pixels.tobytes() == PIXELS


def test_what_queued_during_a_stall_is_never_shown_when_fresh_frames_follow() -> None:
    desk = Desk()
    desk.play()
    stopped = desk.now
    desk.now += 10_000 * MS
    for late in range(1, 6):
        desk.frame(10 + late, sent_ns=stopped + late * FRAME)
        assert desk.read() == []
    desk.now += 20 * MS
    desk.frame(260)
    assert desk.read() == [260]
    desk.now += 1_000 * MS
    desk.intake.tick()
    assert [received.header.seq for received in desk.shown][-1] == 260
    assert desk.dropped("stale") == 5


def test_a_stale_frame_is_shown_when_no_fresh_one_comes_for_100_ms() -> None:
    desk = Desk()
    desk.play()
    stopped = desk.now
    desk.now += 10_000 * MS
    desk.frame(11, sent_ns=stopped)
    assert desk.read() == []
    desk.now += 60 * MS
    desk.frame(12, sent_ns=stopped + FRAME)
    assert desk.read() == []
    assert 0 < desk.intake.wait_ms <= 41
    desk.now += 41 * MS
    assert desk.read() == [12]


def test_a_stale_frame_of_an_epoch_that_has_ended_is_not_shown_in_the_end() -> None:
    desk = Desk()
    desk.play()
    desk.now += 10_000 * MS
    desk.frame(11, sent_ns=0)
    assert desk.read() == []
    desk.event(NewEpoch(**common(epoch=2), reason="flush"))
    desk.now += 200 * MS
    assert desk.read() == []
    assert desk.dropped("epoch") == 1


def test_an_epoch_that_a_receipt_tells_of_while_frames_are_read_ends_them() -> None:
    desk = Desk()
    desk.frame(1)
    desk.read()
    desk.intake.gate.hear(STREAM, 4)
    desk.frame(2, epoch=3)
    desk.frame(3, epoch=4)
    desk.frame(4, epoch=3)
    assert desk.read() == [3]


def test_frames_of_a_dead_server_are_not_shown_after_those_of_its_successor() -> None:
    desk = Desk()
    desk.play()
    desk.frame(1, stream=NEXT_STREAM, epoch=0)
    desk.frame(11)
    desk.frame(2, stream=NEXT_STREAM, epoch=0)
    assert desk.read() == [2]
    assert desk.shown[-1].header.stream == NEXT_STREAM
    assert desk.dropped("stream") == 1


def test_the_successor_s_clock_does_not_make_its_frames_stale() -> None:
    desk = Desk()
    desk.play()
    desk.frame(1, stream=NEXT_STREAM, sent_ns=0)
    assert desk.read() == [1]


def test_a_frame_repeated_for_somebody_else_is_not_shown_again() -> None:
    desk = Desk()
    desk.frame(1)
    desk.frame(1, flags=1)
    assert desk.read() == [1]
    desk.frame(1, flags=1)
    assert desk.read() == []


def test_what_is_malformed_is_counted_and_logged_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    good = pack_header(HEADER)
    faults = [
        [], [b""], [PARTS], [PARTS, good], [PARTS, good, PIXELS[:-1]], [PARTS, good, PIXELS, b""],
        [PARTS, b"\xc1", PIXELS], [b"frame/bgr8/top/parts", good, PIXELS],
        [b"frame/rgb8/bottom/parts", good, PIXELS], [b"frame/rgb8/top/shared", good],
        [b"frame/rgb9/top/parts", good, PIXELS], [b"x" * 10_000, good, PIXELS],
        [PACKED + b"\0", good, PIXELS], [EVENT, good], [EVENT, b""], [EVENT, good, good],
        [pack_packed(PACKED, replace(HEADER, size=35), PIXELS)],
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING, "magi_rt.stream"):
        for fault in filter(None, faults):
            desk.messages.append(fault)
            assert desk.read() == []
    assert desk.dropped("malformed") == len(faults) - 1
    assert len(caplog.records) == 1
    desk.now += 1_000 * MS
    desk.messages.append([b"again"])
    desk.frame(1)
    with caplog.at_level(logging.WARNING, "magi_rt.stream"):
        assert desk.read() == [1]
    assert len(caplog.records) == 2


def test_the_server_is_heard_through_frames_and_events_until_its_bye() -> None:
    desk = Desk()
    desk.event(Heartbeat(**common(seq=0), fps=24.0, paused=False))
    desk.read()
    assert desk.intake.heard_ns == desk.now
    desk.now += 400 * MS
    desk.frame(1)
    desk.read()
    assert desk.intake.heard_ns == desk.now
    desk.event(ServerEnds(**common(), reason="over"))
    desk.read()
    assert desk.intake.heard_ns == 0
    assert [type(event) for event in desk.events] == [Heartbeat, ServerEnds]


def test_a_dead_stream_s_heartbeat_does_not_count_as_hearing() -> None:
    desk = Desk()
    desk.frame(1)
    desk.frame(1, stream=NEXT_STREAM)
    desk.read()
    heard, desk.now = desk.intake.heard_ns, desk.now + 900 * MS
    desk.event(Heartbeat(**common(), fps=24.0, paused=False))
    desk.frame(2)
    desk.read()
    assert desk.intake.heard_ns == heard
    assert desk.events == []


def test_a_last_frame_that_has_not_come_is_asked_for_again() -> None:
    desk = Desk()
    desk.frame(1)
    desk.event(Heartbeat(**common(seq=1), fps=24.0, paused=True))
    desk.read()
    assert desk.asked == 0
    desk.event(Heartbeat(**common(seq=2), fps=24.0, paused=True))
    desk.read()
    assert desk.asked == 1


def test_a_flood_of_frames_does_not_keep_the_newest_from_being_shown() -> None:
    desk = Desk()
    for seq in range(1, 1001):
        desk.frame(seq)
    assert desk.read() == [256]
    assert desk.messages
