"""The command view: its keys, its session, its picture, films, and the window's refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from magi_rt.cli import windows
from magi_rt.cli.view_controls import Controls, Order, Press, parse_presses
from magi_rt.cli.view_picture import LINE, composed
from magi_rt.cli.view_session import Session
from magi_rt.cli.windows import key_of
from magi_rt.demo import recorder as recording
from magi_rt.demo.recorder import free_name
from magi_rt.errors import OptionError
from magi_rt.media.video_reader import read_video
from magi_rt.stream.client import WorldClient
from magi_rt.stream.server import WorldServer
from magi_rt.world.actions import ActionMap
from tests.cli.test_served import PaperWindow, refusal, said
from tests.stream.serving_kit import served, wait_for
from tests.stream.test_client import ServedProcess

NANO = ActionMap.of("nano")


@pytest.fixture
def server() -> Iterator[WorldServer]:
    """A served dummy world."""
    with served(fps=60, prompt="a red ball") as found:
        yield found


@pytest.fixture
def session(server: WorldServer, tmp_path: Path) -> Iterator[Session]:
    """A session that sees the world."""
    with WorldClient(server.address) as client:
        found = Session(client, tmp_path)
        try:
            wait_for(found.frames.latest, "a frame")
            yield found
        finally:
            found.close()


def pressed(controls: Controls, *keys: str) -> list[Order]:
    """What comes of keys, one after the other."""
    return [order for key in keys if (order := controls.press(key)) is not None]


def test_keys_of_the_map_speak_and_keys_of_the_viewer_act() -> None:
    controls = Controls(NANO)
    assert pressed(controls, "left", "N", " ") == [
        Order("prompt", "gravity pulls left"),
        Order("prompt", "night falls"),
        Order("prompt", "there is no gravity"),
    ]
    verbs = [order.verb for order in pressed(controls, "p", "backspace", "r", "q", "escape", "z")]
    assert verbs == ["pause", "rewind", "record", "leave", "leave"]


def test_enter_begins_a_prompt_and_every_letter_belongs_to_it_until_enter() -> None:
    controls = Controls(NANO)
    assert pressed(controls, "enter", *"Quiet snowx", "left", "backspace") == []
    assert controls.typed == "Quiet snow"
    assert pressed(controls, "enter") == [Order("prompt", "Quiet snow")]
    assert pressed(controls, "n") == [Order("prompt", "night falls")]


def test_escape_leaves_the_prompt_first_and_an_empty_one_says_nothing() -> None:
    controls = Controls(NANO)
    assert pressed(controls, "enter", "a", "escape") == [] and controls.typed is None
    assert pressed(controls, "enter", " ", "enter") == [] and controls.typed is None
    assert pressed(controls, "escape") == [Order("leave")]


def test_a_prompt_that_is_typed_stays_within_the_limit() -> None:
    controls = Controls(NANO)
    pressed(controls, "enter", *["x"] * 4010)
    assert controls.typed is not None and len(controls.typed) == 4000


def test_no_key_of_the_built_in_map_is_hidden_by_the_viewer() -> None:
    assert all(f"  {key}: {text}" in Controls(NANO).help() for key, text in NANO.keys.items())


def test_presses_are_read_in_the_order_of_their_times() -> None:
    assert parse_presses("left@2.5, n@1", NANO) == [Press(1, "n"), Press(2.5, "left")]
    assert parse_presses("", NANO) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("n", "KEY@SECONDS"),
        ("n@soon", "KEY@SECONDS"),
        ("n@-1", "KEY@"),
        ("lift@1", "did you mean 'left'? Keys are "),
        ("zz@1", "no key 'zz'. Keys are "),
    ],
)
def test_a_press_that_cannot_be_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as refused:
        parse_presses(text, NANO)
    assert sentence in refused.value.message


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (-1, ""), (13, "enter"), (27, "escape"), (8, "backspace"), (ord("n"), "n"), (32, " "),
        (65361, "left"), (0x250000, "left"), (63234, "left"), (0x280000, "down"),
        (0x100000 | 65362, "up"), (0x10000 | ord("N"), "N"), (65505, ""), (0xE9, "é"),
        (0x010003C9, "ω"),
    ],
)  # fmt: skip
def test_every_toolkit_spells_the_same_keys(code: int, key: str) -> None:
    assert key_of(code) == key


def test_the_picture_is_enlarged_in_whole_pixels_above_its_line() -> None:
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    picture = composed(pixels, "24 fps")
    assert picture.shape == (512 + LINE, 512, 3)
    np.testing.assert_array_equal(picture[:512:16, ::16], pixels)
    assert picture[512:].max() > 200 and composed(pixels, "")[512:].max() < 50


def test_a_line_that_is_too_long_keeps_its_beginning_but_its_end_while_one_types() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)

    def shown(line: str) -> bytes:
        return composed(pixels, line)[512:].tobytes()

    assert shown("x" * 300 + "a") == shown("x" * 300 + "b")
    assert shown("> " + "x" * 300 + "a_") != shown("> " + "x" * 300 + "b_")


def test_the_line_tells_pace_place_delay_and_prompt(session: Session) -> None:
    wait_for(lambda: session.status().endswith("a red ball"), "the first prompt's words")
    session.obey(Order("prompt", "night falls")).result(60)
    wait_for(lambda: "night falls" in session.status() and "delay" in session.status(), "both")
    assert "fps  chunk " in session.status()
    assert session.status("it sn") == "> it sn_"


def test_pausing_stops_the_world_and_a_second_press_lets_it_go_on(session: Session) -> None:
    session.obey(Order("pause")).result(60)
    assert session.paused and session.status().startswith("paused")
    session.obey(Order("pause")).result(60)
    newest = session.frames.latest()
    wait_for(lambda: session.frames.latest() is not newest, "another frame")


def test_going_back_begins_another_epoch(session: Session) -> None:
    session.obey(Order("rewind")).result(60)
    wait_for(lambda: session.frames.epoch > 0, "a new epoch")
    wait_for(session.frames.latest, "a frame of it")


def test_what_is_refused_is_told_in_the_line(session: Session) -> None:
    session.obey(Order("prompt", "x" * 4001)).result(60)
    assert "4,001" in session.status()


def test_a_recording_is_a_video_of_the_world_alone(session: Session, tmp_path: Path) -> None:
    session.obey(Order("record")).result(60)
    assert "recording" in session.status()
    recorder = session._recorder
    assert recorder is not None
    wait_for(lambda: recorder.frames >= 5, "frames in the video")
    session.obey(Order("record")).result(60)
    (path,) = tmp_path.glob("*.mp4")
    assert str(path) in session.status()
    assert read_video(path, fps=60, limit=100).shape[1:] == (512, 512, 3)


def test_a_recording_has_the_pace_that_another_client_has_set(
    session: Session, server: WorldServer
) -> None:
    with WorldClient(server.address) as other:
        other.set(fps=12)
        wait_for(lambda: session.facts.fps == 12, "the other's pace")


def test_a_recording_that_is_left_running_is_finished_at_the_end(
    server: WorldServer, tmp_path: Path
) -> None:
    with WorldClient(server.address) as client:
        session = Session(client, tmp_path)
        session.obey(Order("record")).result(60)
        recorder = session._recorder
        assert recorder is not None
        wait_for(lambda: recorder.frames >= 1, "a frame in the video")
        told = session.close()
    (path,) = tmp_path.glob("*.mp4")
    assert told == f"written to {path}"


def test_orders_that_a_lost_server_cannot_take_hold_up_no_end(tmp_path: Path) -> None:
    served_elsewhere = ServedProcess("--port", "0")
    try:
        with WorldClient(served_elsewhere.address, timeout_s=1e4) as client:
            session = Session(client, tmp_path)
            wait_for(session.frames.latest, "a frame")
            served_elsewhere.kill()
            asked = [session.obey(Order("prompt", "rain")) for _ in range(5)]
            session.close()
            assert all(each.done() for each in asked)
    finally:
        served_elsewhere.kill()


def test_a_recording_that_is_full_ends_by_itself_and_says_so_in_the_line(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LONGEST_S", 0.2)
    session.obey(Order("record")).result(60)
    wait_for(lambda: "ten minutes are recorded; written to" in session.status(), "its end")
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_a_new_video_never_takes_the_name_of_another(tmp_path: Path) -> None:
    for _ in range(3):
        free_name(tmp_path).touch()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_film_of_a_world_of_its_own_shows_what_the_keys_did(tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    told = said("view", "dummy", "--headless", str(path), "--seconds", "3", "--press", "n@0.5")
    assert told.endswith(f"frames written to {path}\n")
    video = read_video(path, fps=24, limit=200).astype(int)
    assert video.shape[1:] == (512 + LINE, 512, 3)
    assert np.abs(video[0, :512] - video[-1, :512]).mean() > 10, "the prompt has its own colour"


def test_a_film_over_the_wire_ends_when_q_is_pressed(server: WorldServer, tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    told = said(
        "view", "--connect", server.address, "--headless", str(path),
        "--press", "left@0.2,q@1.5",
    )  # fmt: skip
    assert "frames written" in told and path.exists()
    wait_for(lambda: server.facts["text"] == "gravity pulls left", "the prompt")


class PressedWindow(PaperWindow):
    """A window in which keys are pressed, one each turn, once there is a picture."""

    def __init__(self, *codes: int, ready: Callable[[], bool] = lambda: True) -> None:
        super().__init__(0)
        self.codes, self.ready = list(codes), ready

    def waitKeyEx(self, _: int) -> int:
        if not self.pictures or not self.ready():
            return -1
        return self.codes.pop(0) if self.codes else ord("q")


def test_the_window_takes_typed_prompts_and_shows_the_frame_blue_first(
    server: WorldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = PressedWindow(13, *b"it snows", 13)
    monkeypatch.setattr(windows, "_cv2", lambda: paper)
    told = said("view", "--connect", server.address)
    assert "left: gravity pulls left" in told and paper.closed
    assert paper.pictures[-1].shape == (512 + LINE, 512, 3)
    wait_for(lambda: server.facts["text"] == "it snows", "the typed prompt")


def test_a_window_needs_an_opencv_that_survives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "cv2", object())
    monkeypatch.setattr(windows, "_can_open", lambda: False)
    assert "opencv-python-headless" in refusal("view", "dummy")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["dummy", "--headless", "film.avi"], ".mp4"),
        (["dummy", "--seconds", "-1"], "more than 0"),
        (["dummy", "--press", "up@x"], "KEY@SECONDS"),
        (["dummy", "--videos", "nowhere"], "make it first"),
        (["dummy", "--actions", "none.toml"], "none.toml"),
        (["dummy", "--prompt", "x" * 4001], "4,001"),
        (["--connect", "here", "--headless", "a.mp4"], "cannot be used"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refusal("view", *arguments)
    assert list(tmp_path.iterdir()) == []
