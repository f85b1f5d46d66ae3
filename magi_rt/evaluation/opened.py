"""A model opened once, from which many worlds are begun."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from magi_rt.frames import Frame
from magi_rt.media.pictures import Pixels
from magi_rt.world import World
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions
from magi_rt.world.start import read_start
from magi_rt.world.timeline import Timeline


class Steered(Protocol):
    """What is asked of a world that is measured; a :class:`magi_rt.World` offers it."""

    def advance(self, prompt: str, /) -> list[Frame]:
        """The next chunk under a prompt, oldest frame first."""
        ...

    def fork(self) -> Steered:
        """A second world that continues as this one would."""
        ...


Begin = Callable[[Pixels | None, int], Steered]
"""(video uint8 [T, H, W, 3] to continue or ``None``, seed) -> a world."""


@dataclass(frozen=True)
class OpenedModel:
    """A model whose weights are read once; worlds begun from it share them and take turns."""

    machine: WorldMachine

    @classmethod
    def open(
        cls, model: str, *, backend: str = "auto", seed: int = 0, steps: int | None = None
    ) -> OpenedModel:
        """Opens a built-in world or a model folder; errors as in ``World.open``."""
        options = WorldOptions(backend=backend, seed=seed, steps=steps, history=0)
        return cls(WorldMachine.open(model, options, image=None, video=None))

    def sampled(
        self, *, steps: int | None = None, window: int | None = None, depth: int | None = None
    ) -> OpenedModel:
        """The same weights run otherwise; ``None`` is as this one. OptionError if refused."""
        now = self.machine
        usual = now.options
        options = replace(
            usual,
            steps=usual.steps if steps is None else steps,
            window=usual.window if window is None else window,
            depth=usual.depth if depth is None else depth,
        )
        return OpenedModel(WorldMachine.around(now.executor, now.model, options))

    def begin(self, video: Pixels | None, seed: int) -> World:
        """A world that continues the video, or starts from nothing."""
        return self._begin(None, video, seed)

    def begin_from(self, frames: Pixels, start: str, seed: int) -> World:
        """A world that goes on from frames, uint8 [T, H, W, 3], as a "video" or an "image"."""
        if start == "image":
            return self._begin(frames[-1], None, seed)
        return self._begin(None, frames, seed)

    def _begin(self, image: Pixels | None, video: Pixels | None, seed: int) -> World:
        machine = self.machine
        start = read_start(image, video, executor=machine.executor, size=machine.size)
        options = replace(machine.options, seed=seed)
        machine = replace(machine, start=start, options=options, notes=start.notes)
        return World(Timeline(machine, machine.begin()))

    def encoded_and_decoded(self, pixels: Pixels) -> Pixels:
        """Video, uint8 [T, H, W, 3] at the model's size, through the auto-encoder and back."""
        executor = self.machine.executor
        with self.machine.lock:
            latents = executor.encode(torch.from_numpy(pixels))
            return np.asarray(executor.decode(latents).cpu().numpy(), dtype=np.uint8)

    @property
    def frames_per_chunk(self) -> int:
        """Frames that one ``advance`` gives."""
        return self.machine.executor.config.runtime.frames_per_chunk

    @property
    def delay_chunks(self) -> int:
        """Chunks that a running world shows before those of a new prompt: window - 1."""
        return self.machine.pipeline.sampler.window - 1

    @property
    def size(self) -> int:
        """Pixels a side at which the simulator draws for this model: its pictures' height."""
        return self.machine.size[0]

    @property
    def fps(self) -> float:
        """Frames per second of the model's video."""
        return float(self.machine.executor.config.runtime.fps)

    def card(self) -> dict[str, object]:
        """What was measured, on what: model, size, steps, window, backend, threads, hardware."""
        machine = self.machine
        info, sampler = machine.executor.info, machine.pipeline.sampler
        return {
            "model": machine.model,
            "weights": info.weights,
            "size": list(machine.size),
            "steps": sampler.steps,
            "window": sampler.window,
            "backend": info.name,
            "device": info.device,
            "dtype": info.dtype,
            "threads": info.threads,
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        }
