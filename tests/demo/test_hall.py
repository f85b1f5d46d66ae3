"""Worlds that break are told of, and what was begun is ended in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.demo.worlds import LocalWorlds
from magi_rt.stream.client import WorldClient
from tests.demo.pages import Page, demo


class BreakingWorlds(LocalWorlds):
    """Too large for every machine."""

    closed = False

    def open(self) -> WorldClient:
        raise MemoryError("14 GiB are not there")

    def close(self) -> None:
        self.closed = True
        super().close()


def test_a_world_that_breaks_while_it_opens_is_told_on_the_page_and_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    worlds = BreakingWorlds("dummy", {})
    with demo(tmp_path, worlds) as server, Page(server) as page:
        failed = page.until("room", state="failed")
        assert failed["failure"] == "MemoryError: 14 GiB are not there"
    assert worlds.closed
    assert "magi-rt: MemoryError: 14 GiB are not there\n" in capfd.readouterr().err
