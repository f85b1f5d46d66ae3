"""Every change is told: accepted at once, applied with the first frame that shows it."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from magi_rt.backends.dummy import DummyExecutor
from magi_rt.errors import PromptError
from magi_rt.stream.events import NewEpoch, PromptShows
from magi_rt.stream.steered import SteeredWorld
from tests.stream.pictures import png
from tests.stream.serving_kit import (
    LIMIT_S,
    Answers,
    RawControl,
    RawFrames,
    applied,
    receipts,
    served,
    wait_for,
)
from tests.world.kit import dummy_world


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


def test_a_rewind_to_a_chunk_leads_there_whatever_is_shown_by_then() -> None:
    with served() as server, RawControl(server.control_address) as control:
        wait_for(lambda: server.stats()["frames_shown"] > 24, "three chunks")
        assert applied(control, "rewind", to=1)["chunk"] == 1
        control.ask("pause")
        wait_for(lambda: not server.stats()["receipts_waiting"], "what is shown to be told")
        assert [applied(control, "rewind", to=0)["chunk"] for _ in range(2)] == [0, 0]
        refused = control.ask("rewind", to=1)
    assert (refused["code"], refused["message"].split(";")[0]) == (
        "refused", "cannot rewind to chunk 1: 1 were shown, the last 1 are remembered",
    )  # fmt: skip


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set a fork takes for ever, and what is asked for after it waits."""
    released, fork = threading.Event(), SteeredWorld.fork

    def slow_fork(self: SteeredWorld, name: str, unseen: int) -> list[str]:
        released.wait(LIMIT_S)
        return fork(self, name, unseen)

    monkeypatch.setattr(SteeredWorld, "fork", slow_fork)
    return released


def test_a_later_jump_supersedes_one_that_has_not_shown(held: threading.Event) -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.send("fork", name="here")
        first, second = control.send("reset", seed=1), control.send("reset", seed=2)
        wait_for(lambda: server.stats()["requests_waiting"] == 2, "both to wait for the fork")
        held.set()
        found = receipts(control, first, second)
    assert found[first][-1]["code"] == "superseded"
    assert found[second][-1]["type"] == "applied"


def test_a_beginning_shows_though_a_newer_prompt_took_its_words(held: threading.Event) -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.send("fork", name="here")
        reset = control.send("reset", text="snow")
        prompt = control.send("prompt", text="rain")
        wait_for(lambda: server.stats()["requests_waiting"] == 2, "both to wait for the fork")
        held.set()
        found = receipts(control, reset, prompt)
    assert [found[each][-1]["type"] for each in (reset, prompt)] == ["applied", "applied"]


def test_what_waits_when_the_server_ends_is_answered(held: threading.Event) -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.send("fork", name="here")
        waiting = [control.send("reset", seed=1), control.send("snapshot", name="there")]
        wait_for(lambda: server.stats()["requests_waiting"] == 2, "both to wait for the fork")
        ending = threading.Thread(target=server.close)
        ending.start()
        wait_for(lambda: server._serving.maker._ended, "the server to take up no more")
        held.set()
        found = receipts(control, *waiting)
        ending.join()
    assert [found[each][-1]["code"] for each in waiting] == ["failed", "failed"]


def test_a_beginning_whose_prompt_cannot_be_read_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as server, RawControl(server.control_address) as control:

        def unreadable(self: DummyExecutor, prompt: str) -> None:
            raise PromptError("there is no text encoder")

        monkeypatch.setattr(DummyExecutor, "encode_text", unreadable)
        number = control.send("reset", text="a word that was never read before")
        last = receipts(control, number)[number][-1]
    assert (last["code"], last["message"]) == ("failed", "there is no text encoder")


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
