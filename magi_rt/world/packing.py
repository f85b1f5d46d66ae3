"""A moment of a machine's world -> its log or its snapshot, and back."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray

from magi_rt.backends.room import room_for
from magi_rt.errors import ShapeError, SnapshotError
from magi_rt.sampling.stream_state import StreamState, from_tensors
from magi_rt.world.machine import WorldMachine
from magi_rt.world.moment import Moment
from magi_rt.world.run_log import RunLog
from magi_rt.world.snapshot import SamplerShape, Snapshot
from magi_rt.world.start import Start


def log_of(machine: WorldMachine, moment: Moment) -> RunLog:
    """The run that led to a moment."""
    info = asdict(machine.executor.info)
    return RunLog(
        model=machine.model,
        identity=machine.identity,
        options=replace(machine.options, seed=moment.state.seed),
        engine={name: info[name] for name in ("name", "device", "dtype", "threads")},
        start=moment.start,
        events=moment.events,
        chunks=moment.chunks,
        changes=moment.changes,
    )


@room_for("a snapshot")
def pack(machine: WorldMachine, moment: Moment) -> Snapshot:
    """A moment as a snapshot."""
    tensors, card = moment.state.to_tensors()
    return Snapshot(
        identity=machine.identity,
        shape=shape_of(machine),
        chunks=moment.chunks,
        frames=moment.frames,
        prompt=moment.prompt,
        events=moment.events,
        start=moment.start,
        state=card,
        tensors=tensors,
        changes=moment.changes,
        picture=None if moment.picture is None else torch.from_numpy(moment.picture),
    )


@room_for("a snapshot's moment")
def unpack(machine: WorldMachine, snapshot: Snapshot) -> Moment:
    """The inverse of :func:`pack`, for snapshots of the same model and shape.

    Raises:
        SnapshotError: it was made by another model or shape, or is damaged.
    """
    machine.refuse_other(snapshot.identity, "snapshot")
    shape = shape_of(machine)
    if snapshot.shape != shape:
        raise SnapshotError(
            f"the snapshot was made with {snapshot.shape}, but this world has {shape}; "
            "open a world with the snapshot's options",
            field="shape",
        )
    machine.refuse_unfit(snapshot.start, snapshot.changes, "snapshot")
    state = _state_of(machine, snapshot)
    _check_shown(snapshot, machine.executor.config.runtime.frames_per_chunk)
    return Moment(
        state=state,
        start=snapshot.start,
        chunks=snapshot.chunks,
        frames=snapshot.frames,
        prompt=snapshot.prompt,
        events=snapshot.events,
        changes=snapshot.changes,
        picture=_picture_of(machine, snapshot),
    )


def _picture_of(machine: WorldMachine, snapshot: Snapshot) -> NDArray[np.uint8] | None:
    """What was shown last, where that is kept; SnapshotError when it does not fit."""
    if machine.executor.config.runtime.deflicker is None or not snapshot.chunks:
        return None
    picture = snapshot.picture
    if picture is None or picture.dtype != torch.uint8 or picture.shape != (*machine.size, 3):
        found = "missing" if picture is None else f"{list(picture.shape)} {picture.dtype}"
        raise SnapshotError(
            f"the snapshot is damaged: its last picture is {found}, not "
            f"{[*machine.size, 3]} {torch.uint8}",
            field="picture",
        )
    return picture.numpy()


def _check_shown(snapshot: Snapshot, per_chunk: int) -> None:
    """Raises SnapshotError when so many frames are not what so many chunks have shown, or a prompt
    came after them."""
    chunks, frames = snapshot.chunks, snapshot.frames
    least = per_chunk * (chunks - 1) + 1 if chunks else 0  # what was given is not shown again
    if type(frames) is not int or not least <= frames <= per_chunk * chunks:
        raise SnapshotError(
            f"the snapshot is damaged: {frames!r} frames do not go with {chunks} chunks of "
            f"{per_chunk}",
            field="frames",
        )
    if snapshot.events and snapshot.events[-1].chunk > chunks:
        raise SnapshotError(
            f"the snapshot is damaged: a prompt came with chunk {snapshot.events[-1].chunk}, after "
            f"its {chunks} chunks",
            field="events",
        )


def shape_of(machine: WorldMachine) -> SamplerShape:
    """What a snapshot must share with a machine."""
    sampler = machine.pipeline.sampler
    return SamplerShape(sampler.steps, sampler.window, sampler.depth, *machine.size)


def _state_of(machine: WorldMachine, snapshot: Snapshot) -> StreamState:
    card = dict(snapshot.state)
    given = card.get("given_chunks")
    if type(given) is not int or given < 0:
        raise SnapshotError(f"the snapshot is damaged: {given!r} chunks were given", field="state")
    depth = machine.pipeline.sampler.memory_depth(given)
    if card.get("depth") != depth:
        raise SnapshotError(
            f"the snapshot is damaged: it keeps {card.get('depth')} chunks, not {depth}",
            field="depth",
        )
    try:
        state = from_tensors(
            dict(snapshot.tensors),
            card,
            cache=machine.executor.new_cache(*machine.latent_size, depth),
            text_for=lambda _, prompt: machine.read_prompt(prompt),
        )
    except ShapeError as error:
        raise SnapshotError(f"the snapshot is damaged: {error.message}") from error
    _check_state(machine, state)
    _check_order(state, snapshot.chunks)
    _check_start(snapshot.start, state)
    return state


def _check_state(machine: WorldMachine, state: StreamState) -> None:
    """Raises SnapshotError when a file was changed so that its parts no longer fit."""
    sampler = machine.pipeline.sampler
    channels = machine.executor.config.model.latent_channels
    for name, tensor in (("latents", state.latents), ("pinned", state.beginning.pinned)):
        shape = tuple(tensor.shape)
        if tensor.dim() != 4 or (shape[0], *shape[2:]) != (channels, *machine.latent_size):
            raise SnapshotError(
                f"the snapshot is damaged: its {name} have shape {shape}", field=name
            )
    if state.beginning.frames >= sampler.chunk_width:
        raise SnapshotError(
            f"the snapshot is damaged: {state.beginning.frames} latents are given to a chunk of "
            f"{sampler.chunk_width}",
            field="pinned",
        )
    settings = (state.window.size, state.chunk_width)
    if settings != (sampler.window, sampler.chunk_width):
        raise SnapshotError(
            f"the snapshot is damaged: window and chunk width are {settings}", field="window"
        )
    if state.window.steps not in (sampler.steps, *machine.paces):
        raise SnapshotError(
            f"the snapshot was taking {state.window.steps} steps, which this world may not; open "
            "one with adapt=True",
            field="steps",
        )


def _check_start(start: Start, state: StreamState) -> None:
    """Raises SnapshotError when a file's stream did not begin with the start it tells of."""
    frames = 0 if start.latents is None else start.latents.shape[1]
    began = (state.beginning.chunks, state.beginning.frames)
    if began != divmod(frames, state.chunk_width):
        raise SnapshotError(
            f"the snapshot is damaged: its start has {frames} latents, but its stream began with "
            f"{began[0]} chunks of {state.chunk_width} and {began[1]}",
            field="start",
        )


