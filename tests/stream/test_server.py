"""A server obeys the protocol: every request is answered, every change is told when it shows."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zmq

from magi_rt.errors import MagiError, OptionError, PromptError
from magi_rt.stream import maker
from magi_rt.stream.events import Heartbeat, ServerEnds
from magi_rt.stream.server import WorldServer
from magi_rt.world import World
from tests.stream.serving_kit import (
    LIMIT_S,
    RawControl,
    RawFrames,
    applied,
    receipts,
    served,
    wait_for,
)
from tests.world.kit import dummy_world


def test_hello_says_what_the_protocol_lists() -> None:
    with served(dummy_world(window=4), fps=30) as server:
        with RawControl(server.control_address) as control:
            answer = control.ask("hello", versions=[1, 7], name="a test")
        stream, frames = server.stream, server.address
    assert answer.pop("server").startswith("magi_rt ")
    assert answer == {
        "version": 1, "id": 1, "type": "accepted", "stream": stream, "epoch": 0, "chosen": 1,
        "model": "dummy", "width": 32, "height": 32, "fps": 30.0, "frames_per_chunk": 8,
        "delay_chunks": 3, "prompt_characters": 4000, "heartbeat_ms": 500, "format": "rgb8",
        "formats": ["rgb8", "rgba8", "bgra8", "bgr8", "jpeg"], "paused": False, "shared": "",
        "frames": frames, "buffer_ms": 266.7, "prompt": 0, "text": "",
    }  # fmt: skip


def test_a_hello_that_asks_for_shared_memory_is_told_a_file() -> None:
    with served() as server, RawControl(server.control_address) as control:
        path = Path(control.ask("hello", versions=[1], shared="rgba8/bottom")["shared"])
        assert path.name.startswith("magi_rt-")
        assert path.read_bytes()[8:24] == server.stream.encode()
    assert not path.exists()


def test_a_request_that_comes_again_is_answered_again_and_not_done_again() -> None:
    with served() as server, RawControl(server.control_address) as control:
        first = [control.ask("prompt", text="rain", id=77), control.answer()]
        again = [control.ask("prompt", text="rain", id=77), control.answer()]
        assert again == first
        assert applied(control, "prompt", text="snow")["prompt"] == first[0]["prompt"] + 1
        assert control.ask("stats")["stats"]["requests_repeated"] == 1


def test_ids_of_different_clients_are_different() -> None:
    with (
        served() as server,
        RawControl(server.control_address, client="a") as one,
        RawControl(server.control_address, client="b") as two,
    ):
        assert one.ask("prompt", text="rain", id=5)["prompt"] == 1
        assert two.ask("prompt", text="snow", id=5)["prompt"] == 2


def test_while_paused_nothing_is_shown_and_heartbeats_say_so() -> None:
    with (
        served() as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        frames.until_seq(1)
        assert control.ask("pause")["paused"] is True
        frames.until(lambda: any(isinstance(each, Heartbeat) for each in frames.events))
        beat = next(each for each in frames.events if isinstance(each, Heartbeat))
        assert beat.paused and beat.fps == 120
        assert server.stats()["frames_shown"] == frames.frames[-1].seq == beat.seq
        assert control.ask("resume")["paused"] is False
        frames.until_seq(beat.seq + 3)


def test_a_server_paused_before_its_first_frame_shows_that_one_and_stands_still() -> None:
    world = dummy_world()
    making = ExitStack()
    making.enter_context(world._timeline.machine.lock)  # no chunk is made before the pause
    with WorldServer(world, "tcp://127.0.0.1:*", fps=120) as server:
        with making, RawControl(server.control_address) as control:
            assert control.ask("pause")["paused"] is True
        with RawFrames(server.address) as frames:
            frames.until(lambda: any(each.seq for each in frames.events))
            assert server.stats()["frames_shown"] == 1
            assert {each.seq for each in frames.heard} <= {0, 1}
            with RawControl(server.control_address, client="other") as control:
                control.ask("resume")
            frames.until_seq(4)


@pytest.mark.parametrize(("kind", "values"), [("rewind", {"chunks": 1}), ("reset", {})])
def test_a_jump_while_paused_shows_its_first_frame_and_stands_there(
    kind: str, values: dict[str, Any]
) -> None:
    with (
        served() as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        frames.until(lambda: server.rewindable > 1)
        control.ask("pause")
        before = server.stats()["frames_shown"]
        receipt = applied(control, kind, **values)
        assert receipt["epoch"] == server.stats()["epoch"]
        frames.until(lambda: any(each.epoch == receipt["epoch"] for each in frames.frames))
        assert server.stats()["frames_shown"] == before + 1
        assert server.stats()["paused"] is True
        control.ask("resume")
        frames.until_seq(before + 4)


def test_set_changes_pace_format_and_quality_and_says_all_three() -> None:
    with served(fps=24) as server, RawControl(server.control_address) as control:
        answer = control.ask("set", fps=48, quality=50)
        assert (answer["fps"], answer["format"], answer["quality"]) == (48.0, "rgb8", 50)
        assert control.ask("set", format="jpeg")["quality"] == 50
        hello = control.ask("hello", versions=[1])
        assert (hello["fps"], hello["format"], hello["buffer_ms"]) == (48.0, "jpeg", 166.7)


def test_frames_are_due_one_after_the_other_at_the_asked_pace() -> None:
    with served(fps=50) as server, RawFrames(server.address) as frames:
        heard = frames.until_seq(frames.frames[-1].seq + 40 if frames.frames else 40)
    gaps = [b.due_ns - a.due_ns for a, b in pairwise(heard)]
    assert min(gaps) == 20_000_000, "never faster than asked, never rushed after a stall"
    assert all(header.sent_ns >= header.due_ns for header in heard)


def test_a_REQ_socket_gets_one_answer_per_message_and_the_newest_when_it_asks_again() -> None:
    with served() as server, RawControl(server.control_address, zmq.REQ) as control:
        for text in ("rain", "snow"):
            assert control.ask("prompt", text=text)["type"] == "accepted"
        assert control.ask("reset", id=900)["type"] == "accepted"
        while (last := control.ask("reset", id=900))["type"] == "accepted":
            time.sleep(0.02)
        assert last["type"] == "applied"
        assert control.ask("bye")["type"] == "accepted"


def test_too_many_waiting_requests_are_turned_away_and_may_come_again() -> None:
    world = dummy_world()
    with served(world, fps=1) as server, RawControl(server.control_address) as control:
        with world._timeline.machine.lock:
            for number in range(1, 80):
                control.send("fork", name="same", id=number)
            turned_away = control.answer()
            assert turned_away["code"] == "busy"
        answers = [control.answer() for _ in range(78)]
        # what had not arrived when the first was turned away found room again
        assert "accepted" in {answer["type"] for answer in answers} <= {"accepted", "error"}
        assert control.ask("fork", name="same", id=turned_away["id"])["type"] == "accepted"


def test_a_prompt_that_the_world_cannot_read_fails_and_the_show_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = dummy_world()
    read = type(world._timeline.machine).read_prompt

    def unreadable(machine: Any, prompt: str) -> Any:
        if prompt == "rain":
            raise PromptError("this model reads no text")
        return read(machine, prompt)

    monkeypatch.setattr(type(world._timeline.machine), "read_prompt", unreadable)
    with served(world) as server, RawControl(server.control_address) as control:
        number = control.send("prompt", text="rain")
        accepted, last = receipts(control, number)[number]
        assert (accepted["type"], last["code"]) == ("accepted", "failed")
        assert "no text" in last["message"]
        assert applied(control, "prompt", text="snow")["prompt"] == 2


def test_a_server_whose_world_ran_out_of_memory_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    advance, full = World.advance, threading.Event()

    def without_memory(world: World, *given: Any) -> Any:
        if full.is_set():
            raise MemoryError
        return advance(world, *given)

    monkeypatch.setattr(World, "advance", without_memory)
    monkeypatch.setattr(World, "fork", without_memory)
    with served() as server, RawControl(server.control_address) as control:
        full.set()
        number = control.send("prompt", text="rain")
        accepted, last = receipts(control, number)[number]
        assert (accepted["type"], last["code"]) == ("accepted", "failed")
        full.clear()
        assert applied(control, "prompt", text="snow")["prompt"] == 2


def test_a_world_that_stays_broken_is_told_at_length_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    advance, full = World.advance, threading.Event()

    def without_memory(world: World, *given: Any) -> Any:
        if full.is_set():
            raise MemoryError("14 GiB are not there")
        return advance(world, *given)

    monkeypatch.setattr(World, "advance", without_memory)
    monkeypatch.setattr(maker, "REST_S", 0.02)
    with served() as server:

        def grows(count: str, by: int) -> None:
            before = server.stats()[count]
            wait_for(lambda: server.stats()[count] >= before + by, f"more {count}")

        for times in (1, 2):
            full.set()
            grows("failures", 3)
            full.clear()
            grows("frames_shown", 30)
            told = [each for each in caplog.records if "14 GiB" in each.getMessage()]
            assert len(told) >= 3 * times
            assert sum(bool(each.exc_info) for each in told) == times


def test_at_the_end_everybody_is_told() -> None:
    with served() as server:
        frames, control = RawFrames(server.address), RawControl(server.control_address)
        with frames, control:
            control.ask("pause")
            number = control.send("prompt", text="rain")
            assert control.answer()["type"] == "accepted"
            server.close()
            answer = control.answer()
            assert (answer["id"], answer["code"]) == (number, "failed")
            frames.until(lambda: any(isinstance(each, ServerEnds) for each in frames.events))


def test_closing_twice_or_before_the_start_is_fine() -> None:
    server = WorldServer(dummy_world(), "tcp://127.0.0.1:*")
    server.close()
    server.close()
    with served() as other:
        other.close()


def test_serving_on_the_callers_thread_ends_after_the_stated_time() -> None:
    server = WorldServer(dummy_world(), "tcp://127.0.0.1:*", fps=100)
    server.run(seconds=0.2)
    assert server.stats()["frames_shown"] > 0


def test_a_server_that_serves_already_is_not_run_once_more() -> None:
    with served() as server, RawFrames(server.address) as frames:
        with pytest.raises(MagiError, match="serves already"):
            server.run(seconds=0.1)
        frames.until_seq(frames.frames[-1].seq + 5 if frames.frames else 5)
    with pytest.raises(MagiError, match="has ended"):
        server.run(seconds=0.1)


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match="address"):
            WorldServer(dummy_world(), f"tcp://127.0.0.1:{port}")


def test_a_prompt_that_is_too_long_leaves_the_address_free() -> None:
    with served() as server:
        address, control = server.address, server.control_address
    with pytest.raises(PromptError) as kept:  # with its traceback, as a notebook keeps it
        WorldServer(dummy_world(), address, control=control, prompt="x" * 4001)
    with served(address=address, control=control) as server:
        assert server.address == address
    assert "4,001" in str(kept.value)


def test_frames_and_requests_go_over_a_file_too(tmp_path: Path) -> None:
    with served(address=f"ipc://{tmp_path}/world") as server:
        assert server.control_address == f"{server.address}.control"
        with RawFrames(server.address) as frames, RawControl(server.control_address) as control:
            shown = applied(control, "prompt", text="rain", flush=True)
            frames.until_seq(shown["seq"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"fps": 0.5}, {"fps": 241}, {"buffer": 0}, {"buffer": 9}, {"address": "5590"}]
)
def test_options_outside_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError), served(**options):
        pass


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_a_server_that_cannot_begin_can_be_closed(seconds: float) -> None:
    server = WorldServer(dummy_world(), "tcp://127.0.0.1:*")
    with pytest.raises(OptionError, match="finite"):
        server.run(seconds)
    closing = threading.Thread(target=server.close, daemon=True)
    closing.start()
    closing.join(LIMIT_S)
    assert not closing.is_alive()


def test_a_restarted_server_is_another_stream() -> None:
    with served() as server:
        first, address, control = server.stream, server.address, server.control_address
    with served(address=address, control=control) as server:
        assert server.stream != first and server.address == address
