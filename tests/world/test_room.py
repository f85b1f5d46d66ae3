"""Memory that runs out is told like every other error, and leaves the world where it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from magi_rt.backends import eager
from magi_rt.backends.dummy import DummyExecutor
from magi_rt.backends.room import room_for
from magi_rt.errors import BackendError, MagiError
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.world import World
from tests.world.kit import dummy_world, same_pixels, story

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a capacity"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]

PICTURE = np.zeros((32, 32, 3), np.uint8)


def run_out(*_: Any, **__: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_every_kind_of_full_memory_is_told_with_what_it_was_for_and_the_way_out(
    error: Exception,
) -> None:
    with pytest.raises(BackendError) as caught, room_for("the next chunk"):
        raise error
    said = str(error)[:60] or "MemoryError"
    assert f"no room in memory for the next chunk ({said}" in caught.value.message
    assert "size=" in caught.value.message and "history=0" in caught.value.message
    assert len(caught.value.message) < 500


def test_weights_that_do_not_fit_are_not_answered_with_smaller_pictures(
    monkeypatch: pytest.MonkeyPatch, talking_model: Path
) -> None:
    monkeypatch.setattr(eager, "load_denoiser", run_out)
    with pytest.raises(BackendError, match="8-bit variant") as caught:
        World.open(talking_model, backend="eager")
    assert "the model's weights" in caught.value.message and "size=" not in caught.value.message


def test_other_errors_pass_as_they_are() -> None:
    for error in (RuntimeError("a shape is wrong"), ValueError("out of memory"), KeyError("x")):
        with pytest.raises(type(error)) as caught, room_for("anything"):
            raise error
        assert caught.value is error


def test_what_does_not_fit_is_given_back_while_the_error_is_being_handled() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fill() -> None:
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        run_out()

    try:
        with room_for("anything"):
            fill()
    except BackendError:
        assert held[0]() is None
    assert held


CALLS: list[tuple[type, str, str, Callable[[World], Any]]] = [
    (DummyExecutor, "denoise", "the next chunk", lambda world: world.advance("rain")),
    (DummyExecutor, "decode", "the next chunk's pictures", lambda world: world.advance("rain")),
    (DummyExecutor, "prepare_text", "a prompt", lambda world: world.advance("a new prompt")),
    (RollingKVCache, "clone", "a copy of the world's memory", lambda world: world.advance()),
    (RollingKVCache, "clone", "a copy of the world's memory", lambda world: world.fork()),
    (RollingKVCache, "clone", "a copy of the world's memory", lambda world: world.rewind(1)),
    (RollingKVCache, "to_tensors", "a snapshot", lambda world: world.snapshot()),
    (DummyExecutor, "encode", "the first pictures", lambda world: world.anew(image=PICTURE)),
    (DummyExecutor, "new_cache", "a world's memory", lambda world: world.anew()),
]


@pytest.mark.parametrize(("place", "name", "what", "call"), CALLS)
def test_a_call_that_finds_no_room_says_so_and_the_world_goes_on_as_if_it_had_not_been(
    monkeypatch: pytest.MonkeyPatch,
    place: type,
    name: str,
    what: str,
    call: Callable[[World], Any],
) -> None:
    world, same = dummy_world(), dummy_world()
    story(world, "day", None)
    story(same, "day", None)
    with monkeypatch.context() as full:
        full.setattr(place, name, run_out)
        with pytest.raises(MagiError, match=f"no room in memory for {what} \\(CUDA out of memory"):
            call(world)
    assert same_pixels(world.advance("night"), same.advance("night"))


def test_a_snapshot_that_does_not_fit_is_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    world, same = dummy_world(), dummy_world()
    story(world, "day")
    story(same, "day")
    state = world.snapshot()
    story(world, "rain")
    story(same, "rain")
    with monkeypatch.context() as full:
        full.setattr(DummyExecutor, "new_cache", run_out)
        with pytest.raises(BackendError, match="no room in memory for a snapshot's moment"):
            world.restore(state)
    assert same_pixels(world.advance(), same.advance())


def test_a_model_that_does_not_fit_is_told_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("magi_rt.backends.eager.load_denoiser", run_out)
    with pytest.raises(BackendError, match="no room in memory for the model's weights"):
        World.open("nano", backend="eager")
    monkeypatch.setattr(DummyExecutor, "new_cache", run_out)
    with pytest.raises(BackendError, match="no room in memory for a world's memory"):
        dummy_world()
