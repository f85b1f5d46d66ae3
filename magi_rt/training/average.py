"""Between two models: weights that lie on the line from one to the other.

Of two trainings that began with the same model, the mean often keeps what each of them learned
(model soups, Wortsman et al. 2022). Models that were trained apart have no mean worth having.
"""

from __future__ import annotations

import math
import shutil
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from magi_rt.backends.fingerprint import fingerprint
from magi_rt.checkpoints.layout import ModelFolder, missing_text_encoder, resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.save import save_model
from magi_rt.checkpoints.text_encoder import load_text_encoder, save_text_weights
from magi_rt.checkpoints.trained_on import trained_on
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.training.codec import Codec

WEIGHTS = shutil.ignore_patterns("*.safetensors*", "*.bin*")

Network = TypeVar("Network", bound=nn.Module)


def average_models(
    out: str | Path, first: str | Path, second: str | Path, *, share: float = 0.5
) -> Path:
    """Write the model whose every weight is ``share`` of the second's and the rest of the first's.

    Denoiser and text encoder are averaged in float32 and stored as those of ``train dit``; the
    configuration, the auto-encoder and the tokenizer are those of ``first``.

    Args:
        out: a folder that is not there yet.
        share: 0 to 1.

    Returns:
        The folder.

    Raises:
        CheckpointError: one of them is no whole model, or ``out`` is there already.
        OptionError: the share is outside its range, or the models differ in more than weights of
            denoiser and text encoder.
    """
    if not (math.isfinite(share) and 0 <= share <= 1):
        raise OptionError(f"share is {share:g}; give 0 to 1, as in 0.5", field="share")
    ours, theirs = resolve(first), resolve(second)
    codec = Codec.from_model(ours)
    texts = [_text_encoder(model) for model in (ours, theirs)]
    _check_alike(ours, theirs, codec, Codec.from_model(theirs), texts)
    denoiser = _between(load_denoiser(ours), load_denoiser(theirs), share)
    encoder = _between(texts[0].model, texts[1].model, share)
    words = ours.text_encoder
    assert words is not None

    def write_text_encoder(folder: Path) -> None:
        shutil.copytree(words, folder, dirs_exist_ok=True, ignore=WEIGHTS)
        save_text_weights(folder, encoder)

    return save_model(
        out,
        ours.config,
        denoiser=denoiser.state_dict(),
        vae_config=codec.config,
        vae=codec.weights,
        write_text_encoder=write_text_encoder,
        matrix_dtype=torch.bfloat16,
        data=trained_on(ours),
        actions=ours.folder,
    )


def _text_encoder(model: ModelFolder) -> T5TextEncoder:
    if model.text_encoder is None:
        raise CheckpointError(missing_text_encoder(model), field="text_encoder")
    sizes = model.config.model
    return load_text_encoder(model.text_encoder, sizes.caption_max_length, sizes.caption_channels)


def _check_alike(
    ours: ModelFolder,
    theirs: ModelFolder,
    our_codec: Codec,
    their_codec: Codec,
    texts: list[T5TextEncoder],
) -> None:
    words = [text.tokenizer.vocabulary() for text in texts]
    codecs = [fingerprint(codec.weights.items()) for codec in (our_codec, their_codec)]
    first, second = ours.config, theirs.config
    unlike = {
        "sizes of the denoiser": first.model != second.model,
        "guidance or distillation": first.runtime.cfg_number != second.runtime.cfg_number
        or first.engine.distill != second.engine.distill,
        "auto-encoder": codecs[0] != codecs[1] or our_codec.scale != their_codec.scale,
        "tokenizer": words[0] != words[1],
    }
    for part, differs in unlike.items():
        if differs:
            raise OptionError(
                f"{ours.name} and {theirs.name} differ in their {part}, so what lies between them "
                "is no model; average two trainings that began with the same one",
                field="second",
            )


@torch.no_grad()
def _between(one: Network, other: Network, share: float) -> Network:
    """A copy in float32 whose parameters and buffers are ``one + share * (other - one)``."""
    mean = deepcopy(one).float()
    second = other.state_dict()
    for name, tensor in [*mean.named_parameters(), *mean.named_buffers()]:  # tied weights once
        if tensor.is_floating_point():
            tensor.lerp_(second[name].float(), share)
    return mean
