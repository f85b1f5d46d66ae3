"""Recordings to train on: folders of videos with captions, written by a game and read by trainers.

Names are loaded on first use, so that a game which only records does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magi_rt.training.recordings.folder import Recordings
    from magi_rt.training.recordings.recorder import Recorder
    from magi_rt.training.recordings.source import ClipBatch, ClipSource, open_source

__all__ = ["ClipBatch", "ClipSource", "Recorder", "Recordings", "open_source"]

_HOMES = {"Recorder": "recorder", "Recordings": "folder"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'magi_rt.training.recordings' has no attribute {name!r}")
    home = _HOMES.get(name, "source")
    value = getattr(import_module(f"magi_rt.training.recordings.{home}"), name)
    globals()[name] = value
    return value
