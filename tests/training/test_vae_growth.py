"""An auto-encoder that is grown for larger pictures starts as the one it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.training.vae_growth import doubled
from magi_rt.training.vae_trainer import NANO_VAE, fresh_vae, save_vae, taken_up
from tests.models.vae_kit import random_pixels

SMALL = replace(NANO_VAE, video_size=16, patch_size=8, embed_dim=32, depth=1, num_heads=2)


def test_the_grown_auto_encoder_is_the_old_one_between_a_halving_and_a_doubling() -> None:
    vae = fresh_vae(SMALL, 3).eval()
    grown = doubled(vae).eval()
    pixels = random_pixels(2, 3, 8, 32, 32)
    halved = torch.nn.functional.avg_pool3d(pixels, (1, 2, 2))
    with torch.inference_mode():
        latents = grown.encode(pixels)
        torch.testing.assert_close(latents, vae.encode(halved), rtol=1e-4, atol=1e-4)
        repeated = vae.decode(latents).repeat_interleave(2, 3).repeat_interleave(2, 4)
        torch.testing.assert_close(grown.decode(latents), repeated, rtol=1e-4, atol=1e-4)


def test_an_export_is_taken_up_and_grown_to_the_asked_size(tmp_path: Path) -> None:
    vae = fresh_vae(SMALL, 3).eval()
    clips = torch.randint(0, 255, (2, 8, 16, 16, 3), dtype=torch.uint8)
    save_vae(tmp_path, vae, held_out=clips)
    larger = replace(SMALL, video_size=32, patch_size=16)
    grown = taken_up(tmp_path, larger)
    assert grown.config == larger
    assert all(parameter.requires_grad for parameter in grown.parameters())
    with pytest.raises(OptionError, match="leave start out"):
        taken_up(tmp_path, replace(larger, embed_dim=64))


def test_an_end_in_a_convolution_is_refused() -> None:
    published = replace(SMALL, embed_dim=512, patch_size=8, conv_last_layer=True)
    with pytest.raises(OptionError, match="convolution cannot be grown"):
        doubled(fresh_vae(published, 3))
