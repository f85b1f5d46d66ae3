"""Threads take turns, in the order in which they asked."""

from __future__ import annotations

import signal
import threading
import time
from itertools import groupby

import pytest

from magi_rt.world.turns import Turns
from tests.world.kit import dummy_world


def wait_until(turns: Turns, waiting: int) -> None:
    while len(turns._waiting) < waiting:
        time.sleep(0.001)


def test_threads_are_served_in_the_order_in_which_they_asked() -> None:
    turns, served = Turns(), []

    def ask(number: int) -> None:
        with turns:
            served.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    with turns:
        for number, thread in enumerate(threads):
            thread.start()
            wait_until(turns, number + 1)
        with turns:  # again, while others wait
            assert served == []
        assert served == []
    for thread in threads:
        thread.join(20)
    assert served == [0, 1, 2, 3, 4, 5]


def test_a_world_and_its_forks_make_their_chunks_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = dummy_world()
    worlds, made = [world, world.fork(), world.fork()], []
    executor = world._timeline.machine.executor
    decode = executor.decode

    def slow(latents: object) -> object:
        made.append(threading.get_ident())
        time.sleep(0.005)
        return decode(latents)  # type: ignore[arg-type]

    monkeypatch.setattr(executor, "decode", slow)
    begin = threading.Barrier(3)

    def play(each: int) -> None:
        begin.wait()
        for _ in range(40):
            worlds[each].advance()

    threads = [threading.Thread(target=play, args=(each,)) for each in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    contested = made[1:-40]  # in between all three want the next turn
    assert len(made) == 120 and max(len(list(run)) for _, run in groupby(contested)) <= 2


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_who_is_interrupted_while_waiting_leaves_the_queue() -> None:
    turns, held, goes_on = Turns(), threading.Event(), threading.Event()

    def hold() -> None:
        with turns:
            held.set()
            goes_on.wait(20)

    def interrupt() -> None:
        wait_until(turns, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt), turns:
        pass
    assert not turns._waiting
    goes_on.set()
    holder.join(20)
    with turns:
        pass
