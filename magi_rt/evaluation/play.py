"""Play: does a world keep what it shows over minutes of changing prompts?

A world goes on from a simulated video and gets a new random prompt every few chunks; the simulator
plays the same room under the same script. At the end of every chunk the things are counted, and
the colours and the sharpness are compared with those of drawn rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.errors import OptionError
from magi_rt.evaluation.likeness import Bank, Looks, as_usual, count_things
from magi_rt.evaluation.opened import Begin
from magi_rt.evaluation.steering import pixels_of
from magi_rt.evaluation.trials import joined
from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import FRAME_RATE, Clauses
from magi_rt.training.worlds.film import run_chunk
from magi_rt.training.worlds.toybox import Toybox
from magi_rt.training.worlds.toybox_scene import State
from magi_rt.world.start import PREFIX_FRAMES

HOLD = (3, 9)
"""Least and most chunks that a prompt holds."""
SETTLING_S = 60.0
"""Seconds from which on things are counted, in plays of twice that and more."""
SHOWN = 40
"""Chunk ends that are kept to be shown."""


@dataclass(frozen=True)
class Script:
    """``given``: uint8 [frames, size, size, 3]; then per chunk the prompt, how many things the
    simulator's room holds at its end, and the room before the first."""

    seed: int
    size: int
    given: Pixels
    prompts: tuple[str, ...]
    meanings: tuple[Clauses, ...]
    things: tuple[int, ...]
    start: State

    def late(self, chunks: int) -> Script:
        """As a world shows it in which every chunk was begun so many chunks before it is shown."""
        rows = {}
        for name in ("prompts", "meanings", "things"):
            row = getattr(self, name)
            rows[name] = (row[:1] * chunks + row)[: len(row)]
        return replace(self, **rows)


@dataclass(frozen=True)
class Track:
    """Per chunk: things counted [chunks], how the last frame looks, the mean change from frame to
    frame within the chunk, and across the border to it (grey levels, nan for the first)."""

    counts: NDArray[np.int64]
    looks: Looks
    motion: NDArray[np.float64]
    jump: NDArray[np.float64]


@dataclass(frozen=True)
class PlayScore:
    """Shares of chunks, 0..1, and ratios.

    ``count_right``: as many things as the script says. ``count_kept``: as many as the chunk before,
    but for what was asked to come or go, and not none while the script has some. ``lost``,
    ``gained``: things per chunk of the whole play that go and come unasked, or stay away and stay
    though asked to come and to go. ``colours``, ``sharp``: as usual for the simulator.
    ``sharp_fade``, ``chroma_fade``: the last quarter's over the first's, 1 for no fade.
    ``border_ratio``: change across chunk borders over that within chunks, where a prompt goes on.
    """

    count_right: float
    count_kept: float
    lost: float
    gained: float
    colours: float
    sharp: float
    sharp_fade: float
    chroma_fade: float
    border_ratio: float


def mean_score(scores: Sequence[PlayScore]) -> PlayScore:
    """Means over plays, each number over those that have it; nan where none has."""
    columns = np.array([astuple(score) for score in scores], dtype=np.float64)
    known = ~np.isnan(columns)
    sums, counts = np.where(known, columns, 0.0).sum(0), known.sum(0)
    means = zip(sums, counts, strict=True)
    return PlayScore(*(float(total / n) if n else float("nan") for total, n in means))


@dataclass(frozen=True)
class Play:
    """A whole play: of the world and of the simulator; ``drawn``: how drawn rooms look."""

    script: Script
    drawn: Looks
    model: Track
    simulator: Track
    frames_per_chunk: int
    shown: tuple[Frame, ...]

    def score(self, track: Track) -> PlayScore:
        """What to say of a track, from ``SETTLING_S`` on if it is long enough."""
        chunk_s = self.frames_per_chunk / FRAME_RATE
        settled = round(SETTLING_S / chunk_s)
        first = settled if len(track.counts) >= 2 * settled else 0
        expected = np.array(self.script.things)
        right = (track.counts == expected)[first:]
        some = (track.counts[1:] > 0) | (expected[1:] == 0)
        unasked = np.diff(track.counts) - np.diff(expected)
        kept = (some & (unasked == 0))[first:]
        colours, sharp = as_usual(track.looks, self.drawn, self.simulator.looks)
        return PlayScore(
            count_right=float(right.mean()),
            count_kept=_mean(kept),
            lost=_mean(np.maximum(-unasked, 0)),
            gained=_mean(np.maximum(unasked, 0)),
            colours=float(colours.mean()),
            sharp=float(sharp.mean()),
            sharp_fade=_fade(track.looks.sharp),
            chroma_fade=_fade(track.looks.chroma),
            border_ratio=_border_ratio(track, self.script.prompts),
        )


