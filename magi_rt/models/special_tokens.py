"""Learned caption tokens, and the rows that a chunk's cross-attention reads (MAGI-1 reference).

The released models know tokens for quality, style and "k chunks remain". Each is put *before* the
prompt's rows, and the result is cut to the caption length, so the last one prepended stands first.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magi_rt.errors import CheckpointError, OptionError

SPECIAL_ROWS = {"caption_token": 1, "logo_token": 1, "other_tokens": 100}
"""Arrays of the file and their rows."""
UNREADABLE = (
    OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged or foreign file raises; TypeError: it holds a lone array."""
FILE_BYTES_LIMIT = 2**26  # the published file has 3.3 MB

OTHER_TOKENS = {
    "TRANS_TOKEN": 0,
    "HQ_TOKEN": 1,
    "STATIC_FIRST_FRAMES_TOKEN": 2,
    "DYNAMIC_FIRST_FRAMES_TOKEN": 3,
    "BORDERNESS_TOKEN": 4,
    "THREE_D_MODEL_TOKEN": 15,
    "TWO_D_ANIME_TOKEN": 16,
}
DURATION = "DURATION_TOKEN"
FIRST_DURATION_ROW = 7  # the row of "1 chunk remains"
DURATIONS = 8

FLAG_TOKENS = {
    "PAD_STATIC": "STATIC_FIRST_FRAMES_TOKEN",
    "PAD_DYNAMIC": "DYNAMIC_FIRST_FRAMES_TOKEN",
    "PAD_BORDERNESS": "BORDERNESS_TOKEN",
    "PAD_HQ": "HQ_TOKEN",
    "PAD_THREE_D_MODEL": "THREE_D_MODEL_TOKEN",
    "PAD_TWO_D_ANIME": "TWO_D_ANIME_TOKEN",
    "PAD_DURATION": DURATION,
}
"""Switches in the order in which their tokens are prepended, whatever order they are given in."""
NEGATIVE_FLAG = "NEG_PROMPT"
NEGATIVE_TOKENS = ("CAPTION_TOKEN", "LOGO_TOKEN", "TRANS_TOKEN", "BORDERNESS_TOKEN")
RELEASED_FLAGS = ("PAD_HQ", "PAD_DURATION")
"""What the released launch scripts switch on."""
NULL_TOKENS = 50
"""Rows of the null caption that stand for "no text"."""


@dataclass(frozen=True)
class SpecialTokens:
    """Token rows, rounded to float16 as the published pipeline does, kept as float32.

    caption, logo: [channels]; other: [100, channels].
    """

    caption: Tensor
    logo: Tensor
    other: Tensor

    @classmethod
    def read(cls, path: Path, channels: int | None = None) -> SpecialTokens:
        """Reads an npz file of three arrays; pickled content is never loaded.

        Args:
            channels: the width that the denoiser expects, when it is known.

        Raises:
            CheckpointError: the file is damaged, or an array is absent or unusable.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                size = sum(entry.file_size for entry in archive.zip.infolist())
                if size > FILE_BYTES_LIMIT:
                    raise ValueError(f"{size} bytes of content, more than {FILE_BYTES_LIMIT}")
                arrays = {name: archive[name] for name in SPECIAL_ROWS if name in archive.files}
        except UNREADABLE as error:
            raise CheckpointError(
                f"{path} is not a readable special token file ({error}); copy it again",
                field="special_tokens",
            ) from error
        return cls.from_arrays(arrays, channels)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], channels: int | None = None) -> SpecialTokens:
        """From arrays under the file's names; arguments and errors as in :meth:`read`."""
        width = channels
        rows = {}
        for name, count in SPECIAL_ROWS.items():
            if name not in arrays:
                raise CheckpointError(
                    f"the special tokens lack the array {name!r}; needed are "
                    f"{', '.join(SPECIAL_ROWS)}",
                    field=name,
                )
            array = np.asarray(arrays[name])
            width = array.shape[-1] if width is None and array.ndim == 2 else width
            rows[name] = _checked_rows(name, array, (count, width))
        return cls(rows["caption_token"][0], rows["logo_token"][0], rows["other_tokens"])

    def row(self, name: str, remaining: int = DURATIONS) -> Tensor:
        """The token's row, [channels].

        Args:
            remaining: chunks that remain, the present one included; read by DURATION alone.
        """
        if name == "CAPTION_TOKEN":
            return self.caption
        if name == "LOGO_TOKEN":
            return self.logo
        if name == DURATION:
            return self.other[FIRST_DURATION_ROW - 1 + min(remaining, DURATIONS)]
        return self.other[OTHER_TOKENS[name]]

    def before(self, names: Sequence[str], remaining: int = DURATIONS) -> Tensor:
        """Rows that stand before the caption when ``names`` are prepended in this order."""
        rows = [self.row(name, remaining) for name in reversed(names)]
        return torch.stack(rows) if rows else self.other[:0]


