"""A page that shows somebody else's server keeps up with what others do to it."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from magi_rt.demo.worlds import RemoteWorlds
from magi_rt.stream.client import WorldClient
from magi_rt.stream.server import WorldServer
from magi_rt.world import World
from tests.demo.pages import Page, demo
from tests.stream.test_client import ServedProcess


def film(path: Path) -> tuple[int, Fraction, int, int]:
    """Frames, rate, height and width of a video."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.average_rate is not None
        frames = sum(1 for _ in container.decode(video))
        return frames, video.average_rate, video.height, video.width


def recorded(page: Page, folder: Path, chunks: int) -> tuple[dict[str, Any], Path]:
    """What the page is told of a video of so many chunks, and where it is."""
    assert page.ask("record", on=True)["ok"]
    page.until_frame(chunk=page.newest[0][5] + chunks)
    told = page.ask("record", on=False)
    assert told["ok"], told
    return told, folder / Path(told["file"]).name


def test_a_pause_by_another_client_is_told_to_every_page(tmp_path: Path) -> None:
    with (
        WorldServer(World.open("dummy"), f"ipc://{tmp_path}/world") as shown,
        demo(tmp_path, RemoteWorlds(shown.address)) as server,
        Page(server) as page,
        WorldClient(shown.address) as other,
    ):
        page.live()
        other.pause()
        page.until("paused", paused=True)
        with Page(server) as late:
            assert late.until("picture")["paused"] is True
        other.resume()
        page.until("paused", paused=False)


def test_a_video_has_the_pace_that_another_client_has_set(tmp_path: Path) -> None:
    with (
        WorldServer(World.open("dummy"), f"ipc://{tmp_path}/world") as shown,
        demo(tmp_path, RemoteWorlds(shown.address)) as server,
        Page(server) as page,
        WorldClient(shown.address) as other,
    ):
        page.live()
        other.set(fps=60)
        end_s = time.monotonic() + 10
        while server.room.pictures[0].facts.fps != 60 and time.monotonic() < end_s:
            page.step()
        _, path = recorded(page, tmp_path, 2)
        assert film(path)[1] == 60


def test_a_video_whose_pace_changes_lasts_as_long_as_what_it_shows(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        assert page.ask("record", on=True)["ok"]
        assert page.ask("fps", fps=6)["fps"] == 6
        begun_s, begun = time.monotonic(), page.until_frame()[6]
        while time.monotonic() < begun_s + 3:
            page.step()
        shown = page.newest[0][6] - begun
        told = page.ask("record", on=False)
        frames, rate, *_ = film(tmp_path / Path(told["file"]).name)
        assert frames == told["frames"] and rate == 24
        # each was shown for a sixth of a second; some came before and after these were counted
        assert 4 * shown <= frames <= 4 * (shown + 4) + 24


def test_pages_know_within_seconds_that_a_server_was_killed(tmp_path: Path) -> None:
    killed = ServedProcess("--port", "0")
    try:
        with demo(tmp_path, RemoteWorlds(killed.address)) as server, Page(server) as page:
            page.live().until("stats", connected=True)
            killed.kill()
            begun_s = time.monotonic()
            page.until("stats", connected=False)
            assert time.monotonic() - begun_s < 8, "1.5 s of silence, and a second between numbers"
    finally:
        killed.kill()


def test_a_demo_ends_without_a_traceback_while_a_request_waits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = ServedProcess("--port", "0")
    try:
        with demo(tmp_path, RemoteWorlds(killed.address)) as server, Page(server) as page:
            page.live().until("stats", connected=True)
            killed.kill()
            page.until("stats", connected=False)
            page.send("prompt", text="rain")
            page.until("stats", connected=False)
            server.stop()
    finally:
        killed.kill()
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_that_comes_back_with_another_world_is_asked_what_it_shows(
    tmp_path: Path,
) -> None:
    address = f"ipc://{tmp_path}/world"
    first = WorldServer(World.open("dummy"), address).start()
    with demo(tmp_path, RemoteWorlds(address)) as server, Page(server) as page:
        page.live()
        place = len(page.events)
        first.close()
        with WorldServer(World.open("dummy", size=(96, 128)), address, fps=12):
            card = page.since(place, "picture")
            assert (card["height"], card["width"], card["fps"]) == (96, 128, 12)
            page.until_frame()
            _, path = recorded(page, tmp_path, 2)
            _, rate, height, width = film(path)
            assert rate == 12 and height * 128 == width * 96


def test_a_video_ends_whole_when_its_server_comes_back_with_another_size(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/world"
    first = WorldServer(World.open("dummy"), address).start()
    with demo(tmp_path, RemoteWorlds(address)) as server, Page(server) as page:
        assert page.live().ask("record", on=True)["ok"]
        page.until_frame(chunk=page.newest[0][5] + 2)
        first.close()
        with WorldServer(World.open("dummy", size=(96, 128)), address):
            told = page.until("recorded")
            frames, _, height, width = film(tmp_path / Path(told["file"]).name)
            assert "another size" in told["why"]
            assert frames == told["frames"] and height == width, "all of the first world's pictures"
            assert page.ask("record", on=True)["ok"], "another one may begin"
