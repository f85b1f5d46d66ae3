"""Freed memory that stays with the process."""

from __future__ import annotations

import functools

import numpy as np

HEEDED_BYTES = (32 << 20) - (64 << 10)
"""A little less than DEFAULT_MMAP_THRESHOLD_MAX of glibc, with its own words around the block."""


@functools.cache
def keep_freed_memory() -> None:
    """Has the allocator use the memory of one frame, or of one step, again for the next.

    Called once for a process is enough. glibc gives blocks as large as frames and hidden states
    back to the system and asks for them anew, page by page, until it has seen a block of such a
    size freed; it then keeps up to twice as much at hand. This frees the largest block that it
    heeds, untouched. Other allocators, and the variables ``MALLOC_*_`` where a user has set them,
    stay as they are.
    """
    np.empty(HEEDED_BYTES, np.uint8)
