"""Everything of a stream that changes; a copy of it is a second stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import OptionError, SnapshotError
from magi_rt.models.inputs import TextContext
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.sampling.noise import check_seed
from magi_rt.sampling.window import CallPlan, ChunkWindow


@dataclass(frozen=True)
class ChunkText:
    """A prompt and what the network needs of it.

    prompt: what the user said, kept with the chunk and in snapshots.
    context: cross-attention keys and values; never empty, "no prompt" is the null text.
    """

    prompt: str
    context: TextContext


@dataclass(frozen=True)
class Chunk:
    """A chunk in flight, or the finished one that the memory does not hold yet.

    index: absolute chunk number, whole chunks of the given beginning included.
    latents: [channels, chunk_width, H, W] float32, a view into the state's buffer.
    steps_done: denoising steps behind it.
    """

    index: int
    text: ChunkText
    latents: Tensor
    steps_done: int = 0


@dataclass(frozen=True)
class Beginning:
    """The given latents that a stream continues (paper 2.5).

    chunks: whole clean chunks; they are only in the memory.
    pinned: [channels, r, H, W] float32, given frames of the first generated chunk, r may be 0.
    """

    chunks: int
    pinned: Tensor

    @property
    def frames(self) -> int:
        """Given frames inside the first generated chunk."""
        return int(self.pinned.shape[1])


@dataclass
class StreamState:
    """One stream between two calls. Only :class:`ChunkPipeline` writes it.

    seed: noise follows from it and the chunk index.
    window: chunks in flight.
    latents: [channels, (size + 1) * chunk_width, H, W] float32: slot 0 for the finished chunk,
        then the chunks in flight, so that every call is one contiguous view.
    spare: like ``latents``; the next step is written here, then both change places.
    """

    seed: int
    window: ChunkWindow[Chunk]
    latents: Tensor
    spare: Tensor
    cache: RollingKVCache
    beginning: Beginning
    chunk_width: int

    @property
    def exhausted(self) -> bool:
        """True when all chunks of a stream that ends are finished."""
        return self.window.exhausted

    def slot(self, buffer: Tensor, first: int, count: int = 1) -> Tensor:
        """View of ``count`` chunks of ``latents`` or ``spare``, from slot ``first`` on."""
        return buffer[:, first * self.chunk_width : (first + count) * self.chunk_width]

    def chunks_of(self, plan: CallPlan) -> tuple[Chunk, ...]:
        """The chunks that a planned call holds, one per range."""
        finished, in_flight = self.window.finished, self.window.in_flight
        return (finished, *in_flight) if plan.write_clean and finished else in_flight

    def take(self, window: ChunkWindow[Chunk]) -> None:
        """The step in ``spare`` becomes the present; a single statement, as interrupts go."""
        self.window, self.latents, self.spare = window, self.spare, self.latents

    def clone(self) -> StreamState:
        """An independent copy that continues exactly as this one."""
        latents = self.latents.clone()
        return replace(
            self,
            window=_bind(self.window, latents, self.chunk_width),
            latents=latents,
            spare=torch.empty_like(latents),
            cache=self.cache.clone(),
        )

    def let_go(self) -> None:
        """Frees latents and memory; the numbers stay, and the stream cannot go on."""
        self.window = replace(self.window, in_flight=(), finished=None)
        self.latents = self.spare = self.latents.new_empty(0)
        self.cache.let_go()

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and a card that JSON can hold; :func:`from_tensors` is the inverse.

        The tensors lie in main memory. Text is kept as prompts: what the network needs of it is
        computed again.
        """
        window = self.window
        given = {"latents": self.latents, "pinned": self.beginning.pinned}
        tensors = {name: value.to("cpu", copy=True) for name, value in given.items()}
        tensors |= {f"cache.{name}": value for name, value in self.cache.to_tensors().items()}
        card = {
            "seed": self.seed,
            "chunk_width": self.chunk_width,
            "size": window.size,
            "steps": window.steps,
            "next_index": window.next_index,
            "end": window.end,
            "in_flight": [_card(chunk) for chunk in window.in_flight],
            "finished": _card(window.finished) if window.finished else None,
            "given_chunks": self.beginning.chunks,
            "depth": self.cache.depth,
            "cached": list(self.cache.chunks),
            "cache_base": self.cache.base,
        }
        return tensors, card


