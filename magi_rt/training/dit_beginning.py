"""What a training of the denoiser begins with: fresh weights, or those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from magi_rt.checkpoints.layout import missing_text_encoder, resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.text_encoder import load_text_encoder
from magi_rt.config import ModelConfig
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.t5 import T5Encoder
from magi_rt.models.tokenizer import SENTENCEPIECE_NAME, JsonTokenizer
from magi_rt.training import text_context
from magi_rt.training.codec import Codec
from magi_rt.training.dit_growth import with_patches
from magi_rt.training.dit_init import initialise
from magi_rt.training.nano import CHUNKS_PER_CLIP, LAYERS, PATCH, model_of
from magi_rt.training.nano_text import build_text_encoder, regrown_text_encoder
from magi_rt.training.recordings.source import ClipSource
from magi_rt.training.seeds import seeded

TOKENIZER_CLIPS, CONTEXT_CLIPS = 400, 1200


class Trainee(nn.Module):
    """What is trained together: the denoiser and the encoder of its prompts."""

    def __init__(self, dit: VideoDiT, text: T5Encoder) -> None:
        super().__init__()
        self.dit, self.text = dit, text


def begin(
    vae_dir: str | Path | None,
    start: str | Path | None,
    prompts: Sequence[str],
    seed: int,
    layers: int | None = None,
    patch: int | None = None,
) -> tuple[Codec, Trainee, JsonTokenizer]:
    """The auto-encoder, what is trained, and the tokenizer: fresh, or those of a model.

    The tokenizer is made for ``prompts`` in either case.

    Raises:
        CheckpointError: no trained auto-encoder in ``vae_dir``, or ``start`` is no whole model.
        OptionError: neither is given, or ``start`` is distilled or has other sizes.
    """
    if start is None:
        if vae_dir is None:
            raise OptionError(
                "give vae_dir, to train from nothing, or start, to go on from a model",
                field="start",
            )
        sizes = model_of(LAYERS if layers is None else layers, PATCH if patch is None else patch)
        trainee, tokenizer = fresh_trainee(prompts, seed, sizes)
        return Codec.from_export(Path(vae_dir)), trainee, tokenizer
    model = resolve(start)
    if model.config.engine.distill:
        raise OptionError(
            f"{start} is distilled, and guidance cannot be trained into it again; go on from its "
            "teacher, as in nano-base, and distil that",
            field="start",
        )
    codec = Codec.from_model(model) if vae_dir is None else Codec.from_export(Path(vae_dir))
    if model.text_encoder is None:
        raise CheckpointError(missing_text_encoder(model), field="text_encoder")
    sizes = model.config.model
    wanted = model_of(sizes.num_layers if layers is None else layers, sizes.patch_size)
    if replace(sizes, caption_max_length=wanted.caption_max_length) != wanted:
        raise OptionError(
            f"the denoiser of {start} is {sizes}, and this trainer makes {wanted}; "
            "leave start out to train from nothing",
            field="start",
        )
    known = load_text_encoder(model.text_encoder, sizes.caption_max_length, sizes.caption_channels)
    if not isinstance(known.tokenizer, JsonTokenizer):
        raise OptionError(
            f"{start} has its tokenizer as {SENTENCEPIECE_NAME}, which cannot learn new words; go "
            "on from a world that `magi-rt train dit` made",
            field="start",
        )
    encoder, tokenizer = regrown_text_encoder(known.model, known.tokenizer, prompts)
    dit = with_caption_rows(load_denoiser(model), wanted.caption_max_length)
    dit = with_patches(dit, sizes.patch_size if patch is None else patch)
    trainee = Trainee(dit, encoder.float()).train().requires_grad_(True)
    return codec, trainee, tokenizer


@torch.no_grad()
def with_caption_rows(dit: VideoDiT, rows: int) -> VideoDiT:
    """The same denoiser for longer or shorter prompts; its null caption is repeated or cut."""
    null = dit.y_embedder.null_caption_embedding
    if len(null) == rows:
        return dit
    weights = dict(dit.state_dict())
    weights["y_embedder.null_caption_embedding"] = null[torch.arange(rows) % len(null)]
    other = VideoDiT(replace(dit.config, caption_max_length=rows))
    other.load_state_dict(weights)
    return other


def fresh_trainee(
    prompts: Sequence[str], seed: int, sizes: ModelConfig | None = None
) -> tuple[Trainee, JsonTokenizer]:
    """An untrained denoiser and text encoder that follow from the seed, and the tokenizer."""
    dit = VideoDiT(sizes or model_of())
    initialise(dit, seed)
    encoder, tokenizer = build_text_encoder(prompts, seed)
    return Trainee(dit, encoder), tokenizer


def spoken_prompts(source: ClipSource, seed: int) -> list[str]:
    """Prompts as clips have them, for fitting the tokenizer."""
    told = source.prompts(TOKENIZER_CLIPS, CHUNKS_PER_CLIP, seeded(seed, 4), "train")
    return [prompt for clip in told for prompt in clip]


def teach_words(
    trainee: Trainee,
    tokenizer: JsonTokenizer,
    source: ClipSource,
    *,
    seed: int,
    steps: int,
    in_use: bool,
) -> None:
    """Text rows that know what stands beside each word (text_context.py), from a world's prompts.

    ``in_use``: the denoiser knows the rows already.
    """
    told = source.prompts(CONTEXT_CLIPS, CHUNKS_PER_CLIP, seeded(seed, 5), "train")
    prompts = [prompt for clip in told for prompt in clip]
    longest = trainee.dit.config.caption_max_length
    text_context.teach_context(
        trainee.text, tokenizer, prompts, seed=seed, steps=steps, in_use=in_use, max_length=longest
    )
