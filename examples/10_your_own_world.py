"""A world of your own: write it, train it, steer it. Here it is a lamp that goes where it is told.

python examples/10_your_own_world.py [--minutes 10] [--smoke] [--folder your-own-world]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from magi_rt import World
from magi_rt.media.contact_sheet import contact_sheet
from magi_rt.training.worlds.base import Prompt

WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
COLOURS = {"red": (255, 40, 30), "green": (40, 230, 60), "blue": (60, 90, 255)}
STORY = ("a red lamp in the dark", "the lamp goes right", "the lamp goes up", "the lamp turns blue")


class State(NamedTuple):
    place: Tensor  # [B, 2] x, y in 0..1
    pace: Tensor  # [B, 2] per frame
    colour: Tensor  # [B, 3] 0..255


class Lamp:
    """All that training asks of a world; see magi_rt.training.worlds.base.World."""

    def __init__(self, size: int) -> None:
        self.axis = (torch.arange(size) + 0.5) / size

    def sample(self, batch: int, generator: torch.Generator) -> State:
        place = 0.1 + 0.8 * torch.rand(batch, 2, generator=generator)
        which = torch.randint(len(COLOURS), (batch,), generator=generator)
        colour = torch.tensor(list(COLOURS.values()), dtype=torch.float32)[which]
        return State(place, torch.zeros(batch, 2), colour)

    def caption(self, state: State, row: int, random: Random, split: str) -> Prompt:
        shown = {rgb: name for name, rgb in COLOURS.items()}
        red, green, blue = (int(part) for part in state.colour[row])
        return Prompt(f"a {shown[red, green, blue]} lamp in the dark", ())

    def prompt(self, state: State, row: int, random: Random, split: str) -> Prompt:
        word = random.choice([*WAYS, *COLOURS])
        return Prompt(f"the lamp {'goes' if word in WAYS else 'turns'} {word}", (word,))

    def apply(self, state: State, meanings: Sequence[tuple[str, ...]]) -> State:
        pace, colour = torch.zeros_like(state.pace), state.colour.clone()
        for row, words in enumerate(meanings):
            for word in words:
                if word in WAYS:
                    pace[row] = 0.02 * torch.tensor(WAYS[word])
                else:
                    colour[row] = torch.tensor(COLOURS[word], dtype=torch.float32)
        return State(state.place, pace, colour)

    def step(self, state: State) -> State:
        return state._replace(place=(state.place + state.pace).clamp(0.1, 0.9))

    def render(self, state: State) -> Tensor:
        across = torch.exp(-((self.axis - state.place[:, :1]) ** 2) / 0.006)
        down = torch.exp(-((self.axis - state.place[:, 1:]) ** 2) / 0.006)
        glow = down[:, :, None] * across[:, None, :]
        return (12 + glow[..., None] * (state.colour[:, None, None] - 12)).byte()


def train(minutes: float, folder: Path, smoke: bool) -> Path:
    """A model folder. A third of the time goes to the auto-encoder, the rest to the denoiser."""
    from magi_rt.training.dit_trainer import train_dit
    from magi_rt.training.vae_trainer import train_vae

    data, steps = f"{Path(__file__).resolve()}:Lamp", 1 if smoke else None
    share = None if smoke else minutes / 3
    rest = None if share is None else 2 * share
    batch, clips = (2, {"clips": 4, "still": 1}) if smoke else (12, {})
    _, outcome = train_vae(
        folder / "vae", start="nano", data=data, minutes=share, steps=steps, batch=2 * batch
    )
    go_on_only_if(outcome.finished)
    outcome = train_dit(
        folder / "dit", folder / "vae" / "export", start="nano-base", data=data, minutes=rest,
        steps=steps, batch=batch, openings=batch, clips=clips,
    )  # fmt: skip
    go_on_only_if(outcome.finished)
    return folder / "dit" / "export"


def go_on_only_if(finished: bool) -> None:
    if not finished:
        raise SystemExit("stopped and saved; the same command goes on from here")


def steer(model: Path, sheet: Path) -> None:
    """Tell the trained world a story of four prompts, one second each."""
    with World.open(model, seed=7) as world:
        frames = [frame for prompt in STORY for _ in range(3) for frame in world.advance(prompt)]
    contact_sheet(frames[::8], sheet, columns=6)
    print(f"see {sheet}; open the world with World.open({str(model)!r})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="for all training together")
    parser.add_argument("--smoke", action="store_true", help="one tiny step: does it run?")
    parser.add_argument("--folder", type=Path, help="your-own-world, or your-own-world-smoke")
    wanted = parser.parse_args()
    # a smoke run has other settings, and a folder with its run would refuse the real ones
    folder = wanted.folder or Path("your-own-world-smoke" if wanted.smoke else "your-own-world")
    if not wanted.smoke:
        from magi_rt.training.loop import restart_with_kept_memory

        restart_with_kept_memory()  # several times faster on a CPU
    steer(train(wanted.minutes, folder, wanted.smoke), folder / "story.png")


if __name__ == "__main__":
    main()
