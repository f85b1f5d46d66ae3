"""`magi-rt watch` with a window: how long it waits for a server that says nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from magi_rt.cli import windows
from tests.cli.test_served import PaperWindow, invoke, refusal, said
from tests.stream.serving_kit import served, wait_for


class WatchedWindow(PaperWindow):
    """Tells somebody each time the window looks for a key; q is pressed when that one says so."""

    def __init__(self, looked: Callable[[PaperWindow], bool]) -> None:
        super().__init__(10**9)
        self._looked = looked

    def waitKeyEx(self, tick_ms: int) -> int:
        return ord("q") if self._looked(self) else super().waitKeyEx(tick_ms)


def test_a_window_ends_when_no_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = PaperWindow(1)
    monkeypatch.setattr(windows, "_cv2", lambda: paper)
    said_so = refusal("watch", "tcp://127.0.0.1:9", "--timeout", "0.3")
    assert "no answer from tcp://127.0.0.1:9 within 0.3 s" in said_so
    assert paper.closed and not paper.pictures


def test_a_window_ends_when_its_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as server:

        def end_after_three(paper: PaperWindow) -> bool:
            if len(paper.pictures) == 3:
                server.close()
            return False

        paper = WatchedWindow(end_after_three)
        monkeypatch.setattr(windows, "_cv2", lambda: paper)
        result = invoke("watch", server.address, "--timeout", "0.3")
    assert result.exit_code == 0 and result.stderr == "magi-rt: no frame came for 0.3 s\n"
    assert paper.closed and len(paper.pictures) >= 3


def test_a_window_stays_while_a_paused_server_says_that_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served() as server:
        wait_for(lambda: server.stats()["frames_shown"] > 0, "a frame")
        server._serving._pause(True)
        publisher = server._serving.publisher
        before = publisher.stats.events
        paper = WatchedWindow(lambda _: publisher.stats.events >= before + 3)
        monkeypatch.setattr(windows, "_cv2", lambda: paper)
        assert said("watch", server.address, "--timeout", "1.0") == ""
        assert publisher.stats.events >= before + 3
    assert len(paper.pictures) == 1, "a newcomer gets the last frame at once"
