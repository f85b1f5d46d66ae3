"""A pygame window whose background is a world: the game runs at 60 frames per second beside it.

pip install "magi-rt[games]"
python examples/04_pygame_window.py [nano|dummy|model folder] [--seconds S] [--measure]

Arrows, letters and the mouse (drag to pull) speak to the world. Without a display set
SDL_VIDEODRIVER=dummy.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait

import pygame

from magi_rt import ActionMap, FrameSubscriber, World, WorldClient, WorldServer

SIDE = 640


def run_world(model: str, pipe: Connection) -> None:
    """The other process: shows a world until the game is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the game, and with it this
    if hasattr(os, "nice"):
        os.nice(5)  # where cores are few, the game goes first
    world = World.open(model, seed=7)
    start = ActionMap.of(model).start
    with WorldServer(world, "tcp://127.0.0.1:*", prompt=start) as server:
        pipe.send(server.address)
        wait([pipe])  # nothing is ever sent: it ends when the game closes its end


class Background:
    """The newest picture of the world. No method waits for anything."""

    def __init__(self, address: str) -> None:
        self._client = WorldClient(address)
        self._frames = FrameSubscriber(address)
        self._talk = ThreadPoolExecutor(1)  # a prompt is answered, and the loop must not wait
        self._picture, self._seq = pygame.Surface((SIDE, SIDE)), -1
        self.shown = 0

    def say(self, prompt: str | None) -> None:
        """Sends a prompt, if it is one."""
        if prompt is not None:
            self._talk.submit(self._client.prompt, prompt, flush=True)

    def draw(self, screen: pygame.Surface) -> None:
        """Fills the screen; a picture is converted once, however often it is drawn."""
        newest = self._frames.latest()
        if newest is not None and newest.header.seq != self._seq:
            height, width, _ = newest.pixels.shape
            picture = pygame.image.frombuffer(newest.pixels.tobytes(), (width, height), "RGB")
            pygame.transform.scale(picture.convert(screen), screen.get_size(), self._picture)
            self._seq = newest.header.seq
            self.shown += 1
        screen.blit(self._picture, (0, 0))

    def close(self) -> None:
        self._talk.shutdown(wait=False, cancel_futures=True)
        self._frames.close()
        self._client.close()


def play(background: Background, actions: ActionMap, seconds: float) -> list[float]:
    """The game: a ring that circles. Returns the time of every turn of the loop in seconds."""
    screen = pygame.display.set_mode((SIDE, SIDE))
    pygame.display.set_caption("a world behind a game")
    clock, stick, began = pygame.time.Clock(), actions.stick(), time.perf_counter()
    turns = [began]
    while turns[-1] - began < seconds:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return turns
            if event.type == pygame.KEYDOWN:
                background.say(actions.key(pygame.key.name(event.key)))
            if event.type == pygame.MOUSEMOTION and event.buttons[0]:
                x, y = (2 * place / SIDE - 1 for place in event.pos)
                background.say(stick.move(x, -y))
            if event.type == pygame.MOUSEBUTTONUP:
                stick.move(0, 0)
        background.draw(screen)
        angle = 2 * (turns[-1] - began)
        place = (SIDE / 2 + 200 * math.cos(angle), SIDE / 2 + 200 * math.sin(angle))
        pygame.draw.circle(screen, "white", place, 24, width=4)
        pygame.display.flip()
        clock.tick(60)
        turns.append(time.perf_counter())
    return turns


def report(turns: list[float], shown: int) -> None:
    """What --measure prints: how long a turn of the loop took, from flip to flip."""
    took = sorted(1000 * (after - before) for before, after in itertools.pairwise(turns))
    middle, late = (took[int(share * (len(took) - 1))] for share in (0.5, 0.99))
    print(f"{len(took)} turns: median {middle:.1f} ms, p99 {late:.1f} ms, worst {took[-1]:.1f} ms")
    print(f"{shown} pictures of the world, {shown / (turns[-1] - turns[0]):.1f} per second")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="nano")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--measure", action="store_true")
    wanted = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_world, args=(wanted.model, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        address = ours.recv()
    except EOFError:
        raise SystemExit("the world could not be opened; why stands above") from None
    background = Background(address)
    pygame.display.init()
    try:
        turns = play(background, ActionMap.of(wanted.model), wanted.seconds)
        if wanted.measure:
            report(turns, background.shown)
    finally:
        background.close()
        pygame.quit()
        ours.close()
        process.join()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
