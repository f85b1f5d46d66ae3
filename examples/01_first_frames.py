"""First frames: open a world, tell it two things, save what it shows as one picture.

python examples/01_first_frames.py [nano|dummy|model folder] [folder for the sheet]
"""

from __future__ import annotations

import sys
from pathlib import Path

from magi_rt import World
from magi_rt.media.contact_sheet import contact_sheet


def main(model: str = "nano", folder: str = ".") -> None:
    # A world is a video that is made while you watch. The same seed gives the same noise.
    with World.open(model, seed=7) as world:
        for note in world.notes:  # what a careful person would want to know about this model here
            print("note:", note)

        # Every call makes the next chunk, a third of a second of video, as a list of frames.
        frames = world.advance("a red ball and a blue box in a room by day")
        # The same room goes on, now under another prompt.
        frames += world.advance("night falls")

        # frame.pixels is [height, width, 3] uint8; frame.prompt says what shaped it.
        sheet = Path(folder) / "first-frames.png"
        contact_sheet(frames, sheet, columns=world.frames_per_chunk)
        print(f"{len(frames)} frames of {world.size} pixels from {world.engine.name}; see {sheet}")


if __name__ == "__main__":
    main(*sys.argv[1:])
