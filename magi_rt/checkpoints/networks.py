"""The networks of a model folder, opened with their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from magi_rt.checkpoints.headers import open_weights
from magi_rt.checkpoints.layout import VAE_WEIGHTS, ModelFolder, missing_denoiser, missing_vae
from magi_rt.checkpoints.load import Seen, check_tensors, load_into, run_time_dtypes
from magi_rt.checkpoints.text_encoder import check_text_encoder
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.vae import VAEConfig, ViTVAE


def load_denoiser(
    model: ModelFolder,
    *,
    device: torch.device | str = "cpu",
    params_dtype: torch.dtype | None = None,
    seen: Seen | None = None,
) -> VideoDiT:
    """Opens the denoiser of a model folder, in evaluation mode and without gradients.

    Args:
        params_dtype: working precision instead of the configured one; the high-precision list
            stays float32 and 8-bit weights stay 8-bit.
        seen: told of every tensor as it is stored.

    Raises:
        CheckpointError: the weights are absent, damaged or belong to another configuration.
    """
    if model.denoiser is None:
        raise CheckpointError(missing_denoiser(model), field="denoiser")
    config = model.config
    if params_dtype is not None:
        config = replace(config, model=replace(config.model, params_dtype=str(params_dtype)))
    files = open_weights(model.denoiser)
    with torch.device("meta"):
        denoiser = VideoDiT(config.model, fp8=config.engine.fp8_quant)
    load_into(denoiser, files, run_time_dtypes(config), device=device, seen=seen)
    return denoiser.eval().requires_grad_(False)


def load_vae(
    model: ModelFolder,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seen: Seen | None = None,
) -> ViTVAE:
    """Opens the auto-encoder of a model folder, in evaluation mode and without gradients.

    Args:
        seen: told of every tensor as it is stored.

    Raises:
        CheckpointError: its files are absent, damaged or do not fit its config.json.
        ConfigError: its config.json is wrong.
    """
    if model.vae is None:
        raise CheckpointError(missing_vae(model), field="vae")
    files = open_weights(model.vae, VAE_WEIGHTS)
    vae = vae_skeleton(model.vae, model.config)
    load_into(vae, files, dict.fromkeys(vae.state_dict(), dtype), device=device, seen=seen)
    return vae.eval().requires_grad_(False)


def check_beside(model: ModelFolder) -> None:
    """Refuses what stands beside the denoiser before any weight is read; reads headers only.

    Raises:
        CheckpointError, ConfigError: as in :func:`load_vae`, or the text encoder's files are
            absent, pickled, of another width or of other layers.
    """
    if model.denoiser is None:
        raise CheckpointError(missing_denoiser(model), field="denoiser")
    if model.vae is None:
        raise CheckpointError(missing_vae(model), field="vae")
    files = open_weights(model.vae, VAE_WEIGHTS)
    tensors = vae_skeleton(model.vae, model.config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_tensors(files, shapes, dict.fromkeys(shapes, torch.float32))
    if model.text_encoder is not None:
        check_text_encoder(model.text_encoder, model.config.model.caption_channels)


def vae_skeleton(folder: Path, config: MagiConfig) -> ViTVAE:
    """The auto-encoder of a folder without its weights (on the meta device).

    Raises:
        CheckpointError: its latents are not those the denoiser of `config` works on.
        ConfigError: its config.json is wrong.
    """
    sizes = VAEConfig.from_file(folder / "config.json")
    needs = (
        ("z_chans", sizes.z_chans, config.model.latent_channels, "channels"),
        (
            "patch_length",
            sizes.patch_length,
            config.runtime.temporal_downsample_factor,
            "frames per latent",
        ),
    )
    for key, has, wanted, what in needs:
        if has != wanted:
            raise CheckpointError(
                f"the auto-encoder in {folder} has {has} {what} ({key}), the denoiser works on "
                f"{wanted}; they belong to different models",
                field=key,
            )
    with torch.device("meta"):
        return ViTVAE(sizes)
