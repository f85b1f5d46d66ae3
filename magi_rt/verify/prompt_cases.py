"""Golden cases of prompts: rows and masks, the file of special tokens, caption cleaning."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magi_rt.errors import CheckpointError, MagiError
from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.models.special_tokens import (
    NEGATIVE_FLAG,
    SPECIAL_ROWS,
    SpecialTokens,
    conditioning,
    token_names,
)
from magi_rt.verify.goldens import Check, GoldenCase, absolute_error
from magi_rt.verify.sampling_cases import exactly


def check_prompt(case: GoldenCase) -> Iterator[Check]:
    """``prompt_*``: text and null rows of every chunk with their masks, exactly."""
    tensors, meta = case.tensors, case.meta
    caption = tensors["caption"].flatten(0, -3)[0]
    flags = meta["flags"]
    needs_tokens = bool(token_names(flags)) or NEGATIVE_FLAG in flags
    y, mask = conditioning(
        caption,
        tensors["caption_mask"].reshape(-1),
        case.weight_case().tensors["y_embedder.null_caption_embedding"],
        tokens=golden_tokens(case.folder, caption.shape[-1]) if needs_tokens else None,
        flags=flags,
        chunks=meta["chunk_num"],
        clean_chunks=meta["clean_chunk_num"],
    )
    yield Check("rows", absolute_error(y, tensors["y"]), 0.0)
    yield Check("masks", absolute_error(mask, tensors["y_mask"]), 0.0)
    if "special_token_keys" in meta:
        yield exactly("token order", list(token_names(flags)), meta["special_token_keys"])


def golden_tokens(folder: Path, channels: int) -> SpecialTokens:
    """The special tokens of a golden folder, in the width of a case.

    Raises:
        CheckpointError: the folder has no token case of this width.
    """
    found: MagiError | None = None
    for path in sorted(folder.glob("prompt_*.json")):
        case = GoldenCase.read(path)
        if set(SPECIAL_ROWS) <= set(case.listed):
            try:
                return SpecialTokens.from_arrays(_arrays(case.tensors), channels)
            except MagiError as error:
                found = error
    reason = f": {found}" if found else ""
    raise CheckpointError(f"this folder has no special tokens of {channels} channels{reason}")


def check_special_tokens(case: GoldenCase) -> Iterator[Check]:
    """``prompt_special_tokens``: written as a token file, read back, rounded to float16."""
    arrays = _arrays(case.tensors)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "special_tokens.npz"
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        read = SpecialTokens.read(path)
    rows = {"caption_token": read.caption, "logo_token": read.logo, "other_tokens": read.other}
    for name, value in rows.items():
        expected = torch.from_numpy(arrays[name].astype(np.float16).astype(np.float32))
        yield Check(name, absolute_error(value.reshape(expected.shape), expected), 0.0)


def check_clean_caption(case: GoldenCase) -> Iterator[Check]:
    """``prompt_clean_caption``: pairs of a caption and what the tokenizer is given."""
    for place, (text, expected) in enumerate(case.meta["pairs"]):
        yield exactly(f"pair {place}", clean_prompt(text), expected)


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensors[name].numpy() for name in SPECIAL_ROWS}
