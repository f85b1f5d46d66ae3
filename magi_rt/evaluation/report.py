"""What an evaluation found: Markdown for people, JSON for programs, pictures for both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magi_rt.evaluation import stability, steering
from magi_rt.evaluation.curves import Curves
from magi_rt.evaluation.stability import Collapse, Stream, Verdict, judge_streams
from magi_rt.evaluation.steering import Outcome, Score, scores
from magi_rt.evaluation.trial_sheet import trial_sheet
from magi_rt.evaluation.trials import CHUNKS
from magi_rt.media.contact_sheet import SheetLook, contact_sheet
from magi_rt.whole_files import write_whole

BARS = "▁▂▃▄▅▆▇█"
CURVE_LETTERS = 60
STREAM_LOOK = SheetLook(cell=160, letters=12)


@dataclass(frozen=True)
class Evaluation:
    """All that was measured: ``card`` says of what, ``seed`` from which the trials were drawn."""

    card: Mapping[str, object]
    seed: int
    outcomes: Sequence[Outcome]
    streams: Sequence[Stream]

    @property
    def scores(self) -> list[Score]:
        """The steering table, its last row for all trials."""
        return scores(self.outcomes)

    @property
    def obeyed(self) -> float:
        """Share of all trials in which the world obeyed, 0..1."""
        return self.scores[-1].obeyed

    @property
    def verdict(self) -> Verdict | None:
        """Of the long streams, ``None`` where there were none."""
        return judge_streams(self.streams) if self.streams else None


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers in one flat enough object: what a bench prints as its last line."""
    verdict = evaluation.verdict
    rows = {score.name: _score_values(score) for score in evaluation.scores}
    overall = rows.pop("all")
    return {
        "eval": "steering and stability",
        **evaluation.card,
        "seed": evaluation.seed,
        **overall,
        "kinds": rows,
        "stability": None if verdict is None else _stability_values(evaluation.streams, verdict),
    }


