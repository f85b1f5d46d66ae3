"""A T5 folder in the layout of transformers: checked, opened, written."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from magi_rt.checkpoints.headers import INDEX_NAME, SINGLE_NAME, WeightFiles, open_weights
from magi_rt.checkpoints.load import Seen, check_tensors, load_into
from magi_rt.errors import CheckpointError
from magi_rt.models.t5 import T5Config, T5Encoder
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.models.tokenizer import JSON_NAME, JsonTokenizer, check_tokenizer, read_tokenizer

NOT_THE_ENCODER = ("decoder.", "lm_head.")
WORDS, WORDS_AGAIN = "shared.weight", "encoder.embed_tokens.weight"
"""The word embeddings, and the other name under which files may hold the same numbers."""


def load_text_encoder(
    folder: Path | str,
    max_length: int,
    channels: int,
    *,
    device: torch.device | str = "cpu",
    seen: Seen | None = None,
) -> T5TextEncoder:
    """Opens a T5 folder, in evaluation mode and without gradients; nothing is downloaded.

    Args:
        max_length: most tokens of a prompt, 800 for the published models.
        channels: the width the denoiser expects, 4096 for the published models.
        seen: told of every tensor as it is stored.

    Raises:
        CheckpointError: as in :func:`check_text_encoder`, or the tokenizer is damaged or has more
            tokens than the weights have rows.
        MemoryError: the weights take more than is free there; none was read then.
    """
    folder = Path(folder)
    files, model = check_text_encoder(folder, channels)
    tokenizer = read_tokenizer(folder)
    highest, rows = max(tokenizer.vocabulary().values()), model.config.vocab_size
    if highest >= rows:
        raise CheckpointError(
            f"the tokenizer in {folder} has a token {highest}, but the weights have rows for "
            f"{rows} words only; copy the tokenizer that belongs to them",
            field="tokenizer",
        )
    load_into(
        model,
        files,
        dict.fromkeys(model.state_dict(), torch.float32),
        device=device,
        ignored=_beside(files),
        tied={WORDS: WORDS_AGAIN},
        seen=seen,
    )
    return T5TextEncoder(model.eval().requires_grad_(False), tokenizer, max_length)


def check_text_encoder(folder: Path, channels: int) -> tuple[WeightFiles, T5Encoder]:
    """Refuses, with a way out, what can be known of a T5 folder without reading weights.

    Args:
        channels: the width the denoiser expects.

    Returns:
        The checked headers, and the network on the meta device.

    Raises:
        CheckpointError: the configuration is absent, damaged or no T5 v1.1, its width is another
            one, there is no tokenizer, or the weights are absent, pickled, or not those of the
            configuration.
    """
    config = T5Config.from_file(folder / "config.json")
    if config.d_model != channels:
        raise CheckpointError(
            f"the text encoder in {folder} gives rows of width {config.d_model}, but the denoiser "
            f"expects {channels}; use the T5 that belongs to the model",
            field="d_model",
        )
    check_tokenizer(folder)
    if not any((folder / name).is_file() for name in (SINGLE_NAME, INDEX_NAME)):
        raise CheckpointError(
            f"{folder} has no {SINGLE_NAME}; pickled weights (.bin) are not read, as they can "
            "run programs: make safetensors of them with transformers' save_pretrained, as "
            "docs/models.md shows",
            field=SINGLE_NAME,
        )
    files = open_weights(folder)
    with torch.device("meta"):
        model = T5Encoder(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if WORDS not in files.tensors and WORDS_AGAIN in files.tensors:
        shapes[WORDS_AGAIN] = shapes.pop(WORDS)
    check_tensors(files, shapes, dict.fromkeys(shapes, torch.float32), ignored=_beside(files))
    return files, model


def _beside(files: WeightFiles) -> tuple[str, ...]:
    """Prefixes of what may lie in the files and is not needed."""
    return (*NOT_THE_ENCODER, WORDS_AGAIN) if WORDS in files.tensors else NOT_THE_ENCODER


def save_text_encoder(folder: Path, model: T5Encoder, tokenizer: JsonTokenizer) -> None:
    """Writes both into an existing folder, for :func:`load_text_encoder` and transformers."""
    save_text_weights(folder, model)
    tokenizer.inner.save(str(folder / JSON_NAME))
    said = {
        "config.json": model.config.to_card(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "<pad>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
        },
    }
    for name, card in said.items():
        (folder / name).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def save_text_weights(folder: Path, model: T5Encoder) -> None:
    """Writes the weights alone into an existing folder, in float16."""
    weights = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / SINGLE_NAME, {"format": "pt"})
