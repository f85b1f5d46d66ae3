"""The sections of a report as Markdown lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from magi_rt.evaluation import judges
from magi_rt.evaluation.beginnings import OpeningScore
from magi_rt.evaluation.likeness import BANK, NEAREST
from magi_rt.evaluation.physics import PhysicsRow
from magi_rt.evaluation.physics_scenes import GIVEN, LEAST_BENT, PREDICTED, TREMBLE
from magi_rt.evaluation.play import HOLD, Play, mean_score
from magi_rt.evaluation.reconstruction import Reconstruction
from magi_rt.evaluation.settings import SettingScore
from magi_rt.evaluation.steering import CONTROL_EVERY, Score
from magi_rt.evaluation.trials import CHUNKS
from magi_rt.training.worlds.base import FRAME_RATE


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose first column is words and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def beginning_lines(rows: Sequence[OpeningScore]) -> list[str]:
    """How often a first chunk shows the room that its caption describes."""
    head = (
        "room of", "captions", "all right", "colours", "shapes", "light", "weather",
        "trained words", "held-out words", "simulator",
    )  # fmt: skip
    cells = []
    for row in rows:
        shares = (
            row.right, row.colours, row.shapes, row.light, row.weather,
            row.train, row.held_out, row.simulator,
        )  # fmt: skip
        cells.append((row.name, str(row.count), *map(percent, shares)))
    return [
        "## Beginnings",
        "",
        *table(head, cells),
        "A world begins from nothing but the caption of a random room; the last frame of its first "
        "chunk is looked at. Colours: just those that were named. Shapes: of all things, those "
        "that are one blob of their colour and of the named shape. All right, also of trained and "
        "held-out words and of the simulator's own pictures: all that was named, and nothing else.",
        "",
    ]


def steering_lines(rows: Sequence[Score]) -> list[str]:
    """How well prompts are obeyed, kind by kind."""
    head = (
        "asked", "trials", "obeyed", "trained words", "held-out words", "simulator",
        "no prompt", "chunks until it shows", "simulator's",
    )  # fmt: skip
    cells = []
    for row in rows:
        shares = (row.obeyed, row.train, row.held_out, row.simulator, row.control)
        late = number(row.latency, 1), number(row.simulator_latency, 1)
        cells.append((row.name, str(row.trials), *map(percent, shares), *late))
    return [
        "## Steering",
        "",
        *table(head, cells),
        f"A world continues a simulated video of a room in which the change is not there yet, for "
        f"{CHUNKS} chunks under the prompt; detectors that see nothing but pixels say whether it "
        f"came about (moved: {judges.MOVED:g} of 64 units; see `judges.py`), and the same "
        "detectors judge the simulator's own continuation. No prompt: two trials in "
        f"{CONTROL_EVERY} again under the empty prompt. Held-out words are phrasings that training "
        "never used. In a world that is running already a prompt shows a chunk later for every "
        "further chunk of its window.",
        "",
    ]


def physics_lines(rows: Sequence[PhysicsRow]) -> list[str]:
    """How close continuations come to the simulator's."""
    head = (
        "given", "continued by", "scenes", "spatial IoU", "spatio-temporal IoU",
        "weighted spatial IoU", "MSE", "score",
    )  # fmt: skip
    cells = [
        (
            row.start,
            row.take,
            str(row.scenes),
            number(row.mean.where, 3),
            number(row.mean.when, 3),
            number(row.mean.how_much, 3),
            number(row.mean.error, 4),
            f"**{row.score:.1f}**" if row.take == "model" else f"{row.score:.1f}",
        )
        for row in rows
    ]
    return [
        "## Physics",
        "",
        *table(head, cells),
        f"Given {GIVEN / FRAME_RATE:g} s of video, or one picture of things at rest in mid-air, "
        f"the world goes on for {PREDICTED / FRAME_RATE:g} s under the words of the gravity that "
        "already holds. Metrics and score are those of Physics-IQ; 100 is as close to the "
        f"simulator as its second take from a start that is off by {TREMBLE:g} of 64 units. Only "
        "scenes are used in which things keep moving and straight lines miss by "
        f"{LEAST_BENT:g} units or more on average.",
        "",
    ]


