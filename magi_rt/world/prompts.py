"""What the user said -> what the network needs of it, with the recent ones remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
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

KEPT = 64
KEPT_BYTES = 2**30

Value = TypeVar("Value")


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
        self._rows: _Recent[Tensor] = _Recent(kept, kept_bytes, lambda rows: rows.nbytes)
        self._contexts: _Recent[TextContext] = _Recent(kept, kept_bytes, _context_bytes)

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


def _context_bytes(context: TextContext) -> int:
    return context.keys.nbytes + context.values.nbytes


class _Recent(Generic[Value]):
    """The values asked for last, bounded in number and bytes."""

    def __init__(self, kept: int, kept_bytes: int, size: Callable[[Value], int]) -> None:
        self._kept, self._kept_bytes, self._size = kept, kept_bytes, size
        self._items: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        found = self._items.get(key)
        if found is None:
            found = make()
            self._items[key] = found
            self._bytes += self._size(found)
            self._forget()
        self._items.move_to_end(key)
        return found

    def _forget(self) -> None:
        while len(self._items) > self._kept or (
            self._bytes > self._kept_bytes and len(self._items) > 1
        ):
            _, oldest = self._items.popitem(last=False)
            self._bytes -= self._size(oldest)
