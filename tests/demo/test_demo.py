"""Pages watch one world, steer it in turn, go back, and compare two futures."""

from __future__ import annotations

import base64
import io
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed

from magi_rt.demo.hall import VIEWERS
from magi_rt.demo.messages import PageError, read_request
from magi_rt.demo.wheel import Wheel
from magi_rt.demo.worlds import LocalWorlds, RemoteWorlds
from magi_rt.errors import OptionError
from magi_rt.stream.server import WorldServer
from magi_rt.world import World
from magi_rt.world.run_log import RunLog
from tests.demo.pages import WAIT_S, Page, demo


def test_a_page_sees_frames_that_fit_what_was_said_of_them(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        version, picture, form, _, _, _, _, _, width, height, _ = page.newest[0]
        assert (version, picture, form) == (1, 0, 0)
        assert len(page.pixels[0]) == 4 * width * height
        card = next(event for event in page.events if event["event"] == "picture")
        assert (card["width"], card["height"]) == (width, height)
        assert page.welcome["actions"]["keys"]["left"] == "gravity pulls left"


def test_a_prompt_is_answered_applied_and_written_under_its_chunk(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        applied = page.live().apply("prompt", text="night falls")
        assert applied["ok"] and applied["ms"] > 0
        assert page.until("chunk", text="night falls")["thumb"].startswith("data:image/jpeg")


def test_keys_and_pulls_say_what_the_action_map_says(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        assert page.ask("key", key="ArrowLeft")["text"] == "gravity pulls left"
        assert page.ask("key", key="F13")["text"] is None
        assert page.ask("pull", device="drag", x=0, y=1)["text"] == "gravity pulls up"
        assert page.ask("pull", device="drag", x=0.1, y=1)["text"] is None
        assert page.ask("pull", device="tilt", x=0, y=1)["text"] == "gravity pulls up"


def test_a_rewind_shows_the_chunk_again_and_cuts_the_strip(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=5)
        assert page.apply("rewind", chunk=2)["chunk"] == 2
        page.until("chunk", chunk=3)
        with Page(server) as other:
            strip = other.until("picture")["strip"]
        assert [note["chunk"] for note in strip][:4] == [0, 1, 2, 3]


def test_a_fork_shows_a_second_picture_from_that_moment_that_goes_its_own_way(
    tmp_path: Path,
) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live().apply("prompt", text="night falls")
        page.until_frame(chunk=6)
        assert page.ask("fork", chunk=4)["ok"]
        assert page.until_frame(picture=1)[5] == 4
        assert page.until("chunk", picture=1)["text"] == "night falls"
        assert page.apply("prompt", text="it snows", picture=1)["ok"]
        assert page.until("chunk", picture=1, text="it snows")
        assert "second one first" in page.ask("fork", chunk=1)["error"]
        assert page.ask("unfork")["ok"] and not page.ask("unfork")["ok"]
        assert "fork one first" in page.ask("prompt", text="x", picture=1)["error"]


def test_a_second_picture_stands_while_the_first_does_and_keeps_its_pace(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        assert page.ask("fps", fps=12)["fps"] == 12
        page.ask("pause")
        place = len(page.events)
        assert page.ask("fork", chunk=0)["ok"]
        card = page.since(place, "picture", picture=1)
        assert (card["paused"], card["fps"]) == (True, 12)
        assert page.since(place, "chunk", picture=1)["text"] == page.welcome["start"]


def test_a_drawn_first_picture_begins_a_new_world(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(file, "PNG")
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        place = len(page.events)
        assert page.apply("image", data=data, text="a red room")["chunk"] == 0
        assert page.since(place, "chunk", text="a red room")["chunk"] == 0
        for text in ("???", "bücher"):
            assert "as base64" in page.ask("image", data=text)["error"]
        assert not page.ask("image", data=base64.b64encode(b"no picture").decode())["ok"]


def test_a_reset_begins_with_the_first_prompt_again(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        place = len(page.events)
        assert page.apply("reset", seed=5)["chunk"] == 0
        assert page.since(place, "chunk", chunk=0)["text"] == page.welcome["start"]


def test_a_snapshot_is_saved_and_loaded(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.until_frame(chunk=2)
        assert page.ask("save", name="here")["bytes"] > 0
        page.until_frame(chunk=5)
        assert page.apply("load", name="here")["chunk"] < 5
        assert not page.ask("load", name="nowhere")["ok"]
        assert not page.ask("save", name="../elsewhere")["ok"]


def test_what_is_shown_is_recorded(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        assert page.ask("record", on=True)["ok"]
        assert "already" in page.ask("record", on=True)["error"]
        page.until_frame(chunk=page.newest[0][5] + 2)
        told = page.ask("record", on=False)
        assert told["frames"] > 4
        with urllib.request.urlopen(server.url + told["file"], timeout=WAIT_S) as answer:
            assert answer.read()[4:8] == b"ftyp"


def test_all_are_told_when_somebody_ends_the_video(tmp_path: Path) -> None:
    with (
        demo(tmp_path, everyone_steers=True) as server,
        Page(server) as page,
        Page(server) as other,
    ):
        page.live().ask("record", on=True)
        other.live()
        page.until_frame(chunk=page.newest[0][5] + 2)
        told = other.ask("record", on=False)
        news = page.until("recorded")
        assert news["why"] == f"viewer {other.welcome['you']} ended the recording"
        assert {name: news[name] for name in ("file", "frames", "left_out")} == {
            name: told[name] for name in ("file", "frames", "left_out")
        }
        page.ask("record", on=True)
        assert not [each for each in other.events if each.get("event") == "recorded"]


def test_a_recording_without_a_frame_fails_and_the_next_one_may_begin(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live().ask("pause")
        assert page.ask("record", on=True)["ok"]
        number = page.send("record", on=False)
        page.until("room", recording=False)
        assert not page.until("answer", id=number)["ok"]
        assert page.ask("record", on=True)["ok"]


def test_the_replay_file_of_the_page_repeats_the_run(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live().apply("prompt", text="night falls")
        address = server.url + "replay.json"
        with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
            (tmp_path / "run.json").write_bytes(answer.read())
    assert RunLog.load(tmp_path / "run.json").events[-1].prompt == "night falls"
    World.replay(tmp_path / "run.json").close()


def test_a_paused_world_stands_still_until_it_is_resumed(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        number = page.send("pause")
        assert page.until("paused")["paused"] and page.until("answer", id=number)["ok"]
        assert page.ask("resume")["ok"]
        page.until_frame(chunk=page.newest[0][5] + 1)


def test_one_page_steers_and_others_ask_for_the_wheel(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as first, Page(server) as second:
        first.live()
        refused = second.ask("prompt", text="it snows")
        assert not refused["ok"] and "ask for the wheel" in refused["error"]
        assert second.ask("wheel")["yours"] is False
        number = second.welcome["you"]
        assert not second.ask("wheel", give=number)["ok"]
        assert first.ask("wheel", give=number)["ok"]
        assert second.ask("prompt", text="it snows")["ok"]
        second.close()
        first.until("room", wheel=first.welcome["you"])
        assert first.ask("prompt", text="it rains")["ok"]


def test_a_stick_that_was_held_when_the_wheel_went_speaks_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    left = {"device": "gamepad", "x": -1.0, "y": 0.0}
    with demo(tmp_path) as server, Page(server) as first, Page(server) as second:
        first.live()
        said = first.ask("pull", **left)["text"]
        assert said and first.ask("pull", **left)["text"] is None
        assert first.ask("wheel", give=second.welcome["you"])["ok"]
        assert not first.ask("pull", **{**left, "x": 0.0})["ok"]
        assert second.ask("wheel", give=first.welcome["you"])["ok"]
        assert first.ask("pull", **left)["text"] == said


def test_a_wheel_at_rest_goes_to_who_asked_first() -> None:
    now = [0.0]
    wheel = Wheel(lambda: now[0])
    for viewer in (1, 2, 3):
        wheel.join(viewer)
    assert [wheel.ask(2), wheel.ask(3)] == [False, False]
    now[0] = 20.0
    assert wheel.may_steer(1) and not wheel.pass_on()
    now[0] = 51.0
    assert wheel.pass_on() and (wheel.holder, wheel.asking) == (2, [3])
    assert not wheel.pass_on(), "the new holder has its time"


def test_who_asks_at_the_last_moment_does_not_pass_those_who_asked_before() -> None:
    now = [0.0]
    wheel = Wheel(lambda: now[0])
    for viewer in (1, 2, 3):
        wheel.join(viewer)
    assert not wheel.ask(2)
    now[0] = 31.0
    assert not wheel.ask(3)
    assert wheel.ask(2) and (wheel.holder, wheel.asking) == (2, [3])


def test_everybody_steers_where_that_was_asked_for(tmp_path: Path) -> None:
    with (
        demo(tmp_path, everyone_steers=True) as server,
        Page(server) as first,
        Page(server) as second,
    ):
        first.live()
        assert first.ask("prompt", text="it snows")["ok"]
        assert second.ask("prompt", text="it rains")["ok"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "whole number"),
        ('{"id": 1, "do": "explode"}', "it must be one of prompt"),
        ('{"id": 1, "do": "prompt"}', "text is 'None'"),
        ('{"id": 1, "do": "prompt", "text": 5}', "must be a text"),
        ('{"id": 1, "do": "prompt", "text": "x", "picture": 7}', "from 0 to 1"),
        ('{"id": 1, "do": "fps", "fps": 1e999}', "must be a number"),
        ('{"id": 1, "do": "record", "on": 1}', "true or false"),
        ('{"id": 1, "do": "fps", "fps": 1' + "0" * 400 + "}", "must be a number"),
        ("[" * 5000, "not JSON"),
        ('{"id": 1, "do": "prompt", "text": "' + "x" * 20_000 + '"}', "at most 16,384"),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_with_the_reason(
    tmp_path: Path, text: str, said: str
) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        page.socket.send(text)
        answer = page.until("answer")
        assert not answer["ok"] and said in answer["error"]
        assert page.ask("prompt", text="it goes on")["ok"]


def test_a_message_of_millions_of_lists_is_refused_before_it_is_read() -> None:
    begun_s = time.process_time()
    with pytest.raises(PageError, match="flat"):
        read_request('{"id": 1, "do": "image", "data": [' + "[]," * 3_900_000 + "[]]}")
    assert time.process_time() - begun_s < 1, "meanwhile nobody would see a picture"


def test_a_page_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    with demo(tmp_path) as server, Page(server) as page:
        page.live()
        last = [page.send("key", key="F13") for _ in range(200)][-1]
        page.until("answer", id=last)
        refused = [e for e in page.events if e["event"] == "answer" and not e["ok"]]
        assert refused and all("too many" in event["error"] for event in refused)


def test_a_full_room_takes_no_more_pages(tmp_path: Path) -> None:
    with demo(tmp_path) as server:
        pages = [Page(server) for _ in range(VIEWERS)]
        with pytest.raises(ConnectionClosed, match="watch already"):
            Page(server)
        for page in pages:
            page.close()


def test_a_taken_port_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with demo(tmp_path) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(OptionError, match="0 for a free one"), demo(tmp_path, port=port):
            pass


def test_a_running_server_is_shown_and_steered_but_not_forked(tmp_path: Path) -> None:
    world = World.open("dummy")
    with (
        WorldServer(world, f"ipc://{tmp_path}/world") as shown,
        demo(tmp_path, RemoteWorlds(shown.address)) as server,
        Page(server) as page,
    ):
        page.live()
        assert page.apply("prompt", text="night falls")["ok"]
        assert "--connect" in page.ask("fork", chunk=0)["error"]
        with pytest.raises(urllib.error.HTTPError, match="409"):
            urllib.request.urlopen(server.url + "replay.json", timeout=WAIT_S)


def test_a_world_that_cannot_be_opened_is_told_on_the_page(tmp_path: Path) -> None:
    worlds = LocalWorlds(str(tmp_path / "nothing"), {})
    with demo(tmp_path, worlds) as server, Page(server) as page:
        failed = page.until("room", state="failed")
        assert "nothing" in failed["failure"]
        assert page.ask("prompt", text="x")["error"] == failed["failure"]


def test_the_page_itself_is_served_with_its_policy(tmp_path: Path) -> None:
    with demo(tmp_path) as server, urllib.request.urlopen(server.url, timeout=WAIT_S) as answer:
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert b"magi_rt" in answer.read()