def details(evaluation: Evaluation) -> dict[str, Any]:
    """The summary with every trial and every curve."""
    return {
        **summary(evaluation),
        "every_trial": [_trial_values(outcome) for outcome in evaluation.outcomes],
        "curves": [
            {"model": stream.model.rows(), "simulator": stream.simulator.rows()}
            for stream in evaluation.streams
        ],
    }


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes report.md, report.json, trials.png and streams.png; returns those written.

    Raises:
        MediaError: a file cannot be written.
    """
    files = [folder / "report.md", folder / "report.json", folder / "trials.png"]
    words = markdown(evaluation)
    numbers = json.dumps(_finite(details(evaluation)), indent=1, ensure_ascii=False) + "\n"
    write_whole(files[0], lambda stream: stream.write(words.encode()))
    write_whole(files[1], lambda stream: stream.write(numbers.encode()))
    trial_sheet(evaluation.outcomes, files[2])
    frames = [frame for stream in evaluation.streams for frame in stream.shown]
    if frames:
        files.append(folder / "streams.png")
        contact_sheet(frames, files[-1], columns=stability.SHOWN // 2, look=STREAM_LOOK)
    return files


def json_line(evaluation: Evaluation) -> str:
    """The summary on one line; numbers that are not there are null."""
    return json.dumps(_finite(summary(evaluation)), ensure_ascii=False)


def markdown(evaluation: Evaluation) -> str:
    """The whole report as Markdown, ending in a newline."""
    card = evaluation.card
    size = card.get("size")
    lines = [
        f"# Evaluation of {card.get('model')}",
        "",
        f"Size {size}, {card.get('steps')} steps, window {card.get('window')}, backend "
        f"{card.get('backend')} on {card.get('device')}, {card.get('dtype')}, "
        f"{card.get('threads')} threads, {card.get('hardware')}; seed {evaluation.seed}.",
        "",
        *_steering_lines(evaluation.scores),
        *_stability_lines(evaluation.streams),
    ]
    return "\n".join(lines) + "\n"


def _steering_lines(rows: Sequence[Score]) -> list[str]:
    lines = [
        "## Steering",
        "",
        "| asked | trials | obeyed | trained words | held-out words | simulator | no prompt | "
        "median change / simulator's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shares = (row.obeyed, row.train, row.held_out, row.simulator, row.unprompted)
        cells = (row.name, str(row.trials), *map(_percent, shares), _number(row.reached))
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"Obeyed: within {CHUNKS} chunks the wall's brightness changed by at least "
        f"{steering.LIGHT_MARGIN:g} of 255, or the objects' common centre moved by at least "
        f"{_percent(steering.MOVE_MARGIN)} of the picture the asked way, not further across, "
        "and the objects are still there. No prompt: the same worlds from the same starts under "
        "the empty prompt, counted the same way. "
        "Starts in which the simulator itself would move less than "
        f"{_percent(2 * steering.MOVE_MARGIN)} are not used.",
        "",
    ]


def _stability_lines(streams: Sequence[Stream]) -> list[str]:
    if not streams:
        return ["## Stability", "", "Not measured."]
    verdict = judge_streams(streams)
    lines = [
        "## Stability",
        "",
        f"**{verdict.held} of {len(streams)} streams of {streams[0].model.seconds} s held.** "
        f"Collapsed: for more than {stability.LONGEST_S} s objects cover under "
        f"{_percent(stability.EMPTY)} or over {_percent(stability.FLOODED)} of the picture, or "
        f"sharpness is under {_percent(stability.BLURRED)} of the simulator's least or over "
        f"{_percent(stability.NOISY)} of its most; or the middle second moves under "
        f"{_percent(stability.FROZEN)} of the simulator's.",
    ]
    for number, (stream, found) in enumerate(zip(streams, verdict.collapses, strict=True), 1):
        lines += ["", f"Stream {number}: {_spelled(found)}", "", *_curve_table(stream)]
    return lines


def _curve_table(stream: Stream) -> list[str]:
    lines = [
        "| measure | model, first to last second | mean | simulator | mean |",
        "|---|---|---:|---|---:|",
    ]
    for name in stream.model.rows():
        pair = [np.asarray(getattr(curves, name)) for curves in (stream.model, stream.simulator)]
        top = max(float(np.nanmax(values, initial=0.0)) for values in pair)
        cells = [cell for values in pair for cell in (sparkline(values, top), _mean(values))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    model, simulator = stream.model.border_ratio, stream.simulator.border_ratio
    return [*lines, f"| jump / motion | | {model:.2f} | | {simulator:.2f} |"]


def sparkline(values: np.typing.NDArray[np.float64], top: float) -> str:
    """A curve in block letters from 0 to ``top``, at most ``CURVE_LETTERS`` wide."""
    parts = np.array_split(values, min(len(values), CURVE_LETTERS))
    means = [
        float(part[~np.isnan(part)].mean()) if not np.isnan(part).all() else 0 for part in parts
    ]
    steps = [min(int(mean / top * len(BARS)), len(BARS) - 1) if top > 0 else 0 for mean in means]
    return "".join(BARS[max(step, 0)] for step in steps)


def _spelled(found: Sequence[Collapse]) -> str:
    if not found:
        return "held."
    return "; ".join(f"**{c.rule}** from second {c.from_s} for {c.seconds} s" for c in found)


def _mean(values: np.typing.NDArray[np.float64]) -> str:
    return _number(float(np.nanmean(values)) if not np.isnan(values).all() else float("nan"))


def _score_values(score: Score) -> dict[str, Any]:
    values = asdict(score)
    del values["name"]
    return values


def _stability_values(streams: Sequence[Stream], verdict: Verdict) -> dict[str, Any]:
    return {
        "seconds": streams[0].model.seconds,
        "streams": len(streams),
        "held": verdict.held,
        "collapses": [[asdict(one) for one in found] for found in verdict.collapses],
        "model": _means([stream.model for stream in streams]),
        "simulator": _means([stream.simulator for stream in streams]),
    }


def _means(curves: Sequence[Curves]) -> dict[str, float]:
    names = curves[0].rows()
    means = {
        name: float(np.nanmean([np.nanmean(getattr(c, name)) for c in curves])) for name in names
    }
    return {**means, "border_ratio": float(np.mean([c.border_ratio for c in curves]))}


def _trial_values(outcome: Outcome) -> dict[str, Any]:
    trial = outcome.trial
    return {
        "number": trial.number,
        "asked": trial.name,
        "standing": trial.standing,
        "prompt": trial.prompt,
        "split": trial.split,
        "seed": trial.seed,
        "model": asdict(outcome.model),
        "unprompted": asdict(outcome.unprompted),
        "simulator": asdict(outcome.simulator),
    }


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.3g} %"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON has no word for, and six digits behind the point."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
