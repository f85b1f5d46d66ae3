"""A trained auto-encoder for pictures of twice the size, on the same grid of latents.

The first layer of the encoder then averages each square of four pixels, and the last layer of the
decoder repeats each pixel four times. So the grown auto-encoder is the old one between a halving
and a doubling of the picture, number for number, and a denoiser of the old latents still fits.
Training goes on from there and learns the finer edges.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.models.vae import ViTVAE


@torch.no_grad()
def doubled(vae: ViTVAE) -> ViTVAE:
    """The same auto-encoder for patches and pictures of twice the side; the old one is kept.

    Raises:
        OptionError: its decoder ends in a convolution over pixels, which cannot be repeated.
    """
    old = vae.config
    if old.conv_last_layer:
        raise OptionError(
            "an auto-encoder that ends in a convolution cannot be grown; "
            "train one with conv_last_layer false, as the built-in one",
            field="start",
        )
    larger = replace(old, video_size=2 * old.video_size, patch_size=2 * old.patch_size)
    weights = dict(vae.state_dict())
    first, last, bias = (
        "encoder.patch_embed.proj.weight",
        "decoder.last_layer.weight",
        "decoder.last_layer.bias",
    )
    weights[first] = _twice(weights[first], 3, 4) / 4
    patch = (old.patch_length, old.patch_size, old.patch_size, old.in_chans)
    for name in (last, bias):
        pixels = weights[name].unflatten(0, patch)
        weights[name] = _twice(pixels, 1, 2).flatten(0, 3)
    grown = ViTVAE(larger).to(weights[first].dtype)
    grown.load_state_dict(weights)
    return grown


def _twice(x: Tensor, *dims: int) -> Tensor:
    for dim in dims:
        x = x.repeat_interleave(2, dim)
    return x
