"""Text -> token numbers, by the library that each kind of tokenizer file belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from magi_rt.errors import CheckpointError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer as Pieces

JSON_NAME, SENTENCEPIECE_NAME = "tokenizer.json", "spiece.model"
TOKENIZER_FILES = (JSON_NAME, SENTENCEPIECE_NAME)
END = "</s>"


class Tokenizer(Protocol):
    """What reads a prompt for a T5."""

    @property
    def end(self) -> int:
        """The number of the end-of-text token."""

    def pieces(self, text: str) -> list[int]:
        """The numbers of a text's own tokens."""

    def vocabulary(self) -> dict[str, int]:
        """All tokens with their numbers."""


class JsonTokenizer:
    """A ``tokenizer.json``, as the tokenizers library keeps it.

    Args:
        inner: it neither cuts nor pads, whatever its file says.

    Raises:
        ValueError: it has no end-of-text token.
    """

    def __init__(self, inner: Pieces) -> None:
        inner.no_truncation()
        inner.no_padding()
        end = inner.token_to_id(END)
        if end is None:
            raise ValueError(f"it has no token {END}")
        self.inner, self.end = inner, end

    def pieces(self, text: str) -> list[int]:
        return self.inner.encode(text, add_special_tokens=False).ids

    def vocabulary(self) -> dict[str, int]:
        return self.inner.get_vocab()


class SentencePieceTokenizer:
    """A ``spiece.model``, as T5 was published with."""

    def __init__(self, inner: SentencePieceProcessor) -> None:
        self.inner = inner
        self.end: int = inner.eos_id()
        if self.end < 0:
            raise ValueError(f"it has no token {END}")

    def pieces(self, text: str) -> list[int]:
        ids: list[int] = self.inner.encode(text)
        return ids

    def vocabulary(self) -> dict[str, int]:
        return {self.inner.id_to_piece(number): number for number in range(len(self.inner))}


def token_ids(tokenizer: Tokenizer, text: str, max_length: int) -> list[int]:
    """The tokens of a text, cut so that with the end-of-text token they are ``max_length``."""
    return [*tokenizer.pieces(text)[: max_length - 1], tokenizer.end]


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a T5 folder; where it has both files, the ``tokenizer.json``.

    Raises:
        CheckpointError: it has neither file, or the file is damaged.
    """
    check_tokenizer(folder)
    try:
        if (folder / JSON_NAME).is_file():
            from tokenizers import Tokenizer as Pieces

            return JsonTokenizer(Pieces.from_file(str(folder / JSON_NAME)))
        from sentencepiece import SentencePieceProcessor

        return SentencePieceTokenizer(
            SentencePieceProcessor(model_file=str(folder / SENTENCEPIECE_NAME))
        )
    except Exception as error:  # both libraries raise bare exceptions
        raise CheckpointError(
            f"the tokenizer in {folder} cannot be read: {error}", field="tokenizer"
        ) from error


def check_tokenizer(folder: Path) -> None:
    """Refuses a folder without a tokenizer's file; reads nothing.

    Raises:
        CheckpointError: there is none.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer; copy {' or '.join(TOKENIZER_FILES)} into it",
            field="tokenizer",
        )
