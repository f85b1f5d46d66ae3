"""The decoder in few operations gives what the auto-encoder gives, for chunks and for tiles."""

from __future__ import annotations

import pytest
import torch

from magi_rt.bench.subject import random_networks
from magi_rt.export.lean_vae import LeanDecoder


@pytest.mark.parametrize("frames", [1, 2])
def test_tiles_and_pictures_are_those_of_the_auto_encoder(frames: int) -> None:
    _, _, vae, _ = random_networks("tiny", device="cpu", dtype="float32")
    shape = (1, vae.config.z_chans, frames, 4, 4)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        raw = LeanDecoder(vae, torch.float32, finished=False)(latents)
        expected = vae.decode(latents)
        assert raw.dtype == torch.float32 and raw.shape == expected.shape
        assert torch.allclose(raw, expected, atol=1e-4)
        pictures = LeanDecoder(vae, torch.float32, finished=True)(latents)
        expected = vae.decode_pixels(latents)
        assert pictures.dtype == torch.uint8 and pictures.shape == expected.shape
        assert int((pictures.int() - expected.int()).abs().max()) <= 1
