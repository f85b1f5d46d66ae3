"""Makes the pictures of the README and the pages, with the built-in world and nothing else.

    python docs/pictures/make.py                 writes them beside this file
    python docs/pictures/make.py --try 1 2 3     only out/seeds.png: a row per seed, to choose from

The same model, seed and machine give the same pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magi_rt import Frame, World
from magi_rt.media.contact_sheet import SheetLook, contact_sheet

HERE = Path(__file__).parent
SEED = 3
START = "a red ball and a blue box in a room by day"
PROMPTS = (
    "gravity pulls left", "gravity pulls right", "gravity pulls up",
    "dusk falls", "night falls", "it rains", "it snows",
    "night falls and it snows", "a yellow box drops in",
)  # fmt: skip
FUTURES = ("gravity pulls left", "night falls and it snows")
DAY = (START, "dusk falls", "night falls", "day breaks")
SETTLED = 3
"""Chunks until what the first prompt asked for has come to rest; the next prompt comes then."""


def last_frames(world: World, prompt: str | None, chunks: int) -> list[Frame]:
    """The last frame of each of the next chunks."""
    found = []
    for _ in range(chunks):
        found.append(world.advance(prompt)[-1])
        prompt = None
    return found


def answers(seed: int) -> list[Frame]:
    """One moment, and what became of it 4 chunks (1.3 s) after each prompt."""
    with World.open("nano", seed=seed) as world:
        found = last_frames(world, START, SETTLED)[-1:]
        for prompt in PROMPTS:
            with world.fork() as other:
                found += last_frames(other, prompt, 4)[-1:]
    return found


def futures(seed: int) -> list[Frame]:
    """Two rows that begin in the same moment and go on under two prompts."""
    with World.open("nano", seed=seed) as world:
        moment = last_frames(world, START, SETTLED)[-1:]
        with world.fork() as other:
            one, two = (last_frames(w, p, 5) for w, p in zip((world, other), FUTURES, strict=True))
    return [*moment, *one, *moment, *two]


def day_and_night(seed: int) -> list[Frame]:
    """A world that is told the time of day, a picture every two thirds of a second."""
    with World.open("nano", seed=seed) as world:
        last_frames(world, START, SETTLED - 2)
        return [frame for prompt in DAY for frame in last_frames(world, prompt, 4)[1::2]]


def save(frames: list[Frame], name: str, *, columns: int, cell: int) -> None:
    """Writes a contact sheet as WebP, which is a fifth of a PNG here."""
    from PIL import Image

    sheet = contact_sheet(frames, columns=columns, look=SheetLook(cell, gap=12, letters=14))
    path = HERE / f"{name}.webp"
    Image.fromarray(sheet).save(path, quality=88, method=6)
    print(f"{path.name}: {sheet.shape[1]}x{sheet.shape[0]}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--try", type=int, nargs="+", dest="seeds", metavar="SEED")
    given = parser.parse_args()
    if given.seeds:
        Path("out").mkdir(exist_ok=True)
        rows = [frame for seed in given.seeds for frame in answers(seed)]
        contact_sheet(rows, "out/seeds.png", columns=len(PROMPTS) + 1, look=SheetLook(128))
        return
    save(answers(given.seed), "prompts", columns=5, cell=200)
    save(futures(given.seed), "futures", columns=6, cell=160)
    save(day_and_night(given.seed), "day_and_night", columns=8, cell=128)


if __name__ == "__main__":
    main()
