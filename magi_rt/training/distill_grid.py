"""Step sizes of a distilled model, on the time grid that the sampler runs on (paper 2.3).

A step size d is a length on the *index* u = 0 .. 1 of the sampler's grid, not on the time t: 1 / d
is the number of steps that a chunk takes, 64, 32, 16, 8 or 4. The grid is bent towards the noise,
t(u) = u^2 / (3 - 2 u^2), so a step of size d that begins at u lasts t(u + d) - t(u). Steps of one
size differ widely in t: with d = 1/8 the first lasts 0.005 and the last 0.48.

At run time every step of size d begins at a multiple of d, in the mixed mode of twelve steps too.
So all beginnings and ends are among the 65 points of the finest grid; a *place* 0 .. 64 counts
them, and a *stride* 1, 2, 4, 8 or 16 is a step size in places. The network is told 1 / (2 d).
"""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.sampling.schedule import step_code, time_grid

FINEST = 64
"""Steps of the finest grid."""
FINEST_SHARE = 8
"""Clips of stride 1, whose target is the teacher, for one clip of each longer stride."""
SHORTEST = (4, 8)
"""What the fewest steps of a distilled model may be."""


def grid_times(device: torch.device | str = "cpu") -> Tensor:
    """Times of places 0 .. 64, [65] float32, bit for bit those of the sampler."""
    return torch.tensor(time_grid(FINEST), dtype=torch.float32, device=device)


def codes_of(stride: Tensor) -> Tensor:
    """What the network is told for steps of some strides, float32 of the same shape."""
    return step_code(FINEST) / stride.float()


def stride_cycle(shortest: int) -> tuple[int, ...]:
    """One round of strides, 1 eight times and every longer one once (paper 2.3).

    Args:
        shortest: the fewest steps that the model shall take, 8 as published or 4.

    Raises:
        OptionError: another number.
    """
    if shortest not in SHORTEST:
        raise OptionError(
            f"a shortest run of {shortest} steps cannot be distilled; use 4 or 8", field="shortest"
        )
    longer = [stride for stride in (2, 4, 8, 16) if stride <= FINEST // shortest]
    return (1,) * FINEST_SHARE + tuple(longer)


def strides_of_step(step: int, batch: int, shortest: int) -> Tensor:
    """Strides of the clips of a training step, [batch] long, rising.

    Clips take turns in the cycle from step to step, so that the shares hold for any batch.
    """
    cycle = stride_cycle(shortest)
    turns = range(step * batch, (step + 1) * batch)
    return torch.tensor(sorted(cycle[turn % len(cycle)] for turn in turns))


def draw_places(stride: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Where noisy chunks stand before their step, places [B, count].

    The paper does not say how they are drawn. Drawn alike, more than a third would lie at t < 0.05,
    5 % of the way, where all is noise and the teacher itself was hardly trained. Here a place
    counts by the root of the time that its step lasts.

    Args:
        stride: [B].
    """
    times, rows = grid_times(), []
    for each in stride.tolist():
        lasts = times[each::each] - times[:-each:each]
        drawn = torch.multinomial(lasts.sqrt(), count, replacement=True, generator=generator)
        rows.append(drawn * each)
    return torch.stack(rows)


def history_codes(stride: Tensor, shuffle: Tensor) -> Tensor:
    """What the history of clips is told: the same step size as their noisy chunks.

    The mode of twelve steps is the exception: there the history is read with the step size 1/8 of
    a stage's first step and steps of 1/16 follow. A quarter of the clips of that stride learn it.

    Args:
        stride: [B].
        shuffle: [B] uniform in 0 .. 1.
    """
    mixed = (stride == 4) & (shuffle < 0.25)
    return codes_of(torch.where(mixed, 2 * stride, stride))
