"""The auto-encoder that a denoiser is trained behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from magi_rt.checkpoints.layout import ModelFolder
from magi_rt.checkpoints.networks import load_vae
from magi_rt.errors import CheckpointError
from magi_rt.models.vae import ViTVAE
from magi_rt.training.vae_trainer import load_export


@dataclass(frozen=True)
class Codec:
    """An auto-encoder in float32, its files, and the scale that makes its latents unit variance."""

    vae: ViTVAE
    folder: Path
    scale: float

    @classmethod
    def from_export(cls, folder: Path) -> Codec:
        """The export of ``train vae``.

        Raises:
            CheckpointError: the folder is no such export, or damaged.
        """
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            scale = float(report["scale_factor"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{folder} holds no trained auto-encoder ({error}); run `magi-rt train vae` first"
            ) from error
        return cls(load_export(folder), folder, scale)

    @classmethod
    def from_model(cls, model: ModelFolder) -> Codec:
        """The auto-encoder of a whole model folder."""
        vae = load_vae(model)
        assert model.vae is not None
        return cls(vae, model.vae, model.config.runtime.scale_factor)
