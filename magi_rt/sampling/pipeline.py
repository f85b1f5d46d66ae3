"""ChunkPipeline: moves a stream on, chunk by chunk. It holds nothing of a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.errors import OptionError, ShapeError
from magi_rt.sampling.guidance import combine
from magi_rt.sampling.noise import check_seed, chunk_noise
from magi_rt.sampling.predictor import Predictor
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import (
    Beginning,
    Chunk,
    ChunkText,
    StreamState,
    at_steps,
    with_text,
)
from magi_rt.sampling.window import CallPlan, ChunkWindow, plan_call

NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]
"""(seed, absolute chunk index, shape) -> standard normal float32."""


@dataclass(frozen=True)
class FinishedChunk:
    """A chunk without noise.

    index: counted from the first generated chunk.
    prompt: what shaped it.
    latents: [channels, frames, H, W] float32; fewer than chunk_width frames when the chunk began
        with given ones.
    """

    index: int
    prompt: str
    latents: Tensor


class ChunkPipeline:
    """Generates streams with one executor.

    Args:
        executor: runs the networks.
        sampler: steps, window, guidance and visibility.
        noise: where the noise of a chunk comes from.
    """

    def __init__(
        self, executor: Executor, sampler: SamplerConfig, noise: NoiseSource = chunk_noise
    ) -> None:
        self.executor, self.sampler, self.noise = executor, sampler, noise
        self.predictor = Predictor(executor, sampler)
        self._predictors = {sampler.steps: self.predictor}

    @torch.no_grad()
    def new_state(
        self,
        *,
        seed: int,
        latent_height: int,
        latent_width: int,
        prefix: Tensor | None = None,
        total_chunks: int | None = None,
    ) -> StreamState:
        """A stream at its beginning.

        Args:
            seed: 0 .. 2**63 - 1.
            prefix: scaled latents [channels, P, H, W] that the stream continues: whole chunks of
                them go into the memory, the rest is pinned at the start of the first chunk.
            total_chunks: chunks to generate; ``None``: without end.

        Raises:
            OptionError: seed or total_chunks is out of range, or a depth is needed.
            ShapeError: the latent size does not fit the model or the prefix.
        """
        if total_chunks is not None and total_chunks < 1:
            raise OptionError(
                f"a stream of {total_chunks} chunks is empty; ask for 1 or more, or for None",
                field="total_chunks",
            )
        size = (self.executor.config.model.latent_channels, latent_height, latent_width)
        given = _checked_prefix(prefix, size)
        width, window = self.sampler.chunk_width, self.sampler.window
        whole = given.shape[1] // width
        cache = self.executor.new_cache(
            latent_height, latent_width, self.sampler.memory_depth(whole, total_chunks)
        )
        given = given.to(cache.keys.device, torch.float32)
        latents = given.new_zeros(size[0], (window + 1) * width, latent_height, latent_width)
        state = StreamState(
            seed=check_seed(seed),
            window=ChunkWindow(
                size=window,
                steps=self.sampler.steps,
                next_index=whole,
                end=None if total_chunks is None else whole + total_chunks,
            ),
            latents=latents,
            spare=latents.new_empty(latents.shape),
            cache=cache,
            beginning=Beginning(whole, given[:, whole * width :].clone()),
            chunk_width=width,
        )
        for chunk in range(whole):
            self.predictor.remember(state, chunk, given[:, chunk * width : (chunk + 1) * width])
        return state

    @torch.no_grad()
    def advance(self, state: StreamState, text_for: Callable[[int], ChunkText]) -> FinishedChunk:
        """Runs the stream until its oldest chunk in flight is finished.

        An exception on the way leaves a state that can be advanced again, without loss.

        Args:
            text_for: gives the text of a chunk, counted from the first generated one, when the
                chunk is admitted.

        Raises:
            OptionError: all chunks of a stream that ends are finished.
        """
        if state.exhausted:
            count = state.window.next_index - state.beginning.chunks
            raise OptionError(
                f"all {count} chunks of this stream are finished; begin one with a larger "
                "total_chunks, or without",
                field="total_chunks",
            )
        return emitted(state, self.finish_chunk(state, text_for))

    def finish_chunk(self, state: StreamState, text_for: Callable[[int], ChunkText]) -> Chunk:
        """Steps until the oldest chunk in flight is finished, as it lies in the stream's memory."""
        while True:
            self._admit(state, text_for)
            self.step(state)
            if state.window.finished is not None:
                return state.window.finished

    def reprompt(self, state: StreamState, text: ChunkText) -> None:
        """The chunks in flight take a new text from the next step on."""
        state.window = replace(state.window, in_flight=with_text(state.window.in_flight, text))

    def take_steps(self, state: StreamState, steps: int) -> None:
        """The stream goes on with another number of steps per chunk.

        In the middle of a stage (after a call that failed there) nothing changes.

        Raises:
            OptionError: the steps do not divide among the chunks in flight.
        """
        if steps != state.window.steps and not state.window.step:
            self._predictor_at(steps)
            state.window = at_steps(state.window, steps)

    def take_back(self, state: StreamState, window: ChunkWindow[Chunk]) -> bool:
        """Forgets new texts, chunks and step counts since ``window`` was the state's.

        Returns:
            False when a step has been done since: then nothing changes.
        """
        if state.window.way != window.way:
            return False
        state.window = window
        return True

    def _predictor_at(self, steps: int) -> Predictor:
        """What asks the executor in streams of so many steps; made once for each."""
        if steps not in self._predictors:
            self._predictors[steps] = Predictor(self.executor, self.sampler.at_steps(steps))
        return self._predictors[steps]

    def _admit(self, state: StreamState, text_for: Callable[[int], ChunkText]) -> None:
        window = state.window
        if not window.wants_chunk:
            return
        index = window.next_index
        text = text_for(index - state.beginning.chunks)
        latents = state.slot(state.latents, 1 + len(window.in_flight))
        latents.copy_(self.noise(state.seed, index, tuple(latents.shape)))
        state.window = window.admit(Chunk(index, text, latents))

    def step(self, state: StreamState) -> None:
        """One denoising step of every chunk in flight."""
        _pin(state)
        plan = plan_call(state.window, self._predictor_at(state.window.steps).sampler)
        stepped = self._integrate(state, self.velocities(state, plan))
        # A call that is repeated after an interrupt may find its finished chunk committed.
        if plan.write_clean and plan.first_chunk not in state.cache.chunks:
            state.cache.commit(plan.first_chunk)
        state.take(state.window.advance(stepped))

    def velocities(self, state: StreamState, plan: CallPlan) -> list[Tensor]:
        """Guided velocity of every chunk in flight, [channels, chunk_width, H, W] float32 each."""
        weights = self.sampler.guidance.weights(plan.noisy_times)
        views = self._predictor_at(state.window.steps).predict(state, plan, weights)
        return [combine(seen, each) for seen, each in zip(views, weights, strict=True)]

    def _integrate(self, state: StreamState, velocities: list[Tensor]) -> list[Chunk]:
        """Euler step of every chunk in flight, written to the spare buffer where it is next."""
        first = 0 if state.window.oldest_ends else 1  # slot 0 is for the finished chunk
        increments = self._predictor_at(state.window.steps).sampler.increments
        stepped = []
        for place, (chunk, velocity) in enumerate(
            zip(state.window.in_flight, velocities, strict=True)
        ):
            target = state.slot(state.spare, first + place)
            torch.add(chunk.latents, velocity * increments[chunk.steps_done], out=target)
            stepped.append(replace(chunk, latents=target, steps_done=chunk.steps_done + 1))
        return stepped


