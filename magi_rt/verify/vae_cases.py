"""Golden cases of the auto-encoder: one block, whole and tiled encoding and decoding, bytes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from magi_rt.models.vae import VAEConfig, ViTVAE, to_uint8
from magi_rt.models.vae_tiling import TileConfig, encode_frames, tiled_decode, tiled_encode
from magi_rt.verify.goldens import Check, GoldenCase, absolute_error

PIXELS = 2e-5
SCALE = 0.18215
FPS = 24
TILING = (
    "tile_sample_min_length",
    "tile_sample_min_height",
    "tile_sample_min_width",
    "spatial_tile_overlap_factor",
    "temporal_tile_overlap_factor",
    "allow_spatial_tiling",
)
"""What a manifest says about its tiles."""
NEAR_INTEGER = 1e-2  # distance to a whole byte value within which truncation may fall either way


def build_vae(weights: GoldenCase) -> ViTVAE:
    """The auto-encoder of a weight case, in float32."""
    ddconfig = dict(weights.meta["ddconfig"])
    model_type = weights.meta.get("model_type", "vit")
    vae = ViTVAE(VAEConfig.from_dict({**ddconfig, "model_type": model_type}))
    vae.load_state_dict({name: value.float() for name, value in weights.tensors.items()})
    return vae.eval().requires_grad_(False)


@torch.inference_mode()
def check_vae(case: GoldenCase) -> Iterator[Check]:
    """``vae_*`` except the block's intermediates; what a case checks follows from its tensors."""
    vae, tensors = build_vae(case.weight_case()), case.tensors
    if "frames_thwc" in tensors:
        latent = encode_frames(vae, tensors["frames_thwc"], TileConfig.published(FPS))[None]
        made = {"latent": latent * SCALE}
    elif "tile_sample_min_length" in case.meta:
        tiles = tiles_of(case)
        if "x" in tensors:
            made = {"z": tiled_encode(vae, tensors["x"], tiles)}
        else:
            made = {"y": tiled_decode(vae, tensors["z"], tiles)}
            frames = made["y"].shape[2]
            expected = case.meta.get("output_frames", tensors["y"].shape[2])
            yield Check("frames", abs(frames - expected), 0)
    elif "x" in tensors:
        mean, log_variance = vae.moments(tensors["x"])
        made = {"z": vae.encode(tensors["x"]), "moments": torch.cat([mean, log_variance], dim=1)}
    else:
        made = {"y": vae.decode(tensors["z"])}
        if "uint8_tchw" in tensors:
            pictures = vae.decode_pixels(tensors["z"])
            yield from _bytes(made["y"], pictures, tensors["uint8_tchw"])
    for name, value in made.items():
        if name in tensors:
            yield Check(name, absolute_error(value, tensors[name]), PIXELS)


@torch.inference_mode()
def check_vae_block(case: GoldenCase) -> Iterator[Check]:
    """``vae_block``: position table, first block, latents."""
    vae, tensors = build_vae(case.weight_case()), case.tensors
    encoder = vae.encoder
    _, _, frames, height, width = tensors["z"].shape
    positions = encoder.positions((frames, height, width))
    patches = encoder.patch_embed(tensors["x"])
    entering = torch.cat([encoder.cls_token.expand(len(patches), -1, -1), patches], 1) + positions
    block = encoder.blocks[0]
    made = {
        "pos_embed_resized": positions,
        "block_in": entering,
        "attn_out": block.get_submodule("attn")(entering),
        "block_out": block(entering),
        "z": vae.encode(tensors["x"]),
    }
    for name, value in made.items():
        yield Check(name, absolute_error(value, tensors[name]), PIXELS)


def tiles_of(case: GoldenCase) -> TileConfig:
    """The tiling a case was made with."""
    meta = case.meta
    return TileConfig(
        meta["tile_sample_min_length"],
        meta["tile_sample_min_height"],
        meta["tile_sample_min_width"],
        spatial_overlap=meta["spatial_tile_overlap_factor"],
        temporal_overlap=meta["temporal_tile_overlap_factor"],
        spatial=meta["allow_spatial_tiling"],
    )


def _bytes(pixels: Tensor, pictures: Tensor, expected: Tensor) -> Iterator[Check]:
    """Both ways to bytes; one step of difference only where the value sits on an integer."""
    value = pixels.transpose(1, 2).flatten(0, 1) * 127.5 + 127.5
    far = (value - value.round()).abs() > NEAR_INTEGER
    ways = {
        "to_uint8": to_uint8(pixels).transpose(1, 2).flatten(0, 1),
        "decode_pixels": pictures.flatten(0, 1).permute(0, 3, 1, 2),
    }
    for name, made in ways.items():
        difference = (made.int() - expected.int()).abs()
        yield Check(name, float(difference.max()), 1)
        yield Check(f"{name} away from integers", float((difference * far).max()), 0)
