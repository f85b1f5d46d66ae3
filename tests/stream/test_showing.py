"""What a server shows when, by a clock that a test moves, and whom a frame answers."""

from __future__ import annotations

from collections import deque
from typing import cast

import numpy as np

from magi_rt.frames import Frame
from magi_rt.stream.maker import Maker
from magi_rt.stream.receipts import Receipts, Shown, Ticket
from magi_rt.stream.showing import NS, Showing
from magi_rt.stream.steered import MadeChunk

PIXELS = np.zeros((2, 2, 3), np.uint8)
MS = NS // 1000
START = 50 * NS
ANNA, BERT = Ticket("anna", 1), Ticket("bert", 1)


def chunk(number: int, *, epoch: int = 0, prompt: int = 0, cut: bool = False) -> MadeChunk:
    """A chunk of three frames."""
    frames = [Frame(PIXELS, 3 * number + place, number, "", 0.0) for place in range(3)]
    return MadeChunk(frames, number, prompt, "", epoch, "", cut)


class Stock(deque[MadeChunk]):
    """What a maker has ready."""

    def take(self, *, only_cut: bool = False) -> MadeChunk | None:
        return self.popleft() if self and (self[0].cut or not only_cut) else None


def showing(stock: Stock) -> Showing:
    """Ten frames in a second."""
    return Showing(cast(Maker, stock), fps=10)


def shown(screen: Showing, *times_ms: int) -> list[tuple[int, int] | None]:
    """Number of the frame that is due at each time, and when it was due."""
    given = [screen.due(START + time * MS) for time in times_ms]
    return [
        None if each is None else (each.frame.index, (each.due_ns - START) // MS) for each in given
    ]


def test_frames_fall_due_at_even_distances_however_late_the_clock_is_asked() -> None:
    screen = showing(Stock([chunk(0), chunk(1)]))
    said = shown(screen, 0, 99, 103, 199, 260, 290, 300)
    assert said == [(0, 0), None, (1, 100), None, (2, 200), None, (3, 300)]
    assert screen.wait_ns(START + 330 * MS) == 70 * MS


def test_after_a_stall_the_clock_goes_on_from_there_and_nothing_is_rushed() -> None:
    screen = showing(Stock([chunk(0)]))
    assert shown(screen, 0, 1000, 1001, 1100) == [(0, 0), (1, 1000), None, (2, 1100)]


def test_a_frame_that_is_not_there_is_late_once_however_often_it_is_asked_for() -> None:
    screen = showing(stock := Stock())
    shown(screen, 0, 50)
    assert screen.counts.late == 0, "before the first chunk nothing is late"
    stock.append(chunk(0))
    shown(screen, 100, 200, 300, 400, 450, 500)
    assert screen.counts.late == 1 and screen.wait_ns(START) is None
    stock.append(chunk(1))
    assert shown(screen, 530) == [(3, 530)]
    shown(screen, 630, 730, 830, 840)
    assert (screen.counts.late, screen.counts.frames) == (2, 6)


def test_a_jump_takes_the_place_of_the_frames_that_were_left() -> None:
    screen = showing(stock := Stock([chunk(0)]))
    shown(screen, 0)
    stock.append(chunk(7, epoch=1, cut=True))
    assert shown(screen, 100) == [(21, 100)]
    assert screen.counts.dropped == 2 and screen.epoch == 1


def test_a_pause_stands_still_but_for_the_first_frame_of_a_jump() -> None:
    screen = showing(stock := Stock([chunk(0)]))
    screen.paused = True
    assert shown(screen, 0, 100, 200) == [(0, 0), None, None]
    assert screen.wait_ns(START + 300 * MS) is None
    stock.append(chunk(7, epoch=1, cut=True))
    assert shown(screen, 310, 320, 500) == [(21, 310), None, None]
    screen.paused = False
    assert shown(screen, 600) == [(22, 600)]


def test_the_first_frame_of_an_epoch_and_of_a_prompt_is_marked() -> None:
    stock = Stock([chunk(0), chunk(1, prompt=4), chunk(2, epoch=1, prompt=4)])
    screen, marks = showing(stock), []
    for turn in range(9):
        given = screen.due(START + turn * 100 * MS)
        assert given is not None
        marks.append((given.first, given.turn))
    plain = [(False, False)] * 2
    assert marks == [(True, False), *plain, (False, True), *plain, (True, False), *plain]


def test_a_frame_answers_all_jumps_up_to_its_epoch_and_its_own_prompt_once() -> None:
    receipts = Receipts()
    receipts.expect_epoch(1, ANNA)
    receipts.expect_epoch(3, BERT)
    receipts.expect_prompt(5, BERT)
    assert receipts.shown(0, 0) == []
    assert receipts.shown(5, 2) == [Shown(ANNA), Shown(BERT, 5)]
    assert receipts.shown(5, 2) == []
    assert receipts.shown(0, 3) == [Shown(BERT)] and not len(receipts)


def test_a_prompt_that_gives_way_ends_the_wait_for_its_beginning_only_where_that_fails_too() -> (
    None
):
    receipts = Receipts()
    receipts.expect_epoch(1, ANNA, prompt=5)
    assert receipts.drop_prompt(5, jumps=False) is None
    assert receipts.drop_prompt(0) is None
    assert receipts.drop_prompt(5) == ANNA
    assert receipts.shown(5, 1) == []
