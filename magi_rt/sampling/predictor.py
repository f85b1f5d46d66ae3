"""Predictor: turns a planned call into calls of the executor, and their answers into views."""

from __future__ import annotations

from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.sampling.guidance import View, Weights, chunks_alone, views_needed
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import StreamState
from magi_rt.sampling.window import CallPlan

Views = dict[View, Tensor]
"""Velocities of one chunk, [channels, chunk_width, H, W] float32 each."""


class Predictor:
    """Asks the executor for no more views and no more chunks than the guidance weighs.

    The view without history needs no neighbours: when it covers all ranges of the call it runs
    along as one more branch, otherwise in a call of its own with only the chunks that need it.
    """

    def __init__(self, executor: Executor, sampler: SamplerConfig) -> None:
        self.executor, self.sampler = executor, sampler
        self.null = executor.prepare_text(executor.null_text())

    def remember(self, state: StreamState, chunk: int, latents: Tensor) -> None:
        """Reads one whole given chunk into the memory."""
        branch = Branch(
            texts=(self.null,),
            visible=(self.sampler.visibility.given(chunk),),
            drop=self.sampler.guidance.memory_view is View.HISTORY,
        )
        inputs = DenoiseInputs(
            latents=latents,
            times=(self.sampler.clean_time,),
            first_chunk=chunk,
            branches=(branch,),
            step_code=self.sampler.step_code(0),
            stage_branch=0,
        )
        self.executor.denoise(inputs, state.cache)
        state.cache.commit(chunk)

    def predict(
        self, state: StreamState, plan: CallPlan, weights: tuple[Weights, ...]
    ) -> list[Views]:
        """Velocities of every chunk in flight in the views that it needs."""
        memory = self.sampler.guidance.memory_view if plan.write_clean else None
        views = views_needed(weights, memory)
        alone = chunks_alone(weights)
        branches = [self._branch(view, state, plan) for view in views]
        together = not plan.write_clean and len(alone) == len(weights)
        if together:
            views = (*views, View.ALONE)
            branches.append(self._branch_alone(state, alone))
        found: list[Views] = [{} for _ in weights]
        if branches:
            inputs = DenoiseInputs(
                latents=state.slot(state.latents, int(not plan.write_clean), len(plan.times)),
                times=plan.times,
                first_chunk=plan.first_chunk,
                branches=tuple(branches),
                step_code=self.sampler.step_code(plan.step),
                stage_branch=None if memory is None else views.index(memory),
            )
            velocities = self.executor.denoise(inputs, state.cache)
            skip = int(plan.write_clean)
            for view, velocity in zip(views, velocities, strict=True):
                _share(found, range(len(weights)), view, velocity, state.chunk_width, skip)
        if alone and not together:
            velocity = self._predict_alone(state, plan, alone)
            _share(found, alone, View.ALONE, velocity, state.chunk_width)
        return found

    def _predict_alone(self, state: StreamState, plan: CallPlan, places: range) -> Tensor:
        """A call of its own for the chunks that are also seen without history."""
        inputs = DenoiseInputs(
            latents=state.slot(state.latents, 1 + places.start, len(places)),
            times=plan.noisy_times[places.start : places.stop],
            first_chunk=state.window.in_flight[places.start].index,
            branches=(self._branch_alone(state, places),),
            step_code=self.sampler.step_code(plan.step),
        )
        return self.executor.denoise(inputs, state.cache)[0]

    def _branch(self, view: View, state: StreamState, plan: CallPlan) -> Branch:
        null, chunks = self.null, state.window.in_flight
        texts = [chunk.text.context if view is View.TEXT else null for chunk in chunks]
        if plan.write_clean:  # a finished chunk has no prompt in any view
            texts.insert(0, null)
        return Branch(tuple(texts), plan.visible, drop=view is View.HISTORY)

    def _branch_alone(self, state: StreamState, places: range) -> Branch:
        """Guided models drop the text as well; distilled ones keep it."""
        guided = self.sampler.guidance.guided
        chunks = state.window.in_flight[places.start : places.stop]
        texts = [self.null if guided else chunk.text.context for chunk in chunks]
        return Branch(tuple(texts), (1,) * len(texts), drop=guided)


def _share(
    found: list[Views], places: range, view: View, velocity: Tensor, width: int, skip: int = 0
) -> None:
    """Gives every chunk its part of [channels, R * width, H, W]; ``skip`` ranges come first."""
    parts = velocity.split(width, dim=1)[skip:]
    for place, part in zip(places, parts, strict=True):
        found[place][view] = part
