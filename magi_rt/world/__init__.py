"""The world: one stream of chunks with a memory, steered by prompts."""

from magi_rt.world.world import World

__all__ = ["World"]
