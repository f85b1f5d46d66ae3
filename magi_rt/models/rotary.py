"""Learned 3-D rotary positions: time, height and width share one row of frequencies (paper 2.2.2).

Time is counted in latent frames. Height and width are centred at zero and rescaled so that every
grid covers the area of 16 x 16 tokens, which is how one model serves many picture sizes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from magi_rt.errors import ShapeError

REFERENCE_TOKENS = 256  # a 16 x 16 grid


def initial_bands(head_dim: int) -> Tensor:
    """The frequencies before training: ``10000 ** (-k / bands)``, [head_dim / 8] float32."""
    bands = head_dim // 8
    return 10000.0 ** -(torch.arange(bands, dtype=torch.float32) / bands)


def axis_positions(size: int, area_ratio: float) -> Tensor:
    """Centred and rescaled positions of one spatial axis, [size] float32.

    Raises:
        ShapeError: an axis of one token has no extent to rescale.
    """
    if size == 1:
        if not math.isclose(size / area_ratio, 1.0):
            raise ShapeError(
                "a token grid with a side of 1 has no rotary positions; "
                "use a picture of at least 2 x 2 tokens",
                field="size",
            )
        return torch.zeros(1)
    centred = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    return centred / (size - 1) * (size / area_ratio - 1)


def angles(bands: Tensor, first_frame: int, frames: int, height: int, width: int) -> Tensor:
    """Rotation angles per token, [frames * height * width, 3 * bands], width fastest.

    height and width count tokens; ``first_frame`` may be any integer, only differences matter.
    """
    ratio = math.sqrt(height * width / REFERENCE_TOKENS)
    device = bands.device
    time = torch.arange(first_frame, first_frame + frames, dtype=torch.float32, device=device)
    rows = axis_positions(height, ratio).to(device)
    columns = axis_positions(width, ratio).to(device)
    grid = (frames, height, width, bands.numel())
    per_axis = (
        (time[:, None] * bands)[:, None, None].expand(grid),
        (rows[:, None] * bands)[None, :, None].expand(grid),
        (columns[:, None] * bands)[None, None, :].expand(grid),
    )
    return torch.cat(per_axis, dim=-1).reshape(frames * height * width, -1)


def table(bands: Tensor, first_frame: int, frames: int, height: int, width: int) -> Tensor:
    """Sines then cosines of :func:`angles`, [tokens, 2 * 3 * bands] float32."""
    turn = angles(bands.float(), first_frame, frames, height, width)
    return torch.cat((turn.sin(), turn.cos()), dim=-1)


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Turn the first channels of every head; the last quarter stays as it is.

    x: [..., tokens, heads, head_dim]; rope: [tokens, 2 * m] from :func:`table`.
    Channels ``[0, m)`` and ``[m, 2m)`` form the pairs (the "half" convention).
    """
    sin, cos = rope[:, None].chunk(2, dim=-1)
    m = sin.shape[-1]
    a, b, rest = x[..., :m], x[..., m : 2 * m], x[..., 2 * m :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)


def shift_time(keys: Tensor, bands: Tensor, frames: int) -> None:
    """Move rotated keys by ``frames`` in time, in place: the stream's zero point has moved.

    keys: [..., head_dim], already rotated; only the time pairs turn.
    """
    n = bands.numel()
    turn = bands.double() * frames
    sin, cos = turn.sin(), turn.cos()
    left, right = keys[..., :n], keys[..., 3 * n : 4 * n]
    a, b = left.double(), right.double()
    # both are there before one is written: where memory runs out, no half is turned
    turned = (a * cos - b * sin).to(keys.dtype), (b * cos + a * sin).to(keys.dtype)
    left.copy_(turned[0])
    right.copy_(turned[1])
