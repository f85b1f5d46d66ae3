"""The two model folders of a distillation: the teacher's, and the one its student is written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from magi_rt.checkpoints.layout import ModelFolder, missing_text_encoder, resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.save import save_model
from magi_rt.checkpoints.text_encoder import load_text_encoder
from magi_rt.checkpoints.trained_on import trained_on, usual_data
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.training.codec import Codec
from magi_rt.training.latent_shards import ShardRecipe
from magi_rt.training.nano import CHUNKS_PER_CLIP, RUNTIME

DEFAULT_STEPS = 8
NEVER_NEARLY_CLEAN = 1.0


@dataclass(frozen=True)
class Source:
    """A guided model folder, opened to be distilled."""

    folder: ModelFolder
    codec: Codec
    dit: VideoDiT
    text: T5TextEncoder
    text_files: Mapping[str, bytes]

    @classmethod
    def open(cls, model: str | Path) -> Source:
        """Raises:
        CheckpointError: it is no whole model.
        OptionError: it is distilled already, or its chunks are not those of the clips.
        """
        folder = resolve(model)
        frames = folder.config.runtime.frames_per_chunk
        if frames != RUNTIME.frames_per_chunk:
            raise OptionError(
                f"{model} has chunks of {frames} frames and clips have "
                f"{RUNTIME.frames_per_chunk}; distil a model that `magi-rt train dit` made",
                field="teacher",
            )
        if folder.config.runtime.cfg_number != 3:
            raise OptionError(
                f"{model} has its guidance folded in already (cfg_number "
                f"{folder.config.runtime.cfg_number}); distil the guided model it came from",
                field="teacher",
            )
        if folder.text_encoder is None:
            raise CheckpointError(missing_text_encoder(folder), field="text_encoder")
        sizes = folder.config.model
        text = load_text_encoder(
            folder.text_encoder, sizes.caption_max_length, sizes.caption_channels
        )
        files = {
            path.name: path.read_bytes() for path in folder.text_encoder.iterdir() if path.is_file()
        }
        return cls(folder, Codec.from_model(folder), load_denoiser(folder), text, files)

    def write_text_encoder(self, folder: Path) -> None:
        """The text encoder's files as they were when the model was opened."""
        for name, content in self.text_files.items():
            (folder / name).write_bytes(content)

    @property
    def config(self) -> MagiConfig:
        return self.folder.config

    def recipe(self, seed: int, **fields: Any) -> ShardRecipe:
        """Clips as this model makes them, of what it was trained on unless ``data`` is given."""
        runtime = self.config.runtime
        usual: dict[str, Any] = {
            "data": usual_data(fields.pop("data", None), self.folder),
            "scale": runtime.scale_factor,
            "chunks": CHUNKS_PER_CLIP,
            "size": runtime.video_size_h,
        }
        return ShardRecipe(seed=seed, **(usual | fields))


def distilled_config(config: MagiConfig, shortest: int) -> MagiConfig:
    """The configuration of a guided model's student.

    Args:
        shortest: the fewest steps that it learned, which the configuration says.

    The student has learned its velocity with all of the history up to the last step. Mixing in a
    share of one without history, as the published distilled models do for nearly clean chunks,
    would only move it away from that and cost time; so no chunk counts as nearly clean.
    """
    return MagiConfig(
        config.model,
        replace(config.runtime, cfg_number=1, num_steps=DEFAULT_STEPS, shortest_steps=shortest),
        replace(
            config.engine,
            distill=True,
            distill_nearly_clean_chunk_threshold=NEVER_NEARLY_CLEAN,
        ),
    )


def export(folder: Path, student: VideoDiT, source: Source, shortest: int, data: str) -> None:
    """Write a model folder in the published layout: the student, all else from its teacher."""
    save_model(
        folder,
        distilled_config(source.config, shortest),
        denoiser=student.state_dict(),
        vae_config=source.codec.config,
        vae=source.codec.weights,
        write_text_encoder=source.write_text_encoder,
        matrix_dtype=torch.bfloat16,
        overwrite=True,
        data=data,
        actions=source.folder.folder if data == trained_on(source.folder) else None,
    )