def from_tensors(
    tensors: dict[str, Tensor],
    card: dict[str, Any],
    *,
    cache: RollingKVCache,
    text_for: Callable[[int, str], ChunkText],
) -> StreamState:
    """A state from what :meth:`StreamState.to_tensors` gave.

    Args:
        cache: a new one of the card's depth, for latents of the saved size.
        text_for: the text of a chunk, from its number (counted from the first generated one)
            and its prompt.

    Raises:
        SnapshotError: the card lacks a key or holds a wrong one.
        ShapeError: the saved memory does not fit the cache.
    """
    try:
        device, width = cache.keys.device, index(card["chunk_width"])
        latents = tensors["latents"].to(device, torch.float32, copy=True)
        saved = {name: tensors[f"cache.{name}"] for name in ("keys", "values")}
        cache.load_tensors(saved, tuple(map(index, card["cached"])), index(card["cache_base"]))
        window = _window(card, latents, text_for)
        state = StreamState(
            seed=check_seed(index(card["seed"])),
            window=_bind(window, latents, width),
            latents=latents,
            spare=torch.empty_like(latents),
            cache=cache,
            beginning=Beginning(index(card["given_chunks"]), tensors["pinned"].to(device)),
            chunk_width=width,
        )
    except OptionError as error:
        raise SnapshotError(
            f"the saved stream is damaged: {error.message}", field="seed"
        ) from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SnapshotError(f"the saved stream is damaged: {error!r}") from error
    if latents.dim() != 4 or latents.shape[1] != (window.size + 1) * width:
        raise SnapshotError(
            f"the saved latents have shape {tuple(latents.shape)}, but a window of {window.size} "
            f"needs {(window.size + 1) * width} latent frames",
            field="latents",
        )
    return state


def _card(chunk: Chunk) -> dict[str, Any]:
    return {"index": chunk.index, "prompt": chunk.text.prompt, "steps_done": chunk.steps_done}


def _window(
    card: dict[str, Any], latents: Tensor, text_for: Callable[[int, str], ChunkText]
) -> ChunkWindow[Chunk]:
    def chunk(entry: dict[str, Any]) -> Chunk:
        place, prompt = index(entry["index"]), entry["prompt"]
        if type(prompt) is not str:
            raise TypeError(f"a prompt is {prompt!r}")
        text = text_for(place - index(card["given_chunks"]), prompt)
        return Chunk(place, text, latents, index(entry["steps_done"]))

    finished = card["finished"]
    return ChunkWindow(
        size=index(card["size"]),
        steps=index(card["steps"]),
        next_index=index(card["next_index"]),
        end=None if card["end"] is None else index(card["end"]),
        in_flight=tuple(chunk(entry) for entry in card["in_flight"]),
        finished=None if finished is None else chunk(finished),
    )


def _bind(window: ChunkWindow[Chunk], latents: Tensor, width: int) -> ChunkWindow[Chunk]:
    """The window with its chunks' latents as views into a buffer."""

    def view(chunk: Chunk, slot: int) -> Chunk:
        return replace(chunk, latents=latents[:, slot * width : (slot + 1) * width])

    return replace(
        window,
        in_flight=tuple(view(chunk, 1 + place) for place, chunk in enumerate(window.in_flight)),
        finished=None if window.finished is None else view(window.finished, 0),
    )


def at_steps(window: ChunkWindow[Chunk], steps: int) -> ChunkWindow[Chunk]:
    """The window at the start of a stage, going on with another number of steps.

    Chunks in flight stand at quarters, halves or other whole stages of the way there, which every
    grid of times has in common, so only the count of their steps changes.
    """
    assert not window.step and steps % window.size == 0

    def counted(chunk: Chunk) -> Chunk:
        return replace(chunk, steps_done=chunk.steps_done * steps // window.steps)

    return replace(
        window,
        steps=steps,
        in_flight=tuple(counted(chunk) for chunk in window.in_flight),
        finished=None if window.finished is None else counted(window.finished),
    )


def with_text(chunks: Sequence[Chunk], text: ChunkText) -> tuple[Chunk, ...]:
    """The same chunks under another prompt."""
    return tuple(replace(chunk, text=text) for chunk in chunks)
