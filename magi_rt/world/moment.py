"""One point of a world's timeline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from magi_rt.backends.room import room_for
from magi_rt.sampling.stream_state import StreamState
from magi_rt.world.deadline import StepChange
from magi_rt.world.orders import Order, PromptEvent
from magi_rt.world.run_log import RunLog
from magi_rt.world.start import Start


@dataclass(frozen=True)
class Moment:
    """All that a world is at one point of its timeline.

    Attributes:
        state: the stream; the only part that is changed in place.
        start: what the stream began with.
        chunks, frames: handed out so far.
        prompt: carried by the next chunk to be begun.
        events: the prompts that led here.
        changes: the step counts that led here, where they are not the world's own.
        script: the log that is followed, ``None`` for none.
        picture: [H, W, 3] uint8, the last one that was handed out; kept where the model's pictures
            are deflickered.
    """

    state: StreamState
    start: Start
    chunks: int = 0
    frames: int = 0
    prompt: str = ""
    events: tuple[PromptEvent, ...] = ()
    changes: tuple[StepChange, ...] = ()
    script: RunLog | None = None
    picture: NDArray[np.uint8] | None = None

    @property
    def replaying(self) -> bool:
        """True while the log says which prompts come."""
        return self.script is not None and self.chunks < self.script.chunks

    @property
    def unshown(self) -> bool:
        """True when the last chunk was not handed out, because making its pictures failed."""
        finished = self.state.window.finished
        return finished is not None and finished.index - self.state.beginning.chunks == self.chunks

    @property
    def stopped(self) -> bool:
        """True when a call failed after its first step: the next one has its chunk to finish, or to
        hand out, under the prompts that hold."""
        window = self.state.window
        stepped = any(chunk.steps_done for chunk in window.in_flight)
        return self.unshown or (window.finished is None and stepped)

    @room_for("a copy of the world's memory")
    def copy(self) -> Moment:
        """An independent moment that continues exactly as this one."""
        return replace(self, state=self.state.clone())


def event_of(moment: Moment, order: Order, prompt: str) -> PromptEvent | None:
    """The log entry of an order, ``None`` when it changes nothing."""
    window, begun = moment.state.window, moment.state.beginning.chunks
    urgent = order.at == "now" and bool(window.in_flight)
    in_flight = {chunk.text.prompt for chunk in window.in_flight} if urgent else set()
    if {prompt, *in_flight} == {order.prompt}:
        return None
    effect = window.in_flight[0].index if urgent else window.next_index
    return PromptEvent(moment.chunks, order.prompt, order.at, effect - begun)
