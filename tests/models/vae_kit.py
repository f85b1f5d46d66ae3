"""A tiny random auto-encoder for tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from magi_rt.models.vae import VAEConfig, ViTVAE

TINY = VAEConfig(
    video_size=16,
    video_length=4,
    patch_size=4,
    patch_length=2,
    in_chans=3,
    z_chans=4,
    double_z=True,
    embed_dim=32,
    depth=1,
    num_heads=2,
    mlp_ratio=2,
    qkv_bias=True,
    ln_in_attn=True,
    conv_last_layer=True,
)
"""2 frames of 4 x 4 pixels per token; position table for 2 x 4 x 4 tokens."""

LINEAR_END = replace(TINY, conv_last_layer=False)


def tiny_vae(config: VAEConfig = TINY, seed: int = 0) -> ViTVAE:
    """Random weights large enough that every part of the network shows in its output."""
    generator = torch.Generator().manual_seed(seed)
    vae = ViTVAE(config)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return vae.eval().requires_grad_(False)


def random_pixels(*shape: int, seed: int = 1) -> torch.Tensor:
    """Values in [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
