"""Predictor: turns a planned call into calls of the executor, and their answers into views."""

from __future__ import annotations

from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.models.inputs import Branch, DenoiseInputs, TextContext
from magi_rt.sampling.guidance import View, Weights, chunks_alone, views_needed
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import Chunk, StreamState
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
            drop=self.drops_text(self.sampler.guidance.memory_view),
        )
        inputs = DenoiseInputs(
            latents=latents,
            times=(self.sampler.clean_time,),
            first_chunk=chunk,
            branches=(branch,),
            step_code=self.sampler.step_code(0),
            stage_branch=0,
        )
        state.cache.settle()
        self.executor.denoise(inputs, state.cache)
        state.cache.commit(chunk)

    def predict(
        self, state: StreamState, plan: CallPlan, weights: tuple[Weights, ...]
    ) -> list[Views]:
        """Velocities of every chunk in flight in the views that it needs."""
        state.cache.settle()
        first, ranges = int(plan.write_clean), range(len(plan.times))
        memory = self.sampler.guidance.memory_view if plan.write_clean else None
        views, alone = views_needed(weights, memory), chunks_alone(weights)
        calls = [(ranges, views)] if views else []
        if alone and len(alone) == len(ranges):
            calls = [(ranges, (*views, View.ALONE))]
        elif alone:
            calls.append((range(first + alone.start, first + alone.stop), (View.ALONE,)))
        found: list[Views] = [{} for _ in weights]
        for some, asked in calls:
            velocities = self._call(state, plan, some, asked, memory if memory in asked else None)
            for view, velocity in zip(asked, velocities, strict=True):
                parts = velocity.split(state.chunk_width, dim=1)
                for place, part in zip(some, parts, strict=True):
                    if place >= first:
                        found[place - first][view] = part
        return found

    def _call(
        self,
        state: StreamState,
        plan: CallPlan,
        ranges: range,
        views: tuple[View, ...],
        memory: View | None,
    ) -> Tensor:
        """Velocities [views, channels, R * chunk_width, H, W] of some ranges of a planned call."""
        chunks = state.chunks_of(plan)[ranges.start : ranges.stop]
        visible = _widths(plan, state.cache.depth)[ranges.start : ranges.stop]
        slot = ranges.start + int(not plan.write_clean)
        inputs = DenoiseInputs(
            latents=state.slot(state.latents, slot, len(ranges)),
            times=plan.times[ranges.start : ranges.stop],
            first_chunk=plan.first_chunk + ranges.start,
            branches=tuple(self._branch(view, chunks, visible) for view in views),
            step_code=self.sampler.step_code(plan.step),
            stage_branch=None if memory is None else views.index(memory),
        )
        return self.executor.denoise(inputs, state.cache)

    def _branch(self, view: View, chunks: tuple[Chunk, ...], visible: tuple[int, ...]) -> Branch:
        return Branch(
            texts=tuple(self.text_of(view, chunk) for chunk in chunks),
            visible=(1,) * len(chunks) if view is View.ALONE else visible,
            drop=self.drops_text(view),
        )

    def drops_text(self, view: View) -> bool:
        """Guided models drop the text in both views without a prompt; distilled ones never do."""
        return self.sampler.guidance.guided and view is not View.TEXT

    def text_of(self, view: View, chunk: Chunk) -> TextContext:
        """What a view is told about a chunk; a finished chunk has no prompt in any view."""
        finished = chunk.steps_done == self.sampler.steps
        return self.null if finished or self.drops_text(view) else chunk.text.context


def _widths(plan: CallPlan, depth: int) -> tuple[int, ...]:
    """How many chunks every range of a call may see, the same in all steps of a stage.

    In the call that reads the finished chunk, the memory still holds one that this will push out.
    """
    if not plan.write_clean:
        return plan.visible
    finished, *noisy = plan.visible
    return (finished, *(min(width, depth + place) for place, width in enumerate(noisy, 1)))
