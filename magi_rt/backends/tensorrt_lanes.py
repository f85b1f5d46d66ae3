"""Two streams of one card: denoising on one, decoding on the other, pictures out through pinned
memory. Streams wait for each other on the card; only who reads pictures waits for them here.

Not run on a card yet; the order of events is tested with stand-ins for streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Pixels:
    """Pictures on their way to the host.

    host: pinned memory, right once ``done`` has passed.
    """

    host: Tensor
    done: Any

    def wait(self) -> Tensor:
        """The pictures, uint8 [T, H, W, 3]; blocks until they are there."""
        self.done.synchronize()
        return self.host


class Lanes:
    """The streams and the pinned memory of one executor.

    Args:
        cuda: ``torch.cuda``, or a stand-in in tests.
        pinned: whether host memory can be pinned.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda, pinned: bool = True) -> None:
        self.device, self._cuda, self._pinned = device, cuda, pinned
        self.denoising = cuda.Stream(device)
        self.decoding = cuda.Stream(device)
        self._hosts: dict[tuple[int, ...], deque[Tensor]] = {}

    def card(self) -> AbstractContextManager[Any]:
        """Inside, the executor's card is the current one, to which runtimes build and load."""
        found: AbstractContextManager[Any] = self._cuda.device(self.device)
        return found

    def denoise(self, work: Callable[[int], Tensor]) -> Tensor:
        """Run ``work(stream)`` after what the caller has queued; the caller's stream waits for it.

        The result is a copy that belongs to the caller.
        """
        here = self._cuda.current_stream(self.device)
        self.denoising.wait_stream(here)
        with self._cuda.stream(self.denoising):
            out = work(self.denoising.cuda_stream).clone()
        here.wait_stream(self.denoising)
        out.record_stream(here)
        return out

    def begin_decode(self, latents: Tensor, work: Callable[[Tensor, int], Tensor]) -> Pixels:
        """Start ``work(latents, stream)`` on the decoding stream and the copy of what it gives.

        Denoising calls queued after this run beside it. The latents are copied first, so the
        caller may change them.
        """
        here = self._cuda.current_stream(self.device)
        kept = latents.clone()
        self.decoding.wait_stream(here)
        with self._cuda.stream(self.decoding):
            pixels = work(kept, self.decoding.cuda_stream)
            host = self._host(tuple(pixels.shape))
            host.copy_(pixels, non_blocking=True)
            done = self._cuda.Event()
            done.record(self.decoding)
        kept.record_stream(self.decoding)
        return Pixels(host, done)

    def _host(self, shape: tuple[int, ...]) -> Tensor:
        """Pinned memory for one chunk's pictures; two take turns, so one may still be read."""
        room = self._hosts.setdefault(shape, deque())
        if len(room) < 2:
            room.append(torch.empty(shape, dtype=torch.uint8, pin_memory=self._pinned))
        else:
            room.rotate(-1)
        return room[-1]
