"""The part of a world that never changes: model, sampler, options; forks share one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from magi_rt.backends.base import Executor
from magi_rt.backends.choose import open_executor
from magi_rt.frames import Frame
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText
from magi_rt.world.identity import ModelIdentity, identify
from magi_rt.world.moment import Moment, event_of
from magi_rt.world.options import WorldOptions, fitted_size
from magi_rt.world.orders import Order, effective
from magi_rt.world.prompts import PromptBook
from magi_rt.world.run_log import RunLog
from magi_rt.world.start import Start, read_start


@dataclass(frozen=True)
class WorldMachine:
    """Turns moments into later moments; holds nothing of any timeline.

    Attributes:
        model: the name or folder that was opened.
        options: with the model's own values filled in.
        size: (height, width) of the pictures in pixels.
        start: what worlds of this machine begin with.
        notes: sentences for people on what was chosen.
        lock: held while anything of the executor is used.
    """

    model: str
    identity: ModelIdentity
    executor: Executor
    book: PromptBook
    pipeline: ChunkPipeline
    options: WorldOptions
    size: tuple[int, int]
    start: Start = field(default_factory=Start)
    notes: tuple[str, ...] = ()
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, model: str, options: WorldOptions, *, image: Any, video: Any) -> WorldMachine:
        """Opens the model and reads the first picture or video; errors as in ``World.open``."""
        machine = cls._of(model, options)
        start = read_start(image, video, executor=machine.executor, size=machine.size)
        return replace(machine, start=start, notes=start.notes)

    @classmethod
    def reopen(cls, log: RunLog, model: str | None = None) -> WorldMachine:
        """Opens what a log was made by; errors as in ``World.replay``."""
        machine = cls._of(model or log.model, log.options)
        machine.identity.refuse_other(log.identity, "log")
        engine = asdict(machine.executor.info)
        differing = [
            f"the log was made with {name} {value}, here it is {engine.get(name)}: "
            "frames may differ in the last bits"
            for name, value in log.engine.items()
            if engine.get(name) != value
        ]
        return replace(machine, start=log.start, notes=(*log.start.notes, *differing))

    @classmethod
    def _of(cls, model: str, options: WorldOptions) -> WorldMachine:
        executor = open_executor(
            model, backend=options.backend, device=options.device, dtype=options.dtype
        )
        return cls.around(executor, model, options)

    @classmethod
    def around(cls, executor: Executor, model: str, options: WorldOptions) -> WorldMachine:
        """The machine of an executor that is open already; its worlds begin with nothing.

        Raises:
            OptionError: the model cannot run with the options.
        """
        runtime = executor.config.runtime
        sampler = SamplerConfig.from_config(
            executor.config, options.steps, options.window, options.depth
        )
        size = fitted_size(
            options.size or (runtime.video_size_h, runtime.video_size_w),
            executor.picture_multiple,
        )
        return cls(
            model=model,
            identity=identify(executor, model),
            executor=executor,
            book=PromptBook(executor),
            pipeline=ChunkPipeline(executor, sampler),
            options=_filled_in(options, executor, sampler, size),
            size=size,
        )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        patch = self.executor.picture_multiple // self.executor.config.model.patch_size
        return self.size[0] // patch, self.size[1] // patch

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
