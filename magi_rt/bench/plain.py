"""A stream generated the plain way, to measure the runtime against.

Equal in output to :class:`magi_rt.sampling.pipeline.ChunkPipeline` with the eager executor, and
written on its own: every view of the guidance is computed for every step, one after the other,
whether its weight is zero or not, and nothing is kept between calls but the whole history.

Two things the published code does in addition are left out, in its favour: padding captions to
800 rows before they are cut again, and writing keys of noisy chunks that are never read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor
from magi_rt.bench.plain_network import PlainCall, PlainDenoiser
from magi_rt.models.dit import VideoDiT, is_float32_island
from magi_rt.models.fp8 import PerTensorFp8Linear
from magi_rt.sampling.guidance import HISTORY_SHARE
from magi_rt.sampling.noise import chunk_noise
from magi_rt.sampling.schedule import SamplerConfig


@dataclass
class PlainChunk:
    """A chunk in flight.

    latents: [channels, chunk_width, H, W] float32.
    rows: caption rows [tokens, caption_channels] of its prompt.
    """

    index: int
    latents: Tensor
    rows: Tensor
    steps_done: int = 0


def ordinary(dit: VideoDiT, dtype: torch.dtype | None = None) -> VideoDiT:
    """The same weights in PyTorch's own layers, without what an executor does to make them fast.

    Args:
        dtype: working format, ``None`` for the network's own.
    """
    if any(isinstance(module, PerTensorFp8Linear) for module in dit.modules()):
        return dit
    with torch.device("meta"):
        plain = VideoDiT(dit.config)
    state = {
        name: value if is_float32_island(name) else value.to(dtype or value.dtype)
        for name, value in dit.state_dict().items()
    }
    plain.load_state_dict(state, strict=True, assign=True)
    return plain.eval().requires_grad_(False)


class PlainStream:
    """One stream without a beginning given, on the weights of an eager executor.

    Args:
        executor: its networks are read, its saved work is not used.
        sampler: steps, window, guidance and visibility.
        size: latent height and width.
        dtype: working format of the denoiser, ``None`` for that of its weights.

    Raises:
        OptionError: the weights are quantised.
    """

    def __init__(
        self,
        executor: EagerExecutor,
        sampler: SamplerConfig,
        *,
        seed: int,
        size: tuple[int, int],
        dtype: torch.dtype | None = None,
    ) -> None:
        self.executor, self.sampler, self.seed = executor, sampler, seed
        self.denoiser = PlainDenoiser(ordinary(executor.dit, dtype), sampler.chunk_width)
        self.shape = (executor.config.model.latent_channels, sampler.chunk_width, *size)
        self.null = executor.null_text()
        self.in_flight: list[PlainChunk] = []
        self.finished: PlainChunk | None = None
        self.admitted = 0

    @torch.inference_mode()
    def advance(self, rows: Tensor) -> Tensor:
        """The latents of the next finished chunk, [channels, chunk_width, H, W] float32.

        Args:
            rows: caption rows [tokens, caption_channels] of the chunks begun in this call.
        """
        while True:
            self._admit(rows)
            for step in range(self.sampler.steps_per_stage):
                self._step(step)
            if self.in_flight[0].steps_done == self.sampler.steps:
                self.finished = self.in_flight.pop(0)
                return self.finished.latents

    def _admit(self, rows: Tensor) -> None:
        device = self.executor.device
        noise = chunk_noise(self.seed, self.admitted, self.shape).to(device)
        self.in_flight.append(PlainChunk(self.admitted, noise, rows.to(device)))
        self.admitted += 1

    def _step(self, step: int) -> None:
        """One Euler step of every chunk in flight; the first of a stage reads the finished one."""
        clean = [self.finished] if step == 0 and self.finished is not None else []
        times = [self.sampler.times[chunk.steps_done] for chunk in self.in_flight]
        code = self.sampler.step_code(step)
        guided = self.sampler.guidance.guided
        predict = self._guided if guided else self._distilled
        velocities = predict(clean, times, code)
        for chunk, velocity in zip(self.in_flight, velocities, strict=True):
            chunk.latents = chunk.latents + velocity * self.sampler.increments[chunk.steps_done]
            chunk.steps_done += 1

    def _guided(
        self, clean: list[PlainChunk], times: list[float], code: float | None
    ) -> list[Tensor]:
        """v = (1 - p) v_alone + (p - s) v_history + s v_text, all three computed."""
        text = self._with_history(clean, times, code, drop=False, remember=False)
        history = self._with_history(clean, times, code, drop=True, remember=bool(clean))
        alone = self._alone(self.in_flight, times, code, drop=True)
        out = []
        for place, time in enumerate(times):
            previous, scale = self.sampler.guidance.scales(time)
            out.append(
                (1 - previous) * alone[place]
                + (previous - scale) * history[place]
                + scale * text[place]
            )
        return out

    def _distilled(
        self, clean: list[PlainChunk], times: list[float], code: float | None
    ) -> list[Tensor]:
        """One view; the nearly clean oldest chunk is blended with itself seen without history."""
        out = self._with_history(clean, times, code, drop=False, remember=bool(clean))
        if self.sampler.guidance.nearly_clean(times[0]):
            alone = self._alone(self.in_flight[:1], times[:1], code, drop=False)
            out[0] = HISTORY_SHARE * out[0] + (1 - HISTORY_SHARE) * alone[0]
        return out

    def _with_history(
        self,
        clean: list[PlainChunk],
        times: list[float],
        code: float | None,
        *,
        drop: bool,
        remember: bool,
    ) -> list[Tensor]:
        """Velocities of the chunks in flight that see the history, oldest first."""
        chunks = [*clean, *self.in_flight]
        visibility = self.sampler.visibility
        widths = [visibility.finished(chunk.index) for chunk in clean]
        widths += [visibility.noisy(chunk.index, chunk.steps_done) for chunk in self.in_flight]
        texts = [self.null] * len(clean)
        texts += [self.null if drop else chunk.rows for chunk in self.in_flight]
        call = PlainCall(
            latents=torch.cat([chunk.latents for chunk in chunks], dim=1)[None],
            times=self._tensor([[self.sampler.clean_time] * len(clean) + times]),
            texts=[texts],
            drop=drop,
            first_chunk=chunks[0].index,
            widths=widths,
            step_code=code,
            remember=remember,
        )
        parts = self.denoiser.velocity(call)[0].split(self.sampler.chunk_width, dim=1)
        return list(parts[len(clean) :])

    def _alone(
        self, chunks: list[PlainChunk], times: list[float], code: float | None, *, drop: bool
    ) -> list[Tensor]:
        """Velocities of chunks that see only themselves, as one batch."""
        call = PlainCall(
            latents=torch.stack([chunk.latents for chunk in chunks]),
            times=self._tensor([[time] for time in times]),
            texts=[[self.null if drop else chunk.rows] for chunk in chunks],
            drop=drop,
            first_chunk=0,
            widths=[1],
            step_code=code,
        )
        return list(self.denoiser.velocity(call))

    def _tensor(self, rows: list[list[float]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.float32, device=self.executor.device)