def draw_script(
    chunks: int, seed: int, *, number: int = 0, size: int = 64, frames_per_chunk: int = 8
) -> Script:
    """A room in motion, then random prompts that change something in it as it then is.

    The same numbers give the same script; ``number`` tells apart those of one seed. OptionError
    for fewer than one chunk.
    """
    if chunks < 1:
        raise OptionError(f"chunks is {chunks}; at least 1 is needed", field="minutes")
    random = Random(f"{seed} play {number}" if number else f"{seed} play")
    world = Toybox(size)
    room = world.sample(1, torch.Generator().manual_seed(random.randrange(2**62)))
    lead = run_chunk(world, room, [()], max(PREFIX_FRAMES, frames_per_chunk))
    start = state = lead[-1]
    prompts: list[str] = []
    meanings: list[Clauses] = []
    things: list[int] = []
    left = 0
    for _ in range(chunks):
        if left == 0:
            words, meaning = world.prompt(state, 0, random, "all")
            left = random.randint(*HOLD)
        left -= 1
        state = run_chunk(world, state, [meaning], frames_per_chunk)[-1]
        prompts.append(words)
        meanings.append(meaning)
        things.append(len(state.facts[0].things))
    given: Pixels = world.render(joined(lead)).numpy()
    return Script(
        random.randrange(2**62), size, given, tuple(prompts), tuple(meanings), tuple(things), start
    )


def play(
    script: Script,
    begin: Begin,
    *,
    frames_per_chunk: int = 8,
    delay: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Play:
    """The script played by a world and by the simulator; ``tell`` hears every chunk's prompt.

    ``delay``: chunks that the world shows before those of a new prompt. The simulator is as late.
    """
    bank, drawn = Bank.drawn(script.size)
    world = begin(script.given, script.seed)
    meter, shown = _Meter(bank), []
    every = max(1, len(script.prompts) // SHOWN)
    for number, prompt in enumerate(script.prompts):
        frames = world.advance(prompt)
        meter.add(pixels_of(frames))
        if number % every == every - 1:
            shown.append(frames[-1])
        if tell is not None:
            tell(prompt)
    truth, shown_script = _Meter(bank), script.late(delay)
    for chunk in simulated(shown_script, frames_per_chunk):
        truth.add(chunk)
    return Play(shown_script, drawn, meter.track(), truth.track(), frames_per_chunk, tuple(shown))


def simulated(script: Script, frames_per_chunk: int = 8) -> Iterator[Pixels]:
    """The simulator's chunks under a script, uint8 [frames_per_chunk, size, size, 3] each."""
    world, state = Toybox(script.size), script.start
    for meaning in script.meanings:
        made = run_chunk(world, state, [meaning], frames_per_chunk)
        state = made[-1]
        yield world.render(joined(made)).numpy()


class _Meter:
    """Collects numbers chunk by chunk; keeps one frame."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.counts: list[int] = []
        self.looks: list[Looks] = []
        self.motion: list[float] = []
        self.jump: list[float] = []
        self.last: NDArray[np.float32] | None = None

    def add(self, chunk: Pixels) -> None:
        end = chunk[-1:]
        self.counts.append(int(count_things(end)[0]))
        self.looks.append(self.bank.looks(end))
        now = chunk.astype(np.float32)
        self.motion.append(float(np.abs(now[1:] - now[:-1]).mean()))
        last = self.last
        self.jump.append(float("nan") if last is None else float(np.abs(now[0] - last).mean()))
        self.last = now[-1]

    def track(self) -> Track:
        looks = Looks(
            *(
                np.concatenate([getattr(one, name) for one in self.looks])
                for name in ("apart", "sharp", "chroma")
            )
        )
        return Track(np.array(self.counts), looks, np.array(self.motion), np.array(self.jump))


def _border_ratio(track: Track, prompts: Sequence[str]) -> float:
    """Mean change across borders over that within chunks, where a prompt went on; nan without.

    Where the prompt changes, the simulator's own picture may jump.
    """
    on = np.array([False, *(a == b for a, b in pairwise(prompts))])
    if not on.any():
        return float("nan")
    return float(track.jump[on].mean()) / max(float(track.motion[on].mean()), 1e-6)


def _mean(values: NDArray[Any]) -> float:
    """nan for none."""
    return float(values.mean()) if values.size else float("nan")


def _fade(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Median of the last quarter over that of the first."""
    quarter = max(1, len(values) // 4)
    return float(np.median(values[-quarter:]) / max(np.median(values[:quarter]), 1e-6))
