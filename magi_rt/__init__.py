"""magi_rt: a world that is generated while you watch, chunk by chunk, steered by prompts.

The public names are loaded on first use, so that `import magi_rt` touches no device and does not
load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magi_rt.errors import (
        BackendError,
        CheckpointError,
        ClosedWorldError,
        ConfigError,
        MagiError,
        MediaError,
        OptionError,
        PromptError,
        ShapeError,
        SnapshotError,
    )
    from magi_rt.frames import Frame
    from magi_rt.world import World
    from magi_rt.world.snapshot import Snapshot

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "CheckpointError",
    "ClosedWorldError",
    "ConfigError",
    "Frame",
    "MagiError",
    "MediaError",
    "OptionError",
    "PromptError",
    "ShapeError",
    "Snapshot",
    "SnapshotError",
    "World",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'magi_rt' has no attribute {name!r}")
    home = {"World": "world", "Snapshot": "world.snapshot", "Frame": "frames"}.get(name, "errors")
    value = getattr(import_module(f"magi_rt.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
