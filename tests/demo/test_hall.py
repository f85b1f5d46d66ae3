"""Worlds that break are told of, and what was begun is ended in order."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from magi_rt.cli.demo import NEVER_OPENED, _show
from magi_rt.demo import recorder
from magi_rt.demo.app import Door
from magi_rt.demo.hall import Hall
from magi_rt.demo.serve import DemoServer
from magi_rt.demo.worlds import LocalWorlds
from magi_rt.errors import MagiError, OptionError, ServerLostError
from magi_rt.stream.client import WorldClient
from magi_rt.world import World
from magi_rt.world.actions import ActionMap
from tests.demo.pages import WAIT_S, Page, demo


class ClosedWorlds(LocalWorlds):
    """Remembers whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class BreakingWorlds(ClosedWorlds):
    """Too large for every machine."""

    def open(self) -> WorldClient:
        raise MemoryError("14 GiB are not there")


def test_a_world_that_breaks_while_it_opens_is_told_on_the_page_and_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    worlds = BreakingWorlds("dummy", {})
    with demo(tmp_path, worlds) as server, Page(server) as page:
        failed = page.until("room", state="failed")
        assert failed["failure"] == "MemoryError: 14 GiB are not there"
    assert worlds.closed
    assert "magi-rt: MemoryError: 14 GiB are not there\n" in capfd.readouterr().err


class StubbornPicture:
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("the connection is stuck")


def test_worlds_are_closed_even_if_a_picture_cannot_be(tmp_path: Path) -> None:
    worlds = ClosedWorlds("dummy", {})

    async def ended() -> None:
        hall = Hall(worlds, ActionMap(), tmp_path)
        hall.pictures = [StubbornPicture()]  # type: ignore[list-item]
        await hall.close()

    with pytest.raises(OSError, match="stuck"):
        asyncio.run(ended())
    assert worlds.closed


class EndingWorlds(BreakingWorlds):
    """Ends its demo when it breaks, as somebody who reads so would."""

    server: DemoServer

    def open(self) -> WorldClient:
        self.server.stop()
        return super().open()


def test_a_demo_whose_world_never_opened_ends_with_an_exit_code_that_says_so(
    tmp_path: Path,
) -> None:
    worlds = EndingWorlds("dummy", {})
    worlds.server = DemoServer(worlds, ActionMap.of("dummy"), tmp_path, Door())
    with pytest.raises(typer.Exit) as ended:
        _show(worlds.server, "127.0.0.1", browser=False, seconds=None, kept=False)
    assert ended.value.exit_code == NEVER_OPENED != 0


def test_a_recording_that_runs_when_the_demo_ends_is_kept_in_the_saved_folder(
    tmp_path: Path,
) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        assert page.ask("record", on=True)["ok"]
        page.until_frame(chunk=page.newest[0][5] + 2)
    (video,) = tmp_path.glob("*.mp4")
    assert video == server.room.last_video
    assert video.read_bytes()[4:8] == b"ftyp"


def test_a_recording_that_is_full_ends_by_itself_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_S", 0.2)
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        card = page.since(0, "picture")
        assert page.ask("record", on=True)["ok"]
        told = page.until("recorded")
        assert (told["frames"], told["left_out"]) == (round(0.2 * card["fps"]), 0)
        with urllib.request.urlopen(server.url + told["file"], timeout=WAIT_S) as answer:
            assert answer.read()[4:8] == b"ftyp"
        assert page.ask("record", on=True)["ok"], "another one may begin"


def test_what_writes_videos_is_loaded_while_the_world_opens(tmp_path: Path) -> None:
    begin = (
        "import sys; from pathlib import Path; from tests.demo.pages import Page, demo\n"
        f"with demo(Path({str(tmp_path)!r})) as server, Page(server) as page:\n"
        "    page.live().until('stats')\n"
        "    print('av' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True)
    assert run.stdout == "True\n", run.stderr


def test_a_second_picture_that_cannot_be_set_up_leaves_one_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = WorldClient.set
    failures = [ServerLostError("no answer within 10 s")]

    def fails_once(client: WorldClient, **values: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return whole(client, **values)

    monkeypatch.setattr(WorldClient, "set", fails_once)
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        assert page.ask("fork", chunk=1)["error"] == "no answer within 10 s"
        assert page.ask("fork", chunk=1)["ok"]
        assert page.until_frame(picture=1)[5] >= 1


def test_a_second_picture_of_a_paused_world_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = WorldClient.pause

    def late(client: WorldClient) -> None:
        whole(client)
        time.sleep(0.5)  # all frames that a paused world shows have come by now

    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        page.ask("pause")
        monkeypatch.setattr(WorldClient, "pause", late)
        place = len(page.events)
        page.send("fork", chunk=1)
        page.since(place, "picture", picture=1)
        page.newest.pop(1, None)  # the page could not show what came before its card
        page.until("stats", picture=1)
        assert page.newest[1][5] >= 1


def test_a_closed_second_picture_keeps_no_fork_of_the_first_world(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        assert page.ask("fork", chunk=1)["ok"] and page.ask("unfork")["ok"]
        assert server.room.pictures[0].client.fork("mine") == ["mine"]
        assert page.ask("fork", chunk=1)["ok"], "another one may be opened"


def test_a_world_that_cannot_be_served_is_closed(tmp_path: Path) -> None:
    world = World.open("dummy")
    worlds = LocalWorlds("dummy", {}, fps=500)
    with pytest.raises(OptionError, match="1 to 240"):
        worlds._serve(world, "")
    with pytest.raises(MagiError, match="closed"):
        world.advance()
    worlds.close()


def test_a_picture_file_begins_without_words_that_are_not_about_it(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (20, 160, 60)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        place = len(page.events)
        assert page.apply("image", data=data, text="")["chunk"] == 0
        assert page.since(place, "chunk", chunk=0)["text"] == ""
        page.until_frame(chunk=2)
        place = len(page.events)
        assert page.apply("image", data=data)["chunk"] == 0
        assert page.since(place, "chunk", chunk=0)["text"] == page.welcome["start"]


REPLAY = """
from magi_rt.demo.worlds import LocalWorlds
worlds = LocalWorlds("dummy", {})
with worlds.open() as client:
    client.prompt("Käthe läuft, 赤いボール").wait(60)
    print(ascii(worlds.replay(0)))
worlds.close()
"""


def test_the_replay_file_keeps_prompts_in_every_script() -> None:
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning:magi_rt"]
    program = [sys.executable, *strict, "-c", REPLAY]
    done = subprocess.run(program, capture_output=True, text=True, timeout=2 * WAIT_S)
    assert done.returncode == 0, done.stderr
    run = json.loads(ast.literal_eval(done.stdout))
    assert run["events"][-1]["prompt"] == "Käthe läuft, 赤いボール"
