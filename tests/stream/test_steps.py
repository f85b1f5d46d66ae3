"""How many steps a chunk took: told by headers and stats, and by neither when unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import msgpack
import numpy as np
import pytest

from magi_rt.frames import Frame
from magi_rt.stream.maker import Maker
from magi_rt.stream.showing import NS, Showing
from magi_rt.stream.steered import MadeChunk
from magi_rt.stream.wire import pack_header, unpack_header
from tests.stream.serving_kit import RawFrames, served
from tests.stream.support import HEADER


class MadeBefore:
    """A maker whose chunks of two frames are there already, one for each count of steps."""

    def __init__(self, steps: Sequence[int]) -> None:
        pixels = np.zeros((2, 2, 3), np.uint8)
        self.chunks = [
            MadeChunk(
                [Frame(pixels, 2 * number + each, number, "", 0.0, count) for each in range(2)],
                number, 0, "", 0, "", cut=False,
            )
            for number, count in enumerate(steps)
        ]  # fmt: skip

    def take(self, *, only_cut: bool = False) -> MadeChunk | None:
        return None if only_cut or not self.chunks else self.chunks.pop(0)


@pytest.mark.parametrize(
    ("steps", "last", "changes"),
    [([8, 8, 8], 8, 0), ([8, 4, 4, 8], 8, 2), ([0, 8, 4], 4, 1), ([], 0, 0)],
)
def test_changes_of_steps_are_counted_as_they_show(
    steps: list[int], last: int, changes: int
) -> None:
    showing = Showing(cast(Maker, MadeBefore(steps)), fps=10)
    for turn in range(2 * len(steps)):
        assert showing.due((1 + turn) * NS) is not None
    assert (showing.steps, showing.counts.steps_changed) == (last, changes)


class MadeElsewhere(MadeBefore):
    """A maker whose chunks do not follow each other."""

    def take(self, *, only_cut: bool = False) -> MadeChunk | None:
        return replace(self.chunks.pop(0), cut=True) if self.chunks else None


def test_a_jump_is_shown_though_the_pause_came_before_its_frame_was_due() -> None:
    showing = Showing(cast(Maker, made := MadeElsewhere([])), fps=1)
    made.chunks = MadeElsewhere([8]).chunks
    assert showing.due(10 * NS) is not None
    made.chunks = MadeElsewhere([8]).chunks
    assert showing.due(10 * NS + 1) is None  # the jump is taken, and due in a second
    showing.paused = True
    assert showing.due(10 * NS + 2) is not None
    assert showing.due(20 * NS) is None


def test_jumps_while_paused_do_not_make_the_clock_wait() -> None:
    showing = Showing(cast(Maker, made := MadeElsewhere([])), fps=1)
    showing.paused = True
    for turn in range(10):
        made.chunks = MadeElsewhere([8]).chunks
        given = showing.due(10 * NS + turn)
        assert given is not None and given.due_ns == 10 * NS + turn
    showing.paused = False
    assert showing.wait_ns(10 * NS + 9) == NS


def test_a_served_world_tells_its_steps_in_headers_and_stats() -> None:
    with served() as server, RawFrames(server.address) as frames:
        assert {header.steps for header in frames.until_seq(10)} == {server.steps}
        assert server.steps > 0
        assert server.stats()["steps"] == server.steps
        assert server.stats()["steps_changed"] == 0


def test_steps_that_are_not_known_are_not_sent() -> None:
    assert HEADER.steps == 0
    assert "steps" not in msgpack.unpackb(pack_header(HEADER))
    assert unpack_header(pack_header(HEADER)) == HEADER