def _checked_prefix(prefix: Tensor | None, size: tuple[int, int, int]) -> Tensor:
    channels, height, width = size
    if prefix is None:
        return torch.zeros(channels, 0, height, width)
    shape = tuple(prefix.shape)
    if prefix.dim() != 4 or (shape[0], *shape[2:]) != size:
        raise ShapeError(
            f"the prefix has shape {shape}; latents of this stream are "
            f"[{channels}, frames, {height}, {width}]",
            field="prefix",
        )
    return prefix


def _pin(state: StreamState) -> None:
    """Puts the given frames back into the first generated chunk."""
    beginning, window = state.beginning, state.window
    if beginning.frames == 0:
        return
    for chunk in (window.finished, *window.in_flight):
        if chunk is not None and chunk.index == beginning.chunks:
            chunk.latents[:, : beginning.frames].copy_(beginning.pinned)


def emitted(state: StreamState, chunk: Chunk) -> FinishedChunk:
    """The finished chunk without its given frames.

    One given picture stays in: it is shown as the first frame, as the last step left it.
    """
    beginning = state.beginning
    index, first = chunk.index - beginning.chunks, 0
    if index == 0 and not (beginning.chunks == 0 and beginning.frames == 1):
        first = beginning.frames
    return FinishedChunk(index, chunk.text.prompt, chunk.latents[:, first:].clone())
