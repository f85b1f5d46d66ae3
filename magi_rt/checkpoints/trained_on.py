"""What the clips of a model came from: told beside its configuration, for who trains it further."""

from __future__ import annotations

import json
from pathlib import Path

from magi_rt.checkpoints.layout import ModelFolder

TRAINED_ON = "trained-on.json"
MADE_UP = ("toybox", "calm-toybox")
"""Worlds of this package; what is measured against the simulator is measured in these."""


def trained_on(model: ModelFolder) -> str | None:
    """A made-up world or a folder of recordings, as it was typed; None where nothing is told."""
    try:
        told = json.loads((model.folder / TRAINED_ON).read_text(encoding="utf-8"))
        return str(told["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def usual_data(data: str | Path | None, model: ModelFolder | None) -> str:
    """What to train on: what is asked for, else what the model was trained on, else the toybox."""
    told = None if model is None else trained_on(model)
    return str(data) if data is not None else told or MADE_UP[0]
