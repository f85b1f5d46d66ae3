"""Made-up worlds to train on, by name. None is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import ToyWorld

WORLDS = {"toybox": "magi_rt.training.worlds.toybox:Toybox"}
"""Name -> module and class. A new world is one module and one line here."""


def open_world(name: str, size: int = 64) -> ToyWorld:
    """The world of that name with pictures of ``size`` pixels a side; OptionError if unknown."""
    if name not in WORLDS:
        known = ", ".join(sorted(WORLDS))
        raise OptionError(f"There is no world {name!r}; there is: {known}.", field="world")
    module, _, kind = WORLDS[name].partition(":")
    world: ToyWorld = getattr(import_module(module), kind)(size)
    return world
