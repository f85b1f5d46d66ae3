"""Steer from code: frames come at the pace of a clock, and the program speaks while they do.

python examples/02_steer_from_code.py [nano|dummy|model folder]
"""

from __future__ import annotations

import contextlib
import sys

from magi_rt import World

STORY = {8: "night falls", 24: "gravity pulls left", 40: "it snows"}
"""What is said when so many frames have been shown."""


def main(model: str = "nano") -> None:
    with World.open(model, seed=7) as world:
        world.prompt("a red ball and a blue box in a room by day")
        on_show = ""
        # 24 frames per second, made ahead on a worker thread. The loop ends when you leave it.
        for shown, frame in enumerate(world.frames(fps=24)):
            if frame.prompt != on_show:
                on_show = frame.prompt
                print(f"frame {shown}: {on_show}")
            if shown in STORY:
                # Takes effect behind the frames that wait already; any thread may call this.
                world.prompt(STORY[shown])
            if on_show == STORY[40]:
                break


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
