"""The part of a world that never changes: model, sampler, options; forks share one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from magi_rt.backends.base import Executor
from magi_rt.backends.choose import open_executor
from magi_rt.checkpoints.layout import locate
from magi_rt.errors import ShapeError, SnapshotError
from magi_rt.frames import Frame
from magi_rt.models.special_tokens import SpecialTokens
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText, StreamState, from_tensors
from magi_rt.world.identity import ModelIdentity, identify
from magi_rt.world.moment import Moment, event_of
from magi_rt.world.options import WorldOptions, fitted_size
from magi_rt.world.orders import Order, effective
from magi_rt.world.prompts import PromptBook
from magi_rt.world.run_log import RunLog
from magi_rt.world.snapshot import SamplerShape, Snapshot
from magi_rt.world.start import Start, read_start

DEFAULT_HISTORY = 8
HISTORY_BYTES = 2**30
"""Unless a history is asked for, the kept moments take no more memory than this."""


@dataclass(frozen=True)
class WorldMachine:
    """Turns moments into later moments; holds nothing of any timeline.

    Attributes:
        model: the name or folder that was opened.
        options: with the model's own values filled in.
        start: what worlds of this machine begin with.
        history: moments that a timeline keeps.
        notes: sentences for people on what was chosen.
        lock: held while anything of the executor is used.
    """

    model: str
    identity: ModelIdentity
    executor: Executor
    book: PromptBook
    pipeline: ChunkPipeline
    options: WorldOptions
    start: Start
    size: tuple[int, int]
    history: int
    notes: tuple[str, ...]
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, model: str, options: WorldOptions, *, image: Any, video: Any) -> WorldMachine:
        """Opens the model and reads the first picture or video; errors as in ``World.open``."""

        def start(executor: Executor, size: tuple[int, int]) -> Start:
            return read_start(image, video, executor=executor, size=size)

        return cls._build(model, options, start)

    @classmethod
    def reopen(cls, log: RunLog, model: str | None = None) -> WorldMachine:
        """Opens what a log was made by; errors as in ``World.replay``."""
        machine = cls._build(model or log.model, log.options, lambda *_: log.start)
        machine.identity.refuse_other(log.identity, "log")
        engine = asdict(machine.executor.info)
        differing = [
            f"the log was made with {name} {value}, here it is {engine.get(name)}: "
            "frames may differ in the last bits"
            for name, value in log.engine.items()
            if engine.get(name) != value
        ]
        return replace(machine, notes=(*machine.notes, *differing))

    @classmethod
    def _build(
        cls,
        model: str,
        options: WorldOptions,
        start: Callable[[Executor, tuple[int, int]], Start],
    ) -> WorldMachine:
        executor = open_executor(
            model, backend=options.backend, device=options.device, dtype=options.dtype
        )
        runtime = executor.config.runtime
        sampler = SamplerConfig.from_config(
            executor.config, options.steps, options.window, options.depth
        )
        size = fitted_size(
            options.size or (runtime.video_size_h, runtime.video_size_w),
            executor.picture_multiple,
        )
        tokens = _special_tokens(model, executor)
        begun = start(executor, size)
        machine = cls(
            model=model,
            identity=identify(executor, model, tokens),
            executor=executor,
            book=PromptBook(executor, tokens),
            pipeline=ChunkPipeline(executor, sampler),
            options=_filled_in(options, executor, sampler, size),
            start=begun,
            size=size,
            history=options.history or 0,
            notes=begun.notes,
        )
        return machine if options.history is not None else machine._with_own_history()

    def _with_own_history(self) -> WorldMachine:
        """The same with as much history as costs little memory."""
        state = self.begin().state
        bytes_each = state.cache.nbytes + 2 * state.latents.nbytes
        history = min(DEFAULT_HISTORY, HISTORY_BYTES // bytes_each)
        if history == DEFAULT_HISTORY:
            return replace(self, history=history)
        note = (
            f"rewind reaches back {history} chunks, because each kept one takes "
            f"{bytes_each / 1e9:.1f} GB; open with history=N to keep more"
        )
        return replace(self, history=history, notes=(*self.notes, note))

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        patch = self.executor.picture_multiple // self.executor.config.model.patch_size
        return self.size[0] // patch, self.size[1] // patch

    @property
    def shape(self) -> SamplerShape:
        """What a snapshot must share with this machine."""
        sampler = self.pipeline.sampler
        return SamplerShape(sampler.steps, sampler.window, sampler.depth, *self.size)

    def begin(self) -> Moment:
        """The moment before the first chunk."""
        height, width = self.latent_size
        state = self.pipeline.new_state(
            seed=self.options.seed,
            latent_height=height,
            latent_width=width,
            prefix=self.start.latents,
        )
        return Moment(state, self.start)

    def read_prompt(self, prompt: str) -> ChunkText:
        """What the network needs of a prompt; remembered, so asking twice costs once.

        Raises:
            PromptError: it cannot be encoded.
        """
        return self.book.text(prompt)

    def advance(self, moment: Moment, orders: Sequence[Order]) -> tuple[Moment, list[Frame]]:
        """The next chunk. Changes ``moment.state`` in place, also when it fails on the way."""
        state, prompt, events = moment.state, moment.prompt, moment.events
        for order in effective(orders):
            event = event_of(moment, order, prompt)
            events = (*events, event) if event else events
            prompt = order.prompt
            if order.at == "now":
                self.pipeline.reprompt(state, self.read_prompt(prompt))
        text = self.read_prompt(prompt)
        finished = self.pipeline.advance(state, lambda _: text)
        frames = self._frames(finished, moment.frames)
        after = replace(
            moment,
            chunks=finished.index + 1,
            frames=moment.frames + len(frames),
            prompt=prompt,
            events=events,
        )
        return after, frames

    def _frames(self, finished: FinishedChunk, first: int) -> list[Frame]:
        pixels = self.executor.decode(finished.latents).cpu().numpy()
        fps = self.executor.config.runtime.fps
        return [
            Frame(picture, first + place, finished.index, finished.prompt, (first + place) / fps)
            for place, picture in enumerate(pixels)
        ]

    def log_of(self, moment: Moment) -> RunLog:
        """The run that led to a moment."""
        info = asdict(self.executor.info)
        return RunLog(
            model=self.model,
            identity=self.identity,
            options=replace(self.options, seed=moment.state.seed),
            engine={name: info[name] for name in ("name", "device", "dtype", "threads")},
            start=moment.start,
            events=moment.events,
            chunks=moment.chunks,
        )

    def pack(self, moment: Moment) -> Snapshot:
        """A moment as a snapshot."""
        tensors, card = moment.state.to_tensors()
        return Snapshot(
            identity=self.identity,
            shape=self.shape,
            chunks=moment.chunks,
            frames=moment.frames,
            prompt=moment.prompt,
            events=moment.events,
            start=moment.start,
            state=card,
            tensors=tensors,
        )

    def unpack(self, snapshot: Snapshot) -> Moment:
        """The inverse of :meth:`pack`, for snapshots of the same model and shape.

        Raises:
            SnapshotError: it was made by another model or shape, or is damaged.
        """
        self.identity.refuse_other(snapshot.identity, "snapshot")
        if snapshot.shape != self.shape:
            raise SnapshotError(
                f"the snapshot was made with {snapshot.shape}, but this world has {self.shape}; "
                "open a world with the snapshot's options",
                field="shape",
            )
        return Moment(
            state=self._state_of(snapshot),
            start=snapshot.start,
            chunks=snapshot.chunks,
            frames=snapshot.frames,
            prompt=snapshot.prompt,
            events=snapshot.events,
        )

    def _state_of(self, snapshot: Snapshot) -> StreamState:
        card = dict(snapshot.state)
        given = card.get("given_chunks", 0)
        depth = self.pipeline.sampler.memory_depth(given)
        if card.get("depth") != depth:
            raise SnapshotError(
                f"the snapshot is damaged: it keeps {card.get('depth')} chunks, not {depth}",
                field="depth",
            )
        try:
            state = from_tensors(
                dict(snapshot.tensors),
                card,
                cache=self.executor.new_cache(*self.latent_size, depth),
                text_for=lambda _, prompt: self.read_prompt(prompt),
            )
        except ShapeError as error:
            raise SnapshotError(f"the snapshot is damaged: {error.message}") from error
        self._check_state(state)
        return state

    def _check_state(self, state: StreamState) -> None:
        """Raises SnapshotError when a file was changed so that its parts no longer fit."""
        sampler = self.pipeline.sampler
        channels = self.executor.config.model.latent_channels
        for name, tensor in (("latents", state.latents), ("pinned", state.beginning.pinned)):
            shape = tuple(tensor.shape)
            if tensor.dim() != 4 or (shape[0], *shape[2:]) != (channels, *self.latent_size):
                raise SnapshotError(
                    f"the snapshot is damaged: its {name} have shape {shape}", field=name
                )
        settings = (state.window.size, state.window.steps, state.chunk_width)
        if settings != (sampler.window, sampler.steps, sampler.chunk_width):
            raise SnapshotError(
                f"the snapshot is damaged: window, steps and chunk width are {settings}",
                field="window",
            )


def _filled_in(
    options: WorldOptions, executor: Executor, sampler: SamplerConfig, size: tuple[int, int]
) -> WorldOptions:
    """The options with the model's own values, so that a log needs no defaults."""
    return replace(
        options,
        steps=sampler.steps,
        window=sampler.window,
        size=size,
        backend=executor.info.name,
        device=executor.info.device,
        dtype=executor.info.dtype,
    )


def _special_tokens(model: str, executor: Executor) -> SpecialTokens | None:
    """The learned caption tokens of a model folder, ``None`` where it has none."""
    if executor.info.name == "dummy":
        return None
    path = locate(model).special_tokens
    return SpecialTokens.read(path, executor.config.model.caption_channels) if path else None
