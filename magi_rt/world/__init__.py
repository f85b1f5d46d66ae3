"""The world: one stream of chunks with a memory, steered by prompts.

``World`` is loaded on first use: options and prompts can be checked without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magi_rt.world.world import World

__all__ = ["World"]


def __getattr__(name: str) -> object:
    if name != "World":
        raise AttributeError(f"module 'magi_rt.world' has no attribute {name!r}")
    from magi_rt.world.world import World

    globals()[name] = World
    return World
