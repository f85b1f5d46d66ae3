"""The part of a world that never changes: model, sampler, options; forks share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from magi_rt.backends.base import Executor, Prepares
from magi_rt.backends.choose import may_be_replaced, open_executor, open_instead
from magi_rt.backends.room import SMALLER, room_for
from magi_rt.checkpoints.layout import SPECIAL_TOKENS
from magi_rt.errors import BackendError, SnapshotError
from magi_rt.frames import Frame
from magi_rt.media.deflicker import Pixels, deflickered
from magi_rt.planner.work import is_published_shape
from magi_rt.sampling.pipeline import ChunkPipeline, FinishedChunk, emitted
from magi_rt.sampling.rehearsal import rehearse
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText
from magi_rt.world.deadline import Deadline, StepChange, steps_at
from magi_rt.world.identity import ModelIdentity, identify
from magi_rt.world.moment import Moment, event_of
from magi_rt.world.options import WorldOptions
from magi_rt.world.orders import Order, effective
from magi_rt.world.prompts import PromptBook
from magi_rt.world.run_log import RunLog
from magi_rt.world.settings import Settings, check_options, model_of, replayed_options
from magi_rt.world.start import Start, check_start, read_start
from magi_rt.world.turns import Turns

NEAR = "frames will be near the first run's, not equal to them"


@dataclass(frozen=True)
class WorldMachine:
    """Turns moments into later moments; holds nothing of any timeline.

    Attributes:
        model: the name or folder that was opened.
        options: with the model's own values filled in.
        size: (height, width) of the pictures in pixels.
        start: what worlds of this machine begin with.
        paces: step counts that its worlds may take; one when they do not adapt.
        notes: sentences for people on what was chosen.
        lock: held while anything of the executor is used; worlds get it in turn.
    """

    model: str
    identity: ModelIdentity
    executor: Executor
    book: PromptBook
    pipeline: ChunkPipeline
    options: WorldOptions
    size: tuple[int, int]
    paces: tuple[int, ...] = ()
    start: Start = field(default_factory=Start)
    notes: tuple[str, ...] = ()
    lock: Turns = field(default_factory=Turns)

    @classmethod
    def open(cls, model: str, options: WorldOptions, *, image: Any, video: Any) -> WorldMachine:
        """Opens the model and reads the first picture or video; errors as in ``World.open``."""
        image, video = check_start(image, video)
        machine = cls._of(model, options)
        start = read_start(image, video, executor=machine.executor, size=machine.size)
        return replace(machine, start=start, notes=(*machine.notes, *start.notes))

    @classmethod
    def reopen(
        cls, log: RunLog, model: str | None, wishes: Mapping[str, str | None]
    ) -> WorldMachine:
        """Opens what a log was made by; errors as in ``World.replay``.

        Args:
            wishes: backend, device, dtype and attention, ``None`` for the log's own.
        """
        machine = cls._of(model_of(log, model), replayed_options(log, dict(wishes)))
        machine.refuse_other(log.identity, "log")
        machine.refuse_unfit(log.start, log.changes, "log")
        here = asdict(machine.executor.info) | {"attention": machine.options.attention}
        there = {**log.engine, "attention": log.options.attention}
        differing = [
            f"the log was made with {name} {value}, here it is {here.get(name)}: "
            + ("frames may differ in the last bits" if name == "threads" else NEAR)
            for name, value in there.items()
            if here.get(name) != value
        ]
        return replace(
            machine, start=log.start, notes=(*machine.notes, *log.start.notes, *differing)
        )

    @classmethod
    @room_for("the model's weights", SMALLER)
    def _of(cls, model: str, options: WorldOptions) -> WorldMachine:
        check_options(model, options)
        executor = open_executor(
            model,
            backend=options.backend,
            device=options.device,
            dtype=options.dtype,
            attention=options.attention,
        )
        try:
            return cls.around(executor, model, options)
        except BackendError as error:
            if not may_be_replaced(executor, options.backend):
                raise
            chosen, failure = executor.info.name, error.message
        del executor  # its weights, before they are read again
        plain = open_instead(model, chosen, failure, device=options.device, dtype=options.dtype)
        return cls.around(plain, model, options)

    @classmethod
    @room_for("the model's calls")
    def around(cls, executor: Executor, model: str, options: WorldOptions) -> WorldMachine:
        """The machine of an executor that is open already; its worlds begin with nothing.

        Raises:
            OptionError: the model cannot run with the options.
        """
        settings = Settings.of(executor.config, executor.picture_multiple, options)
        sampler, allowed, size = settings.sampler, settings.allowed, settings.size
        machine = cls(
            model=model,
            identity=identify(executor, model),
            executor=executor,
            book=PromptBook(executor),
            pipeline=ChunkPipeline(executor, sampler),
            options=replace(
                _filled_in(options, executor, sampler, size),
                adapt=allowed or False,
                fps=(options.fps or executor.config.runtime.fps) if allowed else None,
            ),
            size=size,
            paces=allowed or (sampler.steps,),
        )
        return replace(machine, notes=(*_made_ready(machine), *_unspoken(executor)))

    def anew(self, moment: Moment, seed: int | None, image: Any) -> WorldMachine:
        """The same with another seed or first picture, None for the moment's.

        Errors as in ``open``.
        """
        options = replace(self.options, seed=moment.state.seed if seed is None else seed)
        if image is None:
            return replace(self, options=options, start=moment.start)
        start = read_start(image, None, executor=self.executor, size=self.size)
        return replace(self, options=options, start=start, notes=start.notes)

    def refuse_other(self, made_by: ModelIdentity, kind: str) -> None:
        """Raises SnapshotError, naming both, when another model made a log or a snapshot."""
        if not self.identity.same_model(made_by):
            raise SnapshotError(
                f"the {kind} was made by model {made_by}, but this world runs {self.identity}; "
                "open the model it was made by",
                field="model",
            )

    def refuse_unfit(self, start: Start, changes: Sequence[StepChange], kind: str) -> None:
        """Raises SnapshotError when a log or a snapshot tells what no world of this one does."""
        start.check_fits(self.executor.config.model.latent_channels, self.latent_size, kind)
        for change in changes:
            if change.steps not in self.paces:
                raise SnapshotError(
                    f"the {kind} took {change.steps} steps, which this world may not; open one "
                    "with adapt=True",
                    field="steps",
                )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        patch = self.executor.picture_multiple // self.executor.config.model.patch_size
        return self.size[0] // patch, self.size[1] // patch

    @room_for("a world's memory")
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

    @room_for("a prompt")
    def read_prompt(self, prompt: str) -> ChunkText:
        """What the network needs of a prompt; remembered, so asking twice costs once.

        Raises:
            PromptError: it cannot be encoded.
        """
        return self.book.text(prompt)

    @room_for("a prompt")
    def heed(self, moment: Moment, orders: Sequence[Order]) -> Moment:
        """The moment under new prompts; those for "now" change ``moment.state`` in place."""
        prompt, events = moment.prompt, moment.events
        for order in effective(orders):
            event = event_of(moment, order, prompt)
            events = (*events, event) if event else events
            prompt = order.prompt
            if order.at == "now":
                self.pipeline.reprompt(moment.state, self.read_prompt(prompt))
        return replace(moment, prompt=prompt, events=events)

    @room_for("the next chunk")
    def denoise(self, moment: Moment, steps: int) -> Moment:
        """The moment with its next chunk finished, which :meth:`hand_out` shows.

        Changes ``moment.state`` in place, also when it fails on the way.

        Args:
            steps: denoising steps per chunk from now on.
        """
        self.pipeline.take_steps(moment.state, steps)
        text = self.read_prompt(moment.prompt)
        self.pipeline.advance(moment.state, lambda _: text)
        return replace(moment, changes=self._changes(moment))

    @room_for("the next chunk's pictures")
    def hand_out(self, moment: Moment) -> tuple[Moment, list[Frame]]:
        """The frames of the chunk that was finished last, and the moment after they were shown."""
        state = moment.state
        assert state.window.finished is not None
        finished = emitted(state, state.window.finished)
        pixels, runtime = self._pictures(finished, moment.picture), self.executor.config.runtime
        frames = [
            Frame(
                picture, place, finished.index, finished.prompt,
                time_s=place / runtime.fps, steps=state.window.steps,
            )
            for place, picture in enumerate(pixels, moment.frames)
        ]  # fmt: skip
        after = replace(
            moment,
            chunks=finished.index + 1,
            frames=moment.frames + len(frames),
            picture=None if runtime.deflicker is None else pixels[-1].copy(),
        )
        return after, frames

    def _changes(self, moment: Moment) -> tuple[StepChange, ...]:
        """The step counts up to the chunk that was just made."""
        steps, chunk = moment.state.window.steps, moment.chunks
        if steps == steps_at(moment.changes, chunk, self.pipeline.sampler.steps):
            return moment.changes
        return (*moment.changes, StepChange(chunk, steps))

    def _pictures(self, finished: FinishedChunk, before: Pixels | None) -> Pixels:
        """[T, H, W, 3] uint8; ``before`` is what was shown last."""
        pixels: Pixels = self.executor.decode(finished.latents).cpu().numpy()
        runtime = self.executor.config.runtime
        if runtime.deflicker is None:
            return pixels
        return deflickered(pixels, before, runtime.deflicker, runtime.temporal_downsample_factor)


def _made_ready(machine: WorldMachine) -> tuple[str, ...]:
    """Has the executor prepare what it can before the first frame; says how long it took."""
    executor = machine.executor
    if not isinstance(executor, Prepares):
        return ()
    for steps in machine.paces:
        sampler = machine.pipeline.sampler.at_steps(steps)
        rehearse(executor, sampler, machine.latent_size, executor.expect)
    return (f"{executor.info.name} made itself ready in {executor.warm_up():.1f} s",)


def _unspoken(executor: Executor) -> tuple[str, ...]:
    """Says so when a published model goes without the words that it was launched with."""
    if executor.special_tokens is not None or not is_published_shape(executor.config.model):
        return ()
    return (
        f"prompts go without the learned tokens for quality and duration: put {SPECIAL_TOKENS} "
        "(example/assets of the published code) into the model folder",
    )


def deadline_of(machine: WorldMachine) -> Deadline | None:
    """The deadline that a world of this machine keeps, with nothing measured yet."""
    options, runtime = machine.options, machine.executor.config.runtime
    if options.fps is None:
        return None
    return Deadline(machine.paces, runtime.frames_per_chunk / options.fps)


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
