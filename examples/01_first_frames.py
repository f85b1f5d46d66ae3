"""First frames: open a world, advance it twice under two prompts, save a contact sheet.

python examples/01_first_frames.py [nano|dummy|model folder] [folder for the sheet]
"""

from __future__ import annotations

import sys
from pathlib import Path

from magi_rt import World
from magi_rt.media.contact_sheet import contact_sheet


def main(model: str = "nano", folder: str = ".") -> None:
    with World.open(model, seed=7) as world:
        for note in world.notes:
            print("note:", note)
        frames = world.advance("a red ball and a blue box in a room by day")
        frames += world.advance("night falls")
        sheet = Path(folder) / "first-frames.png"
        contact_sheet(frames, sheet, columns=world.frames_per_chunk)
        print(f"{len(frames)} frames of {world.size} pixels from {world.engine.name}; see {sheet}")


if __name__ == "__main__":
    main(*sys.argv[1:])
