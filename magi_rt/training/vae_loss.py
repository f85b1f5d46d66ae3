"""The loss of the auto-encoder: true pixels and edges, latents near a normal distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magi_rt.models.vae import ViTVAE

VISIBLE = 0.08
"""Of 2: from here a pixel's change within a clip is seen."""


@dataclass(frozen=True)
class VaeLoss:
    """Weights of the loss terms.

    moving: how much more an error counts where the picture changes within the clip.
    noise: most noise that the decoder is shown, in standard deviations of the latents; each clip
        gets a share of it. A denoiser's latents are never quite right, and a decoder that has only
        seen right ones answers with blocks and fringes.
    flicker: weight of the error's change from frame to frame, which shows where nothing moves.
    row: chunks of a clip. Each goes through the auto-encoder alone, so only a row of them tells
        how much pictures flicker from one chunk to the next.
    """

    squared: float = 10.0
    edges: float = 0.5
    kl: float = 3e-4
    moving: float = 0.0
    noise: float = 0.0
    flicker: float = 0.0
    row: int = 1

    def __call__(
        self, vae: ViTVAE, pixels: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of [B, 3, row * F, H, W] pixels in [-1, 1], and its parts."""
        rows = len(pixels)
        pixels = pixels.unflatten(2, (self.row, -1)).movedim(2, 1).flatten(0, 1)
        mean, log_variance = vae.moments(pixels)
        draw = torch.randn(mean.shape, generator=noise).to(mean.device)
        latents = mean + draw * torch.exp(0.5 * log_variance)
        if self.noise:
            share = torch.rand((len(mean), 1, 1, 1, 1), generator=noise).to(mean.device)
            latents = latents + self.noise * mean.detach().std() * share * draw.roll(1, 0)
        wrong = vae.decode(latents) - pixels
        error = wrong * self._counts(pixels)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        absolute, squared = error.abs().mean(), error.square().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        in_time = wrong.unflatten(0, (rows, self.row)).movedim(1, 2).flatten(2, 3)
        flicker = in_time.diff(dim=2).abs().mean()
        loss = absolute + self.squared * squared + self.edges * edges + self.kl * kl
        loss = loss + self.flicker * flicker
        return loss, {"absolute": absolute, "squared": squared, "kl": kl, "flicker": flicker}

    def _counts(self, pixels: Tensor) -> Tensor:
        """How much an error at each pixel counts; 1 on average."""
        change = (pixels - pixels.mean(dim=2, keepdim=True)).abs().amax(dim=1, keepdim=True)
        counts = 1 + self.moving * (change > VISIBLE)
        return counts / counts.mean()


DECODER = VaeLoss(noise=0.1, flicker=1.5, row=2)
"""Loss of a decoder that is trained alone."""
