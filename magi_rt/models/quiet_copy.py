"""Copies that leave PyTorch's threads asleep."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def quiet_copy(into: Tensor, source: Tensor) -> Tensor:
    """Copies ``source`` into ``into``, of the same shape, and returns ``into``.

    PyTorch copies more than 32,768 numbers with all of its threads, which then spin for
    milliseconds and take a core from a graph runtime's own: two calls of a small world in nine took
    10 ms instead of 7. Within main memory one thread copies here; elsewhere PyTorch does.
    """
    if into.dtype != source.dtype or not into.device.type == source.device.type == "cpu":
        return into.copy_(source)
    np.copyto(_array(into), _array(source))
    return into


def _array(tensor: Tensor) -> np.ndarray:
    """The same memory; numpy has no bfloat16, and to copy it needs none."""
    plain = tensor.detach()
    return (plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy()
