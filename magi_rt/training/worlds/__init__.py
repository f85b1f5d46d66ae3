"""Made-up worlds to train on, by name or from a user's file. None is imported unasked."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from magi_rt.errors import OptionError
from magi_rt.training.worlds.base import World

WORLDS = {
    "toybox": "magi_rt.training.worlds.toybox:Toybox",
    "calm-toybox": "magi_rt.training.worlds.calm_toybox:CalmToybox",
}
"""Name -> module and class. A new built-in world is one module and one line here."""
CALLS = ("sample", "caption", "prompt", "apply", "step", "render")
"""What a world must offer; see ``base.World``."""


def open_world(name: str, size: int = 64) -> World:
    """A world that draws pictures of ``size`` pixels a side.

    ``name`` is a built-in world's, or "path/to/world.py:ClassName" for a file of your own, whose
    class is called with the size. The file is run: open only files that you trust. OptionError,
    with the reason, if there is no such world or it cannot be opened.
    """
    if name in WORLDS:
        module, _, kind = WORLDS[name].partition(":")
        return _made(getattr(import_module(module), kind), name, size)
    path, colon, kind = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        known = ", ".join(sorted(WORLDS))
        raise OptionError(
            f"There is no folder and no world {name!r}; worlds are: {known}. "
            'For a world of your own write "path/to/world.py:ClassName".',
            field="world",
        )
    return _made(_class_in(Path(path), kind), name, size)


def _class_in(path: Path, kind: str) -> Any:
    """The class of that name in a user's file."""
    if not path.is_file():
        raise OptionError(f"There is no file {str(path)!r} to open a world from.", field="world")
    module_name = f"magi_rt_world_{path.stem}"
    spec = spec_from_file_location(module_name, path)
    assert spec and spec.loader  # A path that ends in .py always has a loader.
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # Dataclasses and pickle look their module up by name.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise OptionError(
            f"{path} cannot be run: {type(error).__name__}: {error}", field="world"
        ) from error
    found = getattr(module, kind, None)
    if inspect.isclass(found):
        return found
    classes = [n for n, c in vars(module).items() if inspect.isclass(c) and not n.startswith("_")]
    has = f"its classes are {', '.join(classes)}" if classes else "it has no class"
    raise OptionError(f"{path} has no class {kind!r}; {has}.", field="world")


def _made(kind: Any, name: str, size: int) -> World:
    """A world of a class, checked to offer all calls."""
    missing = [call for call in CALLS if not callable(getattr(kind, call, None))]
    if missing:
        raise OptionError(
            f"The world {name!r} lacks {', '.join(missing)}; it needs {', '.join(CALLS)}, as in "
            "magi_rt.training.worlds.base.World.",
            field="world",
        )
    try:
        world: World = kind(size)
    except TypeError as error:
        raise OptionError(
            f"The world {name!r} cannot be made with a size alone: {error}", field="world"
        ) from error
    return world
