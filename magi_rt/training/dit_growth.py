"""A trained denoiser for finer tokens, on the same latents.

With patches of one latent instead of two by two a chunk has four times the tokens and every layer
four times the work, and a thing no longer shares its token with its neighbours. The layers between
stay as they are: rotary positions cover the same area for every grid (paper 2.2.2), so attention
goes on looking at the same places. Training goes on from there.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT


@torch.no_grad()
def with_patches(dit: VideoDiT, side: int) -> VideoDiT:
    """The same denoiser for tokens of ``side`` x ``side`` latents; the old one is kept.

    The first layer sees one latent as the old one saw a patch full of it, and the last layer says
    what the old one said of a patch on average.

    Raises:
        OptionError: tokens can only become finer, down to one latent.
    """
    config = dit.config
    if side == config.patch_size:
        return dit
    if side != 1:
        raise OptionError(
            f"tokens of {config.patch_size}x{config.patch_size} latents cannot become "
            f"{side}x{side}; use 1, or leave start out to train from nothing",
            field="patch",
        )
    area = config.patch_size**2
    weights = dict(dit.state_dict())
    weights["x_embedder.weight"] = weights["x_embedder.weight"].sum((-2, -1), keepdim=True)
    last = weights["final_linear.linear.weight"]
    weights["final_linear.linear.weight"] = last.unflatten(0, (area, -1)).mean(0)
    finer = VideoDiT(replace(config, patch_size=1))
    finer.load_state_dict(weights)
    return finer
