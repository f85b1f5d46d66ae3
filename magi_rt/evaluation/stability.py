"""Stability: does a world keep its picture over a minute of changing prompts?

A world starts from a caption and gets a new prompt every few chunks; the simulator plays the same
scene under the same script. A world has collapsed when, for more than two seconds running,

- "empty": objects cover less than ``EMPTY`` of the picture,
- "flooded": they cover more than ``FLOODED``,
- "blurred": sharpness is below ``BLURRED`` of the least that the simulator shows,
- "noisy": sharpness is above ``NOISY`` of the most that the simulator shows;

or when, over the whole video, "frozen": the middle second moves less than ``FROZEN`` of that of the
simulator. (The median, so that light going on and off does not pass for motion.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.errors import OptionError
from magi_rt.evaluation.curves import Curves, Meter
from magi_rt.evaluation.opened import Begin
from magi_rt.evaluation.steering import pixels_of
from magi_rt.frames import Frame
from magi_rt.media.contact_sheet import evenly
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clauses, Meaning
from magi_rt.training.worlds.toybox_physics import facts_after
from magi_rt.training.worlds.toybox_prompts import caption_words
from magi_rt.training.worlds.toybox_scene import State, draw_state
from magi_rt.training.worlds.toybox_script import next_prompt

EMPTY, FLOODED = 0.01, 0.6
"""Shares of the picture; the smallest object alone covers 0.027."""
BLURRED, NOISY = 0.4, 2.5
FROZEN = 0.1
LONGEST_S = 2
"""Whole seconds that a picture may look collapsed, as in a flash of colour."""
HOLD = (3, 9)
"""Least and most chunks that a prompt holds."""
SHOWN = 20
"""Frames of a stream that are kept to be shown."""


@dataclass(frozen=True)
class Script:
    """A scene and what is asked of it: ``prompts`` [chunks], their meanings, and the start."""

    seed: int
    prompts: tuple[str, ...]
    meanings: tuple[Clauses, ...]
    start: State


@dataclass(frozen=True)
class Collapse:
    """``rule``: which; ``from_s``, ``seconds``: when it began to hold and for how long."""

    rule: str
    from_s: int
    seconds: int


@dataclass(frozen=True)
class Stream:
    """One long video: its script, what was measured of it and of the simulator, some frames."""

    script: Script
    model: Curves
    simulator: Curves
    shown: tuple[Frame, ...]


@dataclass(frozen=True)
class Verdict:
    """``collapses`` [streams]: what broke the rules in each stream; held when there is none."""

    collapses: tuple[tuple[Collapse, ...], ...]

    @property
    def held(self) -> int:
        """Streams without a collapse."""
        return sum(not found for found in self.collapses)


def draw_script(chunks: int, seed: int) -> Script:
    """A scene with its caption, then random prompts that would change something in it.

    The same numbers give the same script. OptionError for fewer than one chunk.
    """
    if chunks < 1:
        raise OptionError(f"chunks is {chunks}; at least 1 is needed", field="seconds")
    random = Random(f"{seed} stability")
    start = draw_state(1, torch.Generator().manual_seed(random.randrange(2**62)), "cpu")
    facts = start.facts[0]
    prompt, meaning = caption_words(facts, random, "train"), (Meaning("scene"),)
    drawn: list[tuple[str, Clauses]] = [(prompt, meaning)] * random.randint(*HOLD)
    while len(drawn) < chunks:
        fresh = next_prompt(facts, random, "all")
        facts = facts_after(facts, fresh[1])
        drawn += [fresh] * random.randint(*HOLD)
    prompts, meanings = zip(*drawn[:chunks], strict=True)
    return Script(random.randrange(2**62), prompts, meanings, start)


def run_stream(
    script: Script,
    begin: Begin,
    *,
    fps: float,
    frames_per_chunk: int = 8,
    tell: Callable[[str], None] | None = None,
) -> Stream:
    """The script played by a world from nothing, and by the simulator; ``tell`` hears prompts."""
    world = begin(None, script.seed)
    meter, shown = Meter(fps), []
    wanted = set(evenly(len(script.prompts), SHOWN))
    for number, prompt in enumerate(script.prompts):
        frames = world.advance(prompt)
        meter.add(pixels_of(frames))
        if number in wanted:
            shown.append(frames[-1])
        if tell is not None:
            tell(prompt)
    truth = Meter(fps)
    for chunk in simulated(script, frames_per_chunk):
        truth.add(chunk)
    return Stream(script, meter.curves(), truth.curves(), tuple(shown))


def simulated(script: Script, frames_per_chunk: int = 8) -> Iterator[Pixels]:
    """The simulator's chunks under a script, uint8 [frames_per_chunk, 64, 64, 3] each."""
    state = script.start
    for meaning in script.meanings:
        clips = toybox.play(state, [[meaning]], None, frames_per_chunk)
        state = clips.states[-1]
        yield clips.pixels[0].numpy()


def judge_streams(streams: Sequence[Stream]) -> Verdict:
    """What broke the rules in each stream, against the simulator's range over all of them."""
    sharp = np.concatenate([stream.simulator.sharpness for stream in streams])
    limits = BLURRED * float(sharp.min()), NOISY * float(sharp.max())
    return Verdict(tuple(tuple(_collapses(stream, limits)) for stream in streams))


def _collapses(stream: Stream, sharp: tuple[float, float]) -> Iterator[Collapse]:
    model = stream.model
    broken = {
        "empty": model.mass < EMPTY,
        "flooded": model.mass > FLOODED,
        "blurred": model.sharpness < sharp[0],
        "noisy": model.sharpness > sharp[1],
    }
    for rule, seconds in broken.items():
        start, length = longest_run(seconds)
        if length > LONGEST_S:
            yield Collapse(rule, start, length)
    least = FROZEN * float(np.median(stream.simulator.motion))
    if float(np.median(model.motion)) < least:
        yield Collapse("frozen", 0, model.seconds)


def longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """(start, length) of the longest run of True, the first of equals; (0, 0) without any."""
    best, start = (0, 0), 0
    for place, flag in enumerate([*flags, False]):
        if not flag:
            if place - start > best[1]:
                best = (start, place - start)
            start = place + 1
    return best
