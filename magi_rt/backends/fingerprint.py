"""A short name for a set of weights, the same wherever the weights are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

SAMPLES = 256
"""Values looked at per tensor at most: reading 48 GB to tell two trainings apart is not needed."""


class Fingerprint:
    """The digits of tensors that are shown to it one by one, in any order.

    Two different trainings of one architecture differ in practically every value, so a sample of
    each tensor tells them apart; it is no protection against someone who hides a change.
    """

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    @torch.no_grad()
    def see(self, name: str, tensor: Tensor) -> None:
        """Take note of a tensor: its name, shape, dtype and evenly spread values."""
        flat = tensor.detach().reshape(-1)
        step = max(1, -(-flat.numel() // SAMPLES))  # rounded up: they reach to the tensor's end
        sample = flat[::step].to(torch.float32).cpu().contiguous()
        head = f"{name} {tuple(tensor.shape)} {tensor.dtype}"
        self._seen[name] = head.encode() + sample.numpy().tobytes()

    def digits(self) -> str:
        """16 hexadecimal digits of what was seen."""
        digest = hashlib.sha256()
        for name in sorted(self._seen):
            digest.update(self._seen[name])
        return digest.hexdigest()[:16]


def fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The digits of named tensors, as :class:`Fingerprint` gives them."""
    seen = Fingerprint()
    for name, tensor in tensors:
        seen.see(name, tensor)
    return seen.digits()
