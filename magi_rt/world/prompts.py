"""What the user said -> what the network needs of it, with the recent ones remembered."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.backends.remembered import Remembered
from magi_rt.errors import OptionError
from magi_rt.models.inputs import TextContext
from magi_rt.models.special_tokens import (
    DURATIONS,
    RELEASED_FLAGS,
    caption_rows_for_chunk,
    chunks_remaining,
)
from magi_rt.sampling.stream_state import ChunkText
from magi_rt.world.prompt_text import plain_prompt

UNREAD = " counts as no prompt, because cleaning leaves nothing of it: say it in English words"
CUT = " is at least as long as is read: the model takes"
KEPT = 64
KEPT_BYTES = 2**30


class PromptBook:
    """Reads prompts with an executor and remembers the last ones, so that repeating costs nothing.

    One thread at a time may use it; forks of a world share one.

    Args:
        executor: encodes text and prepares it for cross-attention; has the special tokens.
        flags: which of the model's special tokens stand before every prompt; the default is what
            the released models were launched with.
        kept: prompts remembered, 1 or more.
        kept_bytes: memory they may take together; the newest is kept however large it is.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        flags: Collection[str] = RELEASED_FLAGS,
        kept: int = KEPT,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        if kept < 1:
            raise OptionError(f"{kept} prompts cannot be remembered; keep 1 or more", field="kept")
        self.executor, self.flags = executor, tuple(flags)
        self._rows: Remembered[Tensor] = Remembered(kept, kept_bytes)
        self._contexts: Remembered[TextContext] = Remembered(kept, kept_bytes)

    def text(self, prompt: str) -> ChunkText:
        """The prompt for any chunk of a stream without end; errors as in :meth:`text_for`."""
        return self.text_for(prompt, 0)

    def text_for(self, prompt: str, chunk: int, total: int | None = None) -> ChunkText:
        """The prompt for one chunk.

        A prompt of which cleaning leaves nothing becomes the model's "no text".

        Args:
            prompt: what the user said; it stays as it is in ``ChunkText.prompt``.
            chunk: counted from the first generated one.
            total: chunks to generate; None: without end. Models with special tokens are told how
                many chunks remain, up to 8.

        Raises:
            PromptError: it is no text or too long, or the model has no text encoder.
        """
        checked = plain_prompt(prompt)
        remaining = chunks_remaining(chunk, total) if self.executor.special_tokens else DURATIONS
        context = self._contexts.get(
            (checked, remaining), lambda: self._prepare(checked, chunk, total)
        )
        return ChunkText(prompt, context)

    def unread(self, prompt: str) -> str:
        """What to say of a prompt that is not read, or not to its end; "" for any other.

        Errors as in `text_for`.
        """
        checked = plain_prompt(prompt)
        if not checked:
            return ""
        read = len(self._rows.get(checked, lambda: self._encode(checked)))
        if read >= self.executor.config.model.caption_max_length:
            return f"{CUT} {read} tokens"
        return "" if read else UNREAD

    def _prepare(self, checked: str, chunk: int, total: int | None) -> TextContext:
        rows = self._rows.get(checked, lambda: self._encode(checked))
        if not len(rows):
            return self.executor.prepare_text(self.executor.null_text())
        padded = caption_rows_for_chunk(
            rows,
            tokens=self.executor.special_tokens,
            flags=self.flags,
            chunk=chunk,
            total=total,
            max_length=self.executor.config.model.caption_max_length,
        )
        return self.executor.prepare_text(padded)

    def _encode(self, checked: str) -> Tensor:
        if not checked:
            return torch.zeros(0, self.executor.config.model.caption_channels)
        return self.executor.encode_text(checked)
