"""Frames on a worker thread, and worlds in asyncio programs and among threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pytest

from magi_rt.errors import ClosedWorldError, OptionError, PromptError
from magi_rt.frames import Frame
from magi_rt.world import World
from magi_rt.world.frame_loop import FrameBuffer, FrameLoop
from tests.world.kit import dummy_world, same_pixels, story


def take(world: World, count: int, **options: Any) -> list[Frame]:
    stream = world.frames(fps=None, **options)
    frames = list(islice(stream, count))
    stream.close()
    return frames


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "magi_rt frames"]


@pytest.mark.parametrize("buffer", [1, 3, 16, 100])
def test_the_loop_sees_what_advance_would_have_made(buffer: int) -> None:
    frames = take(dummy_world(), 32, buffer=buffer)
    assert same_pixels(frames, story(dummy_world(), None, None, None, None))


def test_frames_come_at_the_pace_of_the_clock() -> None:
    stream, begun_s = dummy_world().frames(fps=1000), time.monotonic()
    assert [frame.index for frame in islice(stream, 24)] == list(range(24))
    assert time.monotonic() - begun_s >= 0.023
    stream.close()


def test_leaving_the_loop_ends_the_worker() -> None:
    world = dummy_world()
    for frame in world.frames(fps=None):
        if frame.index == 5:
            break
    assert workers() == []
    assert world.advance()[0].chunk == world.chunks - 1


def test_generation_waits_for_a_slow_loop() -> None:
    world = dummy_world()
    stream = world.frames(fps=None, buffer=8)
    next(stream)
    reached = threading.Event()
    reached.wait(0.1)
    assert world.chunks <= 3
    assert [frame.index for frame in islice(stream, 40)] == list(range(1, 41))
    assert world.dropped_frames == 0
    stream.close()


def test_a_slow_loop_may_ask_for_the_newest_frames_instead() -> None:
    world = dummy_world()
    stream = world.frames(fps=None, buffer=4, when_slow="drop_oldest")
    first = next(stream)
    enough = world.dropped_frames + 20
    tick = threading.Event()
    while world.dropped_frames < enough:
        tick.wait(0.001)
    later = next(stream)
    stream.close()
    assert later.index > first.index + 20
    assert world.dropped_frames >= enough


def test_a_prompt_that_the_model_cannot_read_is_noted_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deaf(_: str) -> None:
        raise PromptError("this model reads no prompts", field="prompt")

    world = dummy_world()
    monkeypatch.setattr(world._timeline.machine.executor, "encode_text", deaf)
    stream = world.frames(fps=None, buffer=8)
    shown = [next(stream)]
    for _ in range(2):
        world.prompt("night")
        shown += list(islice(stream, 32))
    stream.close()
    assert same_pixels(shown[:64], story(dummy_world(), *[None] * 8))
    assert world.notes == ["this model reads no prompts"]


def test_a_prompt_can_be_changed_while_frames_are_shown() -> None:
    world = dummy_world()
    stream = world.frames(fps=None)
    next(stream)
    world.prompt("night")
    assert any(frame.prompt == "night" for frame in islice(stream, 64))
    stream.close()


def test_what_goes_wrong_on_the_worker_is_raised_in_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = dummy_world()

    def broken(*_: Any) -> list[Frame]:
        raise RuntimeError("the device is gone")

    stream = world.frames(fps=None)
    next(stream)
    monkeypatch.setattr(world, "advance", broken)
    with pytest.raises(RuntimeError, match="the device is gone"):
        list(stream)
    assert workers() == []
    monkeypatch.undo()
    assert len(world.advance()) == 8


def test_closing_the_world_ends_the_loop() -> None:
    world = dummy_world()
    shown = 0
    for _ in world.frames(fps=None):
        shown += 1
        if shown == 3:
            world.close()
    assert shown == 3
    assert workers() == []


def test_after_a_rewind_older_frames_are_not_shown() -> None:
    world = dummy_world()
    story(world, "day", "day")
    stream = world.frames(fps=None, buffer=8)
    assert next(stream).index == 16
    world.rewind(world.rewindable)
    assert same_pixels(list(islice(stream, 16)), story(dummy_world(), None, None))
    stream.close()


def test_facts_may_be_asked_while_a_loop_ends() -> None:
    loop = FrameLoop()

    class Ending(FrameBuffer):
        """The loop ends, on its own thread, as soon as anything is asked of its buffer."""

        @property
        def chunks(self) -> int:
            loop.leave()
            return 2

        @chunks.setter
        def chunks(self, _: int) -> None: ...

    def begun() -> Ending:
        buffer = Ending(8, "wait")
        loop.begin(buffer, 2)
        buffer.dropped = 3
        return buffer

    begun()
    assert (loop.unseen(5), loop.unseen(5), loop.dropped) == (3, 0, 3)
    begun()
    assert loop.dropped == 6
    loop.leave()
    loop.leave()
    assert loop.dropped == 6


@pytest.mark.parametrize("closes", [False, True])
def test_a_frame_that_waits_for_its_time_is_not_shown_after_a_jump(
    closes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = dummy_world()
    story(world, "day", "day")
    stream = world.frames(fps=1)
    assert next(stream).index == 16

    def jump(*_: object) -> None:
        monkeypatch.undo()
        world.close() if closes else world.rewind(world.rewindable)

    monkeypatch.setattr(FrameBuffer, "pause", jump)
    shown = [frame.index for frame in islice(stream, 1)]
    assert shown == ([] if closes else [0])
    stream.close()


def test_one_loop_at_a_time_runs_on_a_world() -> None:
    world = dummy_world()
    stream = world.frames(fps=None)
    next(stream)
    with pytest.raises(OptionError, match="another frames"):
        next(world.frames(fps=None))
    stream.close()
    assert next(world.frames(fps=None)).index >= 0


def test_numbers_of_numpy_are_taken() -> None:
    fps: Any = np.float32(1000)
    buffer: Any = np.int64(4)
    stream = dummy_world().frames(fps=fps, buffer=buffer)
    assert same_pixels(list(islice(stream, 16)), story(dummy_world(), None, None))
    stream.close()


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0},
        {"fps": True},
        {"fps": np.float32("nan")},
        {"buffer": np.float32(8)},
        {"fps": -1},
        {"fps": 1001},
        {"fps": float("nan")},
        {"fps": "24"},
        {"buffer": 0},
        {"buffer": 10_001},
        {"buffer": 1.5},
        {"when_slow": "sleep"},
    ],
)
def test_wrong_loop_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        dummy_world().frames(**options)


def test_frames_made_before_a_jump_are_not_kept() -> None:
    buffer = FrameBuffer(8, "wait")
    frames = dummy_world().advance()
    buffer.put(frames, buffer.epoch)
    buffer.jump(0)
    buffer.put(frames[:4], buffer.epoch - 1)
    buffer.put(frames[4:], buffer.epoch)
    first = buffer.take()
    assert first is not None and first.index == 4


def test_asyncio_programs_get_chunks_in_the_order_of_their_calls() -> None:
    async def program() -> list[Frame]:
        world = dummy_world()
        chunks = await asyncio.gather(*(world.aadvance(f"scene {k}") for k in range(6)))
        world.close()
        with pytest.raises(ClosedWorldError):
            await world.aadvance()
        return [frame for chunk in chunks for frame in chunk]

    frames = asyncio.run(program())
    assert same_pixels(frames, story(dummy_world(), *(f"scene {k}" for k in range(6))))


def test_an_asyncio_program_goes_on_while_another_thread_makes_a_chunk() -> None:
    world = dummy_world()
    held, goes_on, waited = threading.Event(), threading.Event(), []

    def make() -> None:
        with world._timeline.machine.lock:
            held.set()
            waited.append(goes_on.wait(20))

    async def program() -> list[Frame]:
        chunk = asyncio.ensure_future(world.aadvance())
        await asyncio.sleep(0)
        goes_on.set()
        return await chunk

    other = threading.Thread(target=make)
    other.start()
    assert held.wait(20)
    assert len(asyncio.run(program())) == 8
    other.join()
    assert waited == [True]


def test_calls_that_wait_when_a_world_is_closed_are_told_so() -> None:
    async def program() -> list[object]:
        world, goes_on = dummy_world(), threading.Event()
        world._pool.submit(goes_on.wait, 20)
        waiting = [asyncio.ensure_future(world.aadvance()) for _ in range(2)]
        await asyncio.sleep(0)
        world.close()
        goes_on.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(program())] == [ClosedWorldError] * 2


def test_calls_from_many_threads_are_served_one_after_the_other() -> None:
    world = dummy_world()
    with ThreadPoolExecutor(8) as pool:
        chunks = list(pool.map(lambda _: world.advance(), range(40)))
    frames = sorted((frame for chunk in chunks for frame in chunk), key=lambda frame: frame.index)
    assert same_pixels(frames, story(dummy_world(), *[None] * 40))


def test_an_interrupt_while_the_worker_begins_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    world = dummy_world()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "start", interrupted)
        next(world.frames(fps=None))
    assert next(world.frames(fps=None)).index == 0
