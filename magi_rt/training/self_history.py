"""History as the model itself would have left it, against drift.

A world plays on what it made, errors included, while training shows it the truth. So in part of
the batches each chunk of the history is noised half-way and denoised again by the model in a few
steps: near enough to the truth that the next true chunk is still the right answer, and with the
model's own mistakes. A second round does the same on top of the first one's chunks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.training.flow_settings import Clips, FlowSettings
from magi_rt.training.packed_dit import TextBatch, history_batch, packed_velocity

STEPS = 3
EARLIEST, LATEST = 0.1, 0.5
"""Between these times a chunk is taken up again; below, too little of the truth would be left."""
SECOND_ROUND = 0.5


@torch.no_grad()
def relived(
    dit: VideoDiT,
    clips: Clips,
    text: TextBatch,
    settings: FlowSettings,
    generator: torch.Generator,
) -> Tensor:
    """The clips' latents, [B, channels, R * chunk_width, H, W] float32, remade by the model."""
    twice = bool(torch.rand((), generator=generator) < SECOND_ROUND)
    history = clips.latents
    for _ in range(1 + twice):
        history = _remade(dit, history, clips, text, settings, generator)
    return history


def _remade(
    dit: VideoDiT,
    history: Tensor,
    clips: Clips,
    text: TextBatch,
    settings: FlowSettings,
    generator: torch.Generator,
) -> Tensor:
    frames, chunks = clips.latents.shape[2], clips.prompt.shape[1]
    keep = torch.zeros(clips.prompt.shape, dtype=torch.bool)
    start = EARLIEST + (LATEST - EARLIEST) * torch.rand(clips.prompt.shape, generator=generator)
    step = (1 - start) / STEPS

    def per_frame(times: Tensor) -> Tensor:
        return times.repeat_interleave(frames // chunks, 1)[:, None, :, None, None]

    noise = torch.randn(clips.latents.shape, generator=generator)

    def pinned(x: Tensor) -> Tensor:
        """Given pictures stay what they are, as in an image start (paper 2.2.3)."""
        x[clips.given, :, 0] = clips.latents[clips.given, :, 0]
        return x

    x = pinned(torch.lerp(noise, clips.latents, per_frame(start)))
    for index in range(STEPS):
        batch = history_batch(history, x, start + index * step, clips.prompt, keep, settings)
        velocity = packed_velocity(dit, batch.to(dit.rope.bands.device), text)
        x = pinned(x + per_frame(step) * velocity[:, :, frames:].float().cpu())
    return x
