"""What an evaluation found: Markdown for people, JSON for programs, pictures for both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magi_rt.evaluation import sheets
from magi_rt.evaluation.beginnings import Opened, opening_scores
from magi_rt.evaluation.charts import play_chart, steering_chart
from magi_rt.evaluation.physics import Continued, PhysicsRow, physics_rows
from magi_rt.evaluation.play import Play, mean_score
from magi_rt.evaluation.reconstruction import Reconstruction
from magi_rt.evaluation.settings import SettingScore
from magi_rt.evaluation.steering import Outcome, Score, scores
from magi_rt.evaluation.tables import (
    beginning_lines,
    physics_lines,
    play_lines,
    reconstruction_lines,
    settings_lines,
    steering_lines,
)
from magi_rt.media.contact_sheet import SheetLook, contact_sheet
from magi_rt.media.pictures import save_image
from magi_rt.training.worlds.base import FRAME_RATE
from magi_rt.whole_files import write_whole

PARTS = ("beginnings", "steering", "physics", "play", "settings", "vae")
"""What can be measured, in the order in which it is."""
PICTURES = (
    "beginnings.png", "trials.png", "wordless.png", "steering.png", "physics.png", "play.png",
    "play_curves.png",
)  # fmt: skip
PLAY_LOOK = SheetLook(cell=144, letters=12)


@dataclass(frozen=True)
class SettingsFound:
    """A row per setting, and how many ``trials`` and ``scenes`` each was measured on."""

    rows: Sequence[SettingScore]
    trials: int
    scenes: int


@dataclass(frozen=True)
class Evaluation:
    """All that was measured: ``card`` says of what, ``seed`` from which the trials were drawn.

    What was not measured is empty. ``seconds``: that each part took.
    """

    card: Mapping[str, object]
    seed: int
    beginnings: Sequence[Opened] = ()
    steering: Sequence[Outcome] = ()
    physics: Sequence[Continued] = ()
    play: Sequence[Play] = ()
    settings: SettingsFound | None = None
    vae: Reconstruction | None = None
    seconds: Mapping[str, float] | None = None

    @property
    def scores(self) -> list[Score]:
        """The steering table, its last row for all trials; empty without trials."""
        return scores(self.steering) if self.steering else []

    @property
    def missing(self) -> list[str]:
        """The parts that were not measured."""
        return [name for name in PARTS if not getattr(self, name)]

    @property
    def physics_rows(self) -> list[PhysicsRow]:
        """The physics table; empty without scenes."""
        return physics_rows(self.physics)

    @property
    def obeyed(self) -> float:
        """Share of all trials in which the world obeyed, 0..1; nan without trials."""
        return self.scores[-1].obeyed if self.steering else math.nan


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers in one flat enough object: the last line that the command prints."""
    rows = {score.name: _without(asdict(score), "name") for score in evaluation.scores}
    overall = rows.pop("all", {})
    began = opening_scores(evaluation.beginnings) if evaluation.beginnings else []
    openings = {score.name: _without(asdict(score), "name") for score in began}
    return {
        "eval": "toybox",
        **evaluation.card,
        "seed": evaluation.seed,
        "beginnings": openings or None,
        "steering": {**overall, "kinds": rows} if rows else None,
        "physics": {f"{row.start}, {row.take}": _physics(row) for row in evaluation.physics_rows}
        or None,
        "play": _play(evaluation.play),
        "settings": _settings(evaluation.settings),
        "vae": None if evaluation.vae is None else asdict(evaluation.vae),
        "seconds": evaluation.seconds,
    }


