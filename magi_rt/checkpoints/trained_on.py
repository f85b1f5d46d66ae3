"""What the clips of a model came from: told beside its configuration, for who trains it further."""

from __future__ import annotations

import json
from pathlib import Path

from magi_rt.checkpoints.layout import ModelFolder
from magi_rt.errors import OptionError

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
    """What to train on: what is asked for, else what the model was trained on, else the toybox.

    A model folder may come from anywhere, so a program that it names is not run unasked.

    Raises:
        OptionError: the model was trained on a program, or on what is not here.
    """
    if data is not None:
        return str(data)
    told = None if model is None else trained_on(model)
    if model is None or told is None:
        return MADE_UP[0]
    if told in MADE_UP or Path(told).is_dir():
        return told
    what = (
        "a program, which runs only where it is asked for"
        if told.rpartition(":")[0].endswith(".py")
        else "which is no folder here and no world of this package"
    )
    raise OptionError(
        f"{model.folder} was trained on {told!r}, {what}; say what to train on, as in --data "
        f"{told} (data= in Python)",
        field="data",
    )
