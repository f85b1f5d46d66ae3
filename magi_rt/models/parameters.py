"""Parameters with the values that they have before training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def learned(*shape: int, fill: Callable[[Tensor], object]) -> nn.Parameter:
    """A parameter of this shape in the default dtype, filled in place by `fill`.

    On the meta device it stays without values: they come from a file, and to draw or compute them
    there makes PyTorch import its compiler, a second of every start.
    """
    values = torch.empty(*shape)
    if not values.is_meta:
        fill(values)
    return nn.Parameter(values)
