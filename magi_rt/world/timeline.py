"""The timeline of a world: where it is, where it was, and how it moves; no threads, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from magi_rt.errors import OptionError, PromptError
from magi_rt.frames import Frame
from magi_rt.world.deadline import steps_at
from magi_rt.world.machine import WorldMachine
from magi_rt.world.moment import Moment
from magi_rt.world.options import checked_whole
from magi_rt.world.orders import Begun, Order
from magi_rt.world.packing import log_of, pack, unpack
from magi_rt.world.run_log import RunLog
from magi_rt.world.snapshot import Snapshot

DEFAULT_HISTORY = 8
HISTORY_BYTES = 2**30
"""Unless a history is asked for, the kept moments take no more memory than this."""


class Timeline:
    """One moment that moves on, and the moments before it that can be gone back to.

    Attributes:
        history: copies of the moments before the last chunks, oldest first. They are never
            changed, so forks share them.
        notes: sentences for people on how much history is kept.
    """

    def __init__(
        self,
        machine: WorldMachine,
        moment: Moment,
        history: Sequence[Moment] = (),
    ) -> None:
        self.machine = machine
        self.moment = moment
        wish = machine.options.history
        kept, self.notes = _affordable(moment) if wish is None else (wish, ())
        self.history: deque[Moment] = deque(history, maxlen=kept)

    @classmethod
    def following(cls, machine: WorldMachine, log: RunLog) -> Timeline:
        """The beginning of a log, which calls without orders follow to its end."""
        moment = replace(machine.begin(), script=log)
        return cls(machine, machine.heed(moment, _last_orders(moment)))

    @property
    def steps(self) -> int:
        """Denoising steps per chunk that are being taken."""
        return self.moment.state.window.steps

    @property
    def window_is_full(self) -> bool:
        """True when the next call runs one stage, as all later ones will."""
        window = self.moment.state.window
        return len(window.in_flight) == window.size - 1

    def advance(self, call: Begun | None = None, steps: int | None = None) -> list[Frame]:
        """Generates the next chunk; a given order ends the following of a log.

        Args:
            call: its orders, ``None`` for none; ``gone`` tells afterwards, also when it fails,
                which of them hold or cannot be read.
            steps: denoising steps per chunk from now on, ``None`` for no change; while a log is
                followed its own hold.

        When anything goes wrong, also an interrupt, the moment is the one before the call. Without
        a history it is so until the first step is done; then the prompts hold, and the next call
        goes on from there. Prompts that are given to it shape what comes after that chunk.
        """
        call = call or Begun()
        for order in call.orders:  # refused before anything has moved
            try:
                self.machine.read_prompt(order.prompt)
            except PromptError:
                call.gone = (order,)
                raise
        chunks, stopped = self.moment.chunks, self.moment.stopped
        try:
            frames = self._advance(call.orders, steps)
        except BaseException:
            if self.moment.chunks > chunks or (self.moment.stopped and not stopped):
                call.gone = call.orders
            raise
        call.gone = call.orders
        return frames

    def _advance(self, orders: Sequence[Order], steps: int | None) -> list[Frame]:
        moment, script = self.moment, None if orders else self.moment.script
        if script is not None and moment.replaying:
            if not moment.stopped:  # else they came with the chunk that waits
                orders = _orders_at(script, moment.chunks)
            steps = steps_at(script.changes, moment.chunks, self._own_steps)
        kept, window = moment.copy() if self.history.maxlen else None, moment.state.window
        try:
            self.moment = replace(moment, script=script)
            frames = self._move(orders, steps or self.steps)
            if kept is not None:
                self.history.append(kept)
            return frames
        except BaseException:
            if kept is not None:
                self.moment = kept
            elif self.machine.pipeline.take_back(moment.state, window):
                self.moment = moment
            raise

    def _move(self, orders: Sequence[Order], steps: int) -> list[Frame]:
        """The next chunk, or the one that a failed call began; what is done of it stays done."""
        stopped = self.moment.stopped
        if not stopped:
            self.moment, orders = self.machine.heed(self.moment, orders), ()
        if not self.moment.unshown:
            self.moment = self.machine.denoise(self.moment, self.steps if stopped else steps)
        after, frames = self.machine.hand_out(self.moment)
        self.moment = self.machine.heed(after, [*orders, *_last_orders(after)])
        return frames

    @property
    def _own_steps(self) -> int:
        return self.machine.pipeline.sampler.steps

    def rewind(self, chunks: int, unseen: int = 0) -> None:
        """Goes back to before the last chunks.

        Args:
            unseen: chunks that go back besides.

        Raises:
            OptionError: that many are not kept.
        """
        kept = max(0, len(self.history) - unseen)
        try:
            chunks = checked_whole("chunks", chunks, 1, kept)
        except OptionError as error:
            raise OptionError(
                f"cannot rewind {chunks!r} chunks: {kept} are kept; {self._way_back(kept, unseen)}",
                field="chunks",
            ) from error
        self.moment = self.history[-chunks - unseen].copy()
        for _ in range(chunks + unseen):
            self.history.pop()

    def _way_back(self, kept: int, unseen: int) -> str:
        """What to do about a wish to rewind more chunks than are kept."""
        if kept:
            return f"give 1 to {kept}"
        if not self.history:
            return "advance first, and open the world with history=N to keep N chunks"
        return (
            f"{unseen} are made ahead and not shown yet: let some be shown first, or use a smaller "
            "buffer= or a larger history="
        )

    def snapshot(self, unseen: int = 0) -> Snapshot:
        """A copy of this moment, or of the one so many chunks ago, that outlives the world."""
        return pack(self.machine, self._shown(unseen)[0])

    def _shown(self, unseen: int) -> tuple[Moment, list[Moment]]:
        """The moment so many chunks ago and its history; the present where that is not kept."""
        past = list(self.history)
        if 0 < unseen <= len(past):
            return past[-unseen], past[:-unseen]
        return self.moment, past

    def restore(self, snapshot: Snapshot) -> None:
        """Goes to the snapshot's moment; what could be rewound before, and a log, are forgotten.

        Raises:
            SnapshotError: it was made by another model or with other options.
        """
        self.moment = unpack(self.machine, snapshot)
        self.history.clear()

    def let_go(self) -> None:
        """Frees the memory of this timeline, which cannot move on afterwards; its log stays."""
        self.history.clear()
        self.moment.state.let_go()

    def fork(self, unseen: int = 0) -> Timeline:
        """A second timeline from this moment, or so many chunks ago, with the same past.

        It follows what this one has made since then, as a log is followed.
        """
        moment, past = self._shown(unseen)
        if moment is not self.moment and not self.moment.replaying:
            moment = replace(moment, script=log_of(self.machine, self.moment))
        return Timeline(self.machine, moment.copy(), past)


def _last_orders(moment: Moment) -> list[Order]:
    """What a log tells after its last chunk: prompts that a failed call had put off."""
    script = moment.script
    ended = script is not None and moment.chunks == script.chunks
    return _orders_at(script, moment.chunks) if script is not None and ended else []


def _orders_at(script: RunLog, chunk: int) -> list[Order]:
    """The prompts that a log tells for one call."""
    return [Order(event.prompt, event.at) for event in script.events if event.chunk == chunk]


def _affordable(moment: Moment) -> tuple[int, tuple[str, ...]]:
    """As much history as costs little memory, and a sentence where that is less than usual."""
    state = moment.state
    bytes_each = state.cache.nbytes + 2 * state.latents.nbytes
    history = min(DEFAULT_HISTORY, HISTORY_BYTES // bytes_each)
    if history == DEFAULT_HISTORY:
        return history, ()
    note = (
        f"rewind reaches back {history} chunks, because each kept one takes "
        f"{bytes_each / 1e9:.1f} GB; open with history=N to keep more"
    )
    if not history:
        note += "; without any, a call that fails may have moved the world in part"
    return history, (note,)
