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
        RemoteError,
        ServerLostError,
        ShapeError,
        SnapshotError,
    )
    from magi_rt.frames import Frame
    from magi_rt.stream.client import WorldClient
    from magi_rt.stream.keys import ClientKeys, ServerKeys
    from magi_rt.stream.publisher import FramePublisher
    from magi_rt.stream.server import WorldServer
    from magi_rt.stream.subscriber import FrameSubscriber
    from magi_rt.world import World
    from magi_rt.world.actions import ActionMap
    from magi_rt.world.snapshot import Snapshot

__version__ = "0.1.0"

__all__ = [
    "ActionMap",
    "BackendError",
    "CheckpointError",
    "ClientKeys",
    "ClosedWorldError",
    "ConfigError",
    "Frame",
    "FramePublisher",
    "FrameSubscriber",
    "MagiError",
    "MediaError",
    "OptionError",
    "PromptError",
    "RemoteError",
    "ServerKeys",
    "ServerLostError",
    "ShapeError",
    "Snapshot",
    "SnapshotError",
    "World",
    "WorldClient",
    "WorldServer",
    "__version__",
]


_HOMES = {
    "ActionMap": "world.actions",
    "ClientKeys": "stream.keys",
    "Frame": "frames",
    "FramePublisher": "stream.publisher",
    "FrameSubscriber": "stream.subscriber",
    "ServerKeys": "stream.keys",
    "Snapshot": "world.snapshot",
    "World": "world",
    "WorldClient": "stream.client",
    "WorldServer": "stream.server",
}
"""Modules of the public names that are no errors."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'magi_rt' has no attribute {name!r}")
    value = getattr(import_module(f"magi_rt.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