def _check_order(state: StreamState, shown: int) -> None:
    """Raises SnapshotError when a file was changed so that its chunks no longer follow each other.

    Args:
        shown: chunks handed out.
    """
    window, cache, given = state.window, state.cache, state.beginning.chunks
    flying, finished, stage = window.in_flight, window.finished, window.steps // window.size
    last = window.next_index - len(flying) - 1  # the one before the oldest in flight
    newest = flying[-1].steps_done if flying else 0
    stairs = [
        (last + 1 + place, newest + stage * (len(flying) - 1 - place))
        for place in range(len(flying))
    ]
    # a finished chunk may be unread, and after a failure also unshown
    ends = (last, last - 1) if finished else (last,)
    kept = [tuple(range(max(0, end + 1 - cache.depth), end + 1)) for end in ends]
    fits = {
        "next_index": window.end is None and last >= given - 1,
        "in_flight": [(each.index, each.steps_done) for each in flying] == stairs
        and newest >= 0
        and newest + stage * (len(flying) - 1) < window.steps,
        "finished": finished is None
        or (finished.index, finished.steps_done) == (last, window.steps),
        "cached": cache.chunks in kept,
        "cache_base": cache.chunks in kept and 0 <= cache.base <= min(cache.chunks, default=0),
        "chunks": shown in [end + 1 - given for end in ends] and shown >= 0,
    }
    for name, right in fits.items():
        if not right:
            raise SnapshotError(
                f"the snapshot is damaged: its {name} does not follow from the rest", field=name
            )
