"""A server obeys the protocol: every request is answered, every change is told when it shows."""

from __future__ import annotations

import random
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zmq

from magi_rt.errors import OptionError, PromptError
from magi_rt.stream.events import Heartbeat, NewEpoch, PromptShows, ServerEnds
from magi_rt.stream.server import WorldServer
from tests.stream.pictures import png
from tests.stream.serving_kit import RawControl, RawFrames, served, wait_for
from tests.world.kit import dummy_world

Answers = dict[int, list[dict[str, Any]]]
"""Answers by the id of their request."""


def receipts(control: RawControl, *numbers: int, found: Answers | None = None) -> Answers:
    """All answers to some requests that change the picture: two each, or one error."""
    found = {} if found is None else found
    for number in numbers:
        found.setdefault(number, [])

    def over(answers: list[dict[str, Any]]) -> bool:
        return bool(answers) and answers[-1]["type"] in ("applied", "error")

    while not all(over(found[number]) for number in numbers):
        answer = control.answer()
        if answer["id"] in found:
            found[answer["id"]].append(answer)
    return found


def applied(control: RawControl, kind: str, **values: Any) -> dict[str, Any]:
    """Asks for a change; returns what says that it shows."""
    number = control.send(kind, **values)
    accepted, last = receipts(control, number)[number]
    assert (accepted["type"], last["type"]) == ("accepted", "applied")
    return last


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


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("at", ["next", "now"])
def test_a_prompt_is_accepted_and_applied_with_the_first_frame_that_shows_it(
    window: int, at: str
) -> None:
    with (
        served(dummy_world(window=window)) as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        shown = applied(control, "prompt", text="rain", at=at)
        heard = frames.until_seq(shown["seq"] + 1)
    first = next(header for header in heard if header.prompt == shown["prompt"])
    assert (first.seq, first.frame, first.chunk, first.epoch) == tuple(
        shown[key] for key in ("seq", "frame", "chunk", "epoch")
    )
    assert {header.prompt for header in heard if header.seq < first.seq} <= {0}
    told = [each for each in frames.events if isinstance(each, PromptShows)]
    assert [(each.prompt, each.text, each.seq) for each in told] == [(1, "rain", first.seq - 1)]


def test_a_prompt_that_is_replaced_before_it_shows_is_superseded() -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.ask("pause")
        first, second = (control.send("prompt", text=text) for text in ("rain", "snow"))
        control.send("resume")
        found = receipts(control, first, second)
    assert [answer["type"] for answer in found[first]] == ["accepted", "error"]
    assert found[first][-1]["code"] == "superseded"
    assert [answer["type"] for answer in found[second]] == ["accepted", "applied"]


@pytest.mark.parametrize("window", [1, 2])
def test_no_receipt_is_lost_under_two_hundred_prompts(window: int) -> None:
    dice = random.Random(window)
    world = dummy_world(window=window)
    with served(world, fps=240) as server, RawControl(server.control_address) as control:
        found: Answers = {}
        for count in range(200):
            number = control.send(
                "prompt", text=f"{count}", at=dice.choice(["next", "now"]),
                flush=dice.random() < 0.3,
            )  # fmt: skip
            found[number] = []
            if dice.random() < 0.3:
                receipts(control, number, found=found)
        receipts(control, *found, found=found)
        waiting = control.ask("stats")["stats"]["receipts_waiting"]
    assert waiting == 0
    for accepted, last in found.values():
        assert accepted["type"] == "accepted"
        assert last["type"] == "applied" or last["code"] == "superseded"
    assert found[number][-1]["type"] == "applied"
    assert len([last for _, last in found.values() if last["type"] == "applied"]) > 30


def test_after_a_flush_is_applied_no_frame_is_older_than_it() -> None:
    with (
        served(buffer=3) as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        shown = [applied(control, "prompt", text=f"{n}", flush=True) for n in range(20)]
        heard = frames.until_seq(shown[-1]["seq"] + 10)
        told = [each for each in frames.events if isinstance(each, NewEpoch)]
    for receipt in shown:
        after = [header for header in heard if header.seq >= receipt["seq"]]
        assert min(header.epoch for header in after) == receipt["epoch"]
        assert min(header.prompt for header in after) == receipt["prompt"]
        assert after[0].first_of_epoch
    assert [each.reason for each in told] == ["flush"] * 20
    numbers = [header.frame for header in heard]
    assert numbers == sorted(set(numbers)), "the film goes on without a jump"


def test_a_flush_takes_back_what_nobody_has_seen() -> None:
    with (
        served(buffer=4) as server,
        RawFrames(server.address),
        RawControl(server.control_address) as control,
    ):
        wait_for(lambda: server.stats()["chunks_ready"] == 4, "a full buffer")
        before = control.ask("stats")["stats"]["frames_shown"]
        shown = applied(control, "prompt", text="rain", flush=True)
        assert shown["frame"] <= before + 16, "at most the chunk on the screen and the one due"
        assert control.ask("stats")["stats"]["chunks_taken_back"] >= 3


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


def test_a_client_that_comes_back_gets_the_receipt_it_waited_for() -> None:
    with served() as server:
        with RawControl(server.control_address, client="same") as control:
            control.ask("pause")
            control.ask("prompt", text="rain", id=9)
        with RawControl(server.control_address, client="same") as control:
            assert control.ask("prompt", text="rain", id=9)["type"] == "accepted"
            control.send("resume", id=10)
            assert {control.answer()["type"], control.answer()["type"]} == {"accepted", "applied"}


@pytest.mark.parametrize(
    ("kind", "values", "reason", "first_frame"),
    [
        ("reset", {}, "reset", 0),
        ("reset", {"seed": 2**63 - 1}, "reset", 0),
        ("image", {"image": png((200, 30, 30)), "seed": 4}, "image", 0),
        ("restore", {"name": "begun"}, "restore", 8),
        ("restore", {"name": "saved"}, "restore", 8),
    ],
)
def test_a_jump_begins_an_epoch_and_is_applied_with_its_first_frame(
    kind: str, values: dict[str, Any], reason: str, first_frame: int, tmp_path: Path
) -> None:
    with (
        served(snapshots=tmp_path, fps=10) as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        assert control.ask("fork", name="begun")["forks"] == ["begun"]
        assert control.ask("snapshot", name="saved")["bytes"] > 0
        control.ask("set", fps=240.0)
        shown = applied(control, kind, **values)
        heard = frames.until_seq(shown["seq"])
        told = [each for each in frames.events if isinstance(each, NewEpoch)]
    assert (shown["epoch"], shown["frame"]) == (1, first_frame)
    (first,) = [header for header in heard if header.seq == shown["seq"]]
    assert first.first_of_epoch and first.epoch == 1
    assert [(each.reason, each.epoch, each.seq) for each in told] == [(reason, 1, first.seq - 1)]


def test_rewind_takes_back_what_was_shown() -> None:
    with served() as server, RawControl(server.control_address) as control:
        wait_for(lambda: server.stats()["frames_shown"] > 24, "three chunks")
        control.ask("pause")
        shown_chunk = (server.stats()["frames_shown"] - 1) // 8
        number = control.send("rewind", chunks=2)
        control.send("resume")
        _, last = receipts(control, number)[number]
        assert last["chunk"] == shown_chunk - 1


def test_a_later_jump_supersedes_one_that_has_not_shown() -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.ask("pause")
        first, second = control.send("reset", seed=1), control.send("reset", seed=2)
        control.send("resume")
        found = receipts(control, first, second)
    assert found[first][-1]["code"] == "superseded"
    assert found[second][-1]["type"] == "applied"


@pytest.mark.parametrize(
    ("kind", "values", "code"),
    [
        ("rewind", {"chunks": 1000}, "refused"),
        ("restore", {"name": "nothing"}, "not_found"),
        ("snapshot", {"name": "a"}, "refused"),
        ("image", {"image": b"\x89PNG but not really"}, "refused"),
    ],
)
def test_what_cannot_be_done_is_answered_once_and_changes_nothing(
    kind: str, values: dict[str, Any], code: str
) -> None:
    with served() as server, RawControl(server.control_address) as control:
        answer = control.ask(kind, **values)
        assert (answer["type"], answer["code"]) == ("error", code)
        assert len(answer["message"].split()) > 4
        stats = control.ask("stats")["stats"]
    assert (stats["epoch"], stats["receipts_waiting"]) == (0, 0)


def test_while_paused_nothing_is_shown_and_heartbeats_say_so() -> None:
    with (
        served() as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        assert control.ask("pause")["paused"] is True
        frames.until(lambda: any(isinstance(each, Heartbeat) for each in frames.events))
        beat = next(each for each in frames.events if isinstance(each, Heartbeat))
        assert beat.paused and beat.fps == 120
        assert server.stats()["frames_shown"] == frames.frames[-1].seq == beat.seq
        assert control.ask("resume")["paused"] is False
        frames.until_seq(beat.seq + 3)


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


def test_a_REQ_socket_is_served_too() -> None:
    with served() as server, RawControl(server.control_address, zmq.REQ) as control:
        for text in ("rain", "snow"):
            assert control.ask("prompt", text=text)["type"] == "accepted"
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
        assert {answer["type"] for answer in answers} == {"accepted", "error"}
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


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match="address"):
            WorldServer(dummy_world(), f"tcp://127.0.0.1:{port}")


def test_frames_and_requests_go_over_a_file_too(tmp_path: Path) -> None:
    with served(address=f"ipc://{tmp_path}/world") as server:
        assert server.control_address == f"{server.address}.control"
        with RawFrames(server.address) as frames, RawControl(server.control_address) as control:
            shown = applied(control, "prompt", text="rain", flush=True)
            frames.until_seq(shown["seq"])


@pytest.mark.parametrize(
    "options", [{"fps": 0.5}, {"fps": 241}, {"buffer": 0}, {"buffer": 9}, {"address": "5590"}]
)
def test_options_outside_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError), served(**options):
        pass


def test_a_restarted_server_is_another_stream() -> None:
    with served() as server:
        first, address, control = server.stream, server.address, server.control_address
    with served(address=address, control=control) as server:
        assert server.stream != first and server.address == address
