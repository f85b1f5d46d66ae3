"""Noise that follows from a seed and a chunk number alone.

No generator runs along with the stream, so replay, fork and rewind need not restore one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

SEED_LIMIT = 2**63
"""Seeds are 0 .. 2**63 - 1."""


def check_seed(seed: int) -> int:
    """The seed itself.

    Raises:
        OptionError: it is outside 0 .. 2**63 - 1.
    """
    if not 0 <= seed < SEED_LIMIT:
        raise OptionError(f"seed {seed} is outside 0 .. 2**63 - 1; choose one inside", field="seed")
    return seed


def chunk_noise(seed: int, chunk_index: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of one chunk, float32 on the CPU, the same on every machine.

    Philox keyed with (seed, chunk index): any chunk can be drawn without those before it.
    """
    import torch  # heavy: the limit of seeds is checked without

    key = np.array([check_seed(seed), chunk_index], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
