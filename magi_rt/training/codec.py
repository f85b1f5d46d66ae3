"""The auto-encoder that a denoiser is trained behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from magi_rt.checkpoints.layout import VAE_WEIGHTS, ModelFolder
from magi_rt.checkpoints.networks import load_vae
from magi_rt.models.vae import ViTVAE
from magi_rt.training.vae_trainer import export_scale, load_export


@dataclass(frozen=True)
class Codec:
    """An auto-encoder in float32, and the scale that makes its latents unit variance.

    ``config`` and ``weights`` are what its files held when it was opened, to be written again: the
    folder may be replaced meanwhile, by a run that goes on.
    """

    vae: ViTVAE
    scale: float
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    @classmethod
    def from_export(cls, folder: Path) -> Codec:
        """The export of ``train vae``.

        Raises:
            CheckpointError: the folder is no such export, or damaged.
        """
        scale = export_scale(folder)
        return cls(load_export(folder), scale, *_files(folder))

    @classmethod
    def from_model(cls, model: ModelFolder) -> Codec:
        """The auto-encoder of a whole model folder."""
        vae = load_vae(model)
        assert model.vae is not None
        return cls(vae, model.config.runtime.scale_factor, *_files(model.vae))


def _files(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config, load_file(folder / VAE_WEIGHTS)