def percent(share: float) -> str:
    """A share as words: "93.5 %", "-" for nan."""
    return "-" if math.isnan(share) else f"{100 * share:.3g} %"


def number(value: float, digits: int = 2) -> str:
    """A number as words, "-" for nan."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def play_lines(plays: Sequence[Play]) -> list[str]:
    """What a world keeps over minutes."""
    head = (
        "player", "things right", "things kept", "lost, gained in 100 chunks", "colours as usual",
        "sharpness as usual", "sharpness, end / begin", "colour strength, end / begin",
        "border jump / motion",
    )  # fmt: skip
    own = [played.score(played.model) for played in plays]
    rows = [(f"model, script {place}", score) for place, score in enumerate(own, 1)]
    rows = rows if len(plays) > 1 else []
    rows.append(("model", mean_score(own)))
    rows.append(("simulator", mean_score([played.score(played.simulator) for played in plays])))
    cells = []
    for name, score in rows:
        counts = (percent(score.count_right), percent(score.count_kept))
        events = ", ".join(number(100 * each, 1) for each in (score.lost, score.gained))
        usual = (percent(score.colours), percent(score.sharp))
        ratios = (score.sharp_fade, score.chroma_fade, score.border_ratio)
        cells.append((name, *counts, events, *usual, *map(number, ratios)))
    seconds = len(plays[0].script.prompts) * plays[0].frames_per_chunk / FRAME_RATE
    times = f"{len(plays)} times " if len(plays) > 1 else ""
    return [
        "## Play",
        "",
        *table(head, cells),
        f"{times}{seconds:.0f} s of random prompts, one every {HOLD[0]} to {HOLD[1]} chunks, from "
        "a simulated video; shares are of chunks, measured at their last frames. Things right: as "
        "many as the simulator has under the same script (counted after the first minute in plays "
        "of two minutes and more); kept: as many as a chunk before, but for what was asked to come "
        "or go, and not none. Lost, gained: things that go and come unasked, or do not come and "
        "do not go when asked, over the whole play; what is lost stays lost, so this says more "
        "than shares of chunks. As usual: within the 1st to 99th percentile of the simulator's "
        "pictures, of this play and of other rooms "
        "(colours: distance of the histogram from the nearest of "
        f"{BANK} drawn rooms; sharpness: relative to the nearest {NEAREST}). "
        "Border jump / motion: mean change of pixels from chunk to chunk over that from frame to "
        "frame, at borders where the prompt goes on.",
        "",
    ]


def settings_lines(rows: Sequence[SettingScore], trials: int, scenes: int) -> list[str]:
    """Quality and speed under other settings."""
    head = ("setting", "obeyed", "physics score", "frames per second")
    cells = [
        (row.setting.name, percent(row.obeyed), number(row.physics, 1), number(row.fps, 0))
        for row in rows
        if not row.refused
    ]
    refused = [f"{row.setting.name}: {row.refused}" for row in rows if row.refused]
    return [
        "## Settings",
        "",
        *table(head, cells),
        f"The same {trials} steering trials and {scenes} physics scenes from videos under every "
        "setting, all else as above; frames per second are those of running worlds, the first "
        "chunk of each left out.",
        *(f"Not run: {one}" for one in refused),
        "",
    ]


def reconstruction_lines(found: Reconstruction) -> list[str]:
    """What survives the auto-encoder."""
    return [
        "## Auto-encoder",
        "",
        f"PSNR {found.psnr:.2f} dB, SSIM {found.ssim:.4f}, over {found.frames} simulated frames, "
        "encoded and decoded chunk by chunk.",
        "",
    ]