def _checked_rows(name: str, array: Any, shape: tuple[int, int | None]) -> Tensor:
    if array.shape != shape:
        raise CheckpointError(
            f"special token array {name!r} has shape {list(array.shape)}, but the model needs "
            f"{list(shape)}; use the file that belongs to it",
            field=name,
        )
    if array.dtype.kind != "f":
        raise CheckpointError(
            f"special token array {name!r} holds {array.dtype}; it must be float64", field=name
        )
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise CheckpointError(
            f"special token array {name!r} holds NaN, infinity or numbers beyond float16",
            field=name,
        )
    return torch.from_numpy(rounded.astype(np.float32))


def token_names(flags: Collection[str]) -> tuple[str, ...]:
    """Tokens to prepend, first one first, for the switches that are on.

    Raises:
        OptionError: a switch is unknown.
    """
    for flag in flags:
        if flag not in FLAG_TOKENS and flag != NEGATIVE_FLAG:
            raise OptionError(
                f"switch {flag!r} is unknown; use {', '.join((*FLAG_TOKENS, NEGATIVE_FLAG))}",
                field="flags",
            )
    return tuple(token for flag, token in FLAG_TOKENS.items() if flag in flags)


def chunks_remaining(chunk: int, total: int | None) -> int:
    """k of DURATION_k: chunks that remain with this one, 1..8; 8 in a stream without end.

    Args:
        chunk: counted from the first generated one.
        total: chunks to generate, or None.
    """
    return DURATIONS if total is None else max(1, min(total - chunk, DURATIONS))


def caption_rows_for_chunk(
    rows: Tensor,
    mask: Tensor | None = None,
    *,
    tokens: SpecialTokens | None,
    flags: Collection[str] = RELEASED_FLAGS,
    chunk: int = 0,
    total: int | None = None,
    max_length: int | None = None,
) -> Tensor:
    """The rows that one chunk's cross-attention reads: special tokens, then the prompt's own.

    Args:
        rows: [L, channels], from the text encoder.
        mask: [L], 1 where a row is of a real token; None: all are.
        tokens: None for models without such tokens.
        chunk, total: as in :func:`chunks_remaining`.
        max_length: the caption length everything is cut to; None: L.

    Returns:
        [tokens, channels] float32.
    """
    real = torch.ones(len(rows)) if mask is None else mask
    before = tokens.before(token_names(flags), chunks_remaining(chunk, total)) if tokens else None
    limit = len(rows) if max_length is None else max_length
    padded, kept = _prepend(rows.float(), real, before, limit)
    return padded[kept > 0]


def conditioning(
    caption: Tensor,
    mask: Tensor,
    null_caption: Tensor,
    *,
    tokens: SpecialTokens | None,
    flags: Collection[str],
    chunks: int,
    clean_chunks: int = 0,
) -> tuple[Tensor, Tensor]:
    """All rows of a run in the published layout, text in row 0 and "no text" in row 1.

    Args:
        caption: [L, channels] padded text rows; mask: [L].
        null_caption: [L, channels], the learned rows of "no text".
        chunks: of the run, the given ones included; clean_chunks: whole given ones.

    Returns:
        y [2, chunks, L, channels] and mask [2, chunks, L], both float32.
    """
    length, names = len(caption), token_names(flags)
    null, null_mask = null_caption.float(), (torch.arange(length) < NULL_TOKENS).float()
    text = [(null, torch.zeros(length))] * clean_chunks
    for chunk in range(chunks - clean_chunks):
        remaining = chunks_remaining(chunk, chunks - clean_chunks)
        before = tokens.before(names, remaining) if tokens else None
        text.append(_prepend(caption.float(), mask, before, length))
    if tokens and NEGATIVE_FLAG in flags:
        null, _ = _prepend(null, null_mask, tokens.before(NEGATIVE_TOKENS), length)
    nothing = [(null, null_mask)] * chunks
    if not sum(float(part.sum()) for _, part in text):
        text = nothing
    y = torch.stack([torch.stack([row for row, _ in half]) for half in (text, nothing)])
    masks = torch.stack([torch.stack([part for _, part in half]) for half in (text, nothing)])
    return y, masks


def _prepend(
    rows: Tensor, mask: Tensor, before: Tensor | None, length: int
) -> tuple[Tensor, Tensor]:
    """Rows and float mask with ``before`` in front, cut to ``length``."""
    mask = mask.to(rows.device, torch.float32)
    if before is None:
        return rows[:length], mask[:length]
    both = torch.cat((before.to(rows), rows))
    return both[:length], torch.cat((mask.new_ones(len(before)), mask))[:length]
