"""Snapshot and fork: one past, two futures, and the proof that going back is exact.

python examples/03_snapshot_and_fork.py [nano|dummy|model folder] [folder for the snapshot]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from magi_rt import Frame, Snapshot, World


def alike(one: list[Frame], other: list[Frame]) -> bool:
    """Whether two chunks are the same, bit for bit."""
    return all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


def main(model: str = "nano", folder: str = ".") -> None:
    world = World.open(model, seed=7)
    world.advance("a red ball and a blue box in a room by day")

    world.snapshot().save(Path(folder) / "moment.safetensors")  # this moment, for another day
    twin = world.fork()  # a second world that goes on from here; the weights are shared

    up = world.advance("gravity points up")
    snow = twin.advance("it snows")
    apart = np.abs(up[-1].pixels.astype(int) - snow[-1].pixels).mean()
    print(f"the two futures differ by {apart:.1f} of 255 per pixel")

    world.rewind(chunks=1)  # as if gravity had never turned
    print(
        "told the same, the first world shows the twin's frames:",
        alike(world.advance("it snows"), snow),
    )

    world.restore(Snapshot.load(Path(folder) / "moment.safetensors"))
    print("and from the file once more:", alike(world.advance("it snows"), snow))


if __name__ == "__main__":
    main(*sys.argv[1:])