def details(evaluation: Evaluation) -> dict[str, Any]:
    """The summary with every trial and every scene."""
    return {
        **summary(evaluation),
        "every_beginning": [_without(asdict(one), "end") for one in evaluation.beginnings],
        "every_trial": [_without(asdict(one), "strip") for one in evaluation.steering],
        "every_chunk": [_tracks(played) for played in evaluation.play],
        "every_scene": [_without(asdict(one), "strip") for one in evaluation.physics],
    }


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes report.md, report.json and the pictures of what was measured; returns their paths.

    Pictures that an older report left in the folder are taken away.

    Raises:
        MediaError: a file cannot be written.
    """
    words = markdown(evaluation).encode()
    numbers = json.dumps(_finite(details(evaluation)), indent=1, ensure_ascii=False) + "\n"
    files = [folder / "report.md", folder / "report.json"]
    if files[1].exists():
        for name in PICTURES:
            (folder / name).unlink(missing_ok=True)
    write_whole(files[0], lambda stream: stream.write(words))
    write_whole(files[1], lambda stream: stream.write(numbers.encode()))
    if evaluation.beginnings:
        files.append(folder / "beginnings.png")
        sheets.beginning_sheet(evaluation.beginnings, files[-1])
    if evaluation.steering:
        files += [folder / "trials.png", folder / "wordless.png"]
        sheets.trial_sheet(evaluation.steering, files[-2])
        sheets.wordless_sheet(evaluation.steering, files[-1])
    if evaluation.physics:
        files.append(folder / "physics.png")
        sheets.physics_sheet(evaluation.physics, files[-1])
    if evaluation.play:
        files += [folder / "play.png", folder / "play_curves.png"]
        shown = [frame for one in evaluation.play for frame in one.shown[:: len(evaluation.play)]]
        contact_sheet(shown, files[-2], columns=8, look=PLAY_LOOK)
        save_image(play_chart(evaluation.play[0]), files[-1])
    bars = [folder / "steering.png"] if evaluation.steering else []
    for path in bars:
        save_image(steering_chart(evaluation.scores), path)
    return files + bars


def json_line(evaluation: Evaluation) -> str:
    """The summary on one line; numbers that are not there are null."""
    return json.dumps(_finite(summary(evaluation)), ensure_ascii=False)


def markdown(evaluation: Evaluation) -> str:
    """The whole report as Markdown, ending in a newline."""
    card = evaluation.card
    lines = [
        f"# Evaluation of {card.get('model')}",
        "",
        f"Size {card.get('size')}, {card.get('steps')} steps, window {card.get('window')}, backend "
        f"{card.get('backend')} on {card.get('device')}, {card.get('dtype')}, "
        f"{card.get('threads')} threads, {card.get('hardware')}; seed {evaluation.seed}.",
        "",
    ]
    if evaluation.beginnings:
        lines += beginning_lines(opening_scores(evaluation.beginnings))
    if evaluation.steering:
        lines += steering_lines(evaluation.scores)
    if evaluation.physics:
        lines += physics_lines(evaluation.physics_rows)
    if evaluation.play:
        lines += play_lines(evaluation.play)
    if evaluation.settings is not None:
        found = evaluation.settings
        lines += settings_lines(found.rows, found.trials, found.scenes)
    if evaluation.vae is not None:
        lines += reconstruction_lines(evaluation.vae)
    if evaluation.missing:
        lines += [f"Not measured: {', '.join(evaluation.missing)}.", ""]
    if evaluation.seconds:
        parts = (f"{name} {spent:.0f} s" for name, spent in evaluation.seconds.items())
        lines += [f"It took: {', '.join(parts)}.", ""]
    return "\n".join(lines)


def _physics(row: PhysicsRow) -> dict[str, Any]:
    return {"scenes": row.scenes, "score": row.score, **asdict(row.mean)}


def _play(plays: Sequence[Play]) -> dict[str, Any] | None:
    if not plays:
        return None
    own = [played.score(played.model) for played in plays]
    true = [played.score(played.simulator) for played in plays]
    return {
        "seconds": len(plays[0].script.prompts) * plays[0].frames_per_chunk / FRAME_RATE,
        "model": asdict(mean_score(own)),
        "simulator": asdict(mean_score(true)),
        "scripts": [asdict(score) for score in own],
    }


def _settings(found: SettingsFound | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = {
        row.setting.name: {"obeyed": row.obeyed, "physics": row.physics, "fps": row.fps}
        for row in found.rows
        if not row.refused
    }
    refused = {row.setting.name: row.refused for row in found.rows if row.refused}
    return {"trials": found.trials, "scenes": found.scenes, "rows": rows, "refused": refused}


def _tracks(played: Play) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "prompts": list(played.script.prompts),
        "things": list(played.script.things),
    }
    for name, track in (("model", played.model), ("simulator", played.simulator)):
        columns[name] = {
            "counts": track.counts.tolist(),
            "sharpness": track.looks.sharp.tolist(),
            "colours_apart": track.looks.apart.tolist(),
            "chroma": track.looks.chroma.tolist(),
            "motion": track.motion.tolist(),
            "jump": track.jump.tolist(),
        }
    return columns


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON has no word for, and six digits behind the point."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
