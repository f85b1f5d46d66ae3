"""Physics: does a world go on as the simulator does, when nothing new is asked for?

A world gets a second of video in which things move (or one picture of things about to fall) and
the words of the gravity that already holds, and goes on for three seconds. It is compared with the
simulator's own continuation, beside two baselines (the last picture for ever; every thing straight
on with its last velocity until it meets a wall) and the simulator's second take from a slightly
different start, which is as close as anything can be expected to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from magi_rt.evaluation.opened import Steered
from magi_rt.evaluation.physics_scenes import PREDICTED, STARTS, Scene
from magi_rt.evaluation.physics_scores import (
    Closeness,
    closeness,
    mean_closeness,
    physics_score,
)
from magi_rt.evaluation.steering import CELL, pixels_of
from magi_rt.media.pictures import Pixels, resize

TAKES = ("model", "freeze", "straight line")

SHOWN = (5, 11, 23, 35, 47, 71)
"""Predicted frames that are kept to be shown, after the last one given."""

BeginScene = Callable[[Pixels, str, int], Steered]
"""(frames uint8 [T, H, W, 3], "video" or "image", seed) -> a world that goes on from them."""


@dataclass(frozen=True)
class Continued:
    """One scene's results, by what continued it: TAKES, and "second take".

    ``strip``: uint8 [2, 1 + len(SHOWN), CELL, CELL, 3], the model's above the simulator's.
    """

    start: str
    prompt: str
    found: dict[str, Closeness]
    strip: Pixels


@dataclass(frozen=True)
class PhysicsRow:
    """Means over the scenes of one kind of start, and the score, 0..100."""

    start: str
    take: str
    scenes: int
    mean: Closeness
    score: float


def run_scenes(
    scenes: Iterable[Scene], begin: BeginScene, tell: Callable[[str], None] | None = None
) -> list[Continued]:
    """Every scene in turn; ``tell`` hears each prompt."""
    results = []
    for scene in scenes:
        results.append(_continued(scene, begin))
        if tell is not None:
            tell(scene.prompt)
    return results


def physics_rows(results: Sequence[Continued]) -> list[PhysicsRow]:
    """A row per start and take; empty without scenes."""
    rows = []
    for start in STARTS:
        chosen = [result for result in results if result.start == start]
        if not chosen:
            continue
        again = mean_closeness([result.found["second take"] for result in chosen])
        for take in (*TAKES, "second take"):
            mean = mean_closeness([result.found[take] for result in chosen])
            rows.append(PhysicsRow(start, take, len(chosen), mean, physics_score(mean, again)))
    return rows


def _continued(scene: Scene, begin: BeginScene) -> Continued:
    world = begin(scene.given, scene.start, scene.seed)
    made: list[Pixels] = []
    while sum(map(len, made)) < PREDICTED:
        made.append(pixels_of(world.advance(scene.prompt)))
    model = np.concatenate(made)[:PREDICTED]
    videos = {
        "model": model,
        "freeze": np.repeat(scene.given[-1:], PREDICTED, axis=0),
        "straight line": scene.straight,
        "second take": scene.again,
    }
    found = {take: closeness(video, scene.true) for take, video in videos.items()}
    rows = [np.concatenate([scene.given[-1:], v[list(SHOWN)]]) for v in (model, scene.true)]
    strip = np.stack([resize(row, CELL, CELL) for row in rows])
    return Continued(scene.start, scene.prompt, found, strip)
