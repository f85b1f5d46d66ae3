"""Memory that runs out, of a card or of the machine, told as an error of this package."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

import torch

from magi_rt.errors import BackendError

SAID = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
"""Words in the errors of PyTorch and of NVIDIA's libraries that have no class of their own."""


LESS = (
    "open with a smaller size=, with window=1 or with history=0, and close worlds and forks that "
    "are done"
)
SMALLER = (
    "take a smaller model or its 8-bit variant, or a device with more memory, and close worlds of "
    "other models"
)


@contextmanager
def room_for(what: str, advice: str = LESS) -> Iterator[None]:
    """Inside, or in a function that it decorates, memory that runs out is a BackendError.

    What the failed call held is given back at once, not when the error is forgotten, so that a
    smaller world can be opened where the error is caught.

    Args:
        what: needs the room, for the message.
        advice: the way out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        raise BackendError(
            f"there is no room in memory for {what} ({_told(error)}); {advice}: magi-rt plan says "
            "what fits"
        ) from error


def _is_about_memory(error: Exception) -> bool:
    own = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return own or any(words in str(error) for words in SAID)


def _told(error: Exception) -> str:
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__
