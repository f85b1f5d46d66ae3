"""The compiled executor computes what the eager one computes, from buffers that stay in place."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._inductor.exc import TritonMissing

from magi_rt.backends import compiled_call
from magi_rt.backends.compiled import CompiledExecutor, inductor
from magi_rt.backends.compiled_call import CallShape, StaticCall
from magi_rt.backends.eager import EagerExecutor
from magi_rt.bench.subject import random_executor, random_networks
from magi_rt.errors import BackendError
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.rehearsal import rehearse
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText, StreamState
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions

SIZE = (4, 4)


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiler that changes nothing."""
    return function


def compiled(compiler: Callable[..., Any] = as_it_is) -> CompiledExecutor:
    """The tiny shape with the same random weights as ``random_executor("tiny")``."""
    config, dit, vae, info = random_networks("tiny")
    return CompiledExecutor(config, dit, vae, None, info, compiler=compiler)


@dataclass
class Player:
    """A stream of one executor under prompts that change."""

    executor: EagerExecutor
    window: int

    def __post_init__(self) -> None:
        self.sampler = SamplerConfig.from_config(self.executor.config, 8, self.window, None)
        self.pipeline = ChunkPipeline(self.executor, self.sampler)
        self.state = self.begin()

    def begin(self) -> StreamState:
        return self.pipeline.new_state(seed=3, latent_height=SIZE[0], latent_width=SIZE[1])

    def text(self, seed: int, tokens: int) -> ChunkText:
        chance = torch.Generator().manual_seed(seed)
        rows = torch.randn(tokens, self.executor.config.model.caption_channels, generator=chance)
        return ChunkText(f"{seed}", self.executor.prepare_text(rows))

    def play(self, chunks: int, state: StreamState | None = None) -> list[Tensor]:
        """Latents of chunks, each under a prompt of another length."""
        texts = [self.text(seed, 3 + 5 * (seed % 4)) for seed in range(chunks)]
        used = state or self.state
        return [self.pipeline.advance(used, lambda _, t=t: t).latents for t in texts]  # type: ignore[misc]


def near(found: list[Tensor], expected: list[Tensor]) -> None:
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert torch.allclose(a, b, atol=2e-5, rtol=1e-4), place


@pytest.mark.parametrize("window", [1, 2, 4])
def test_static_buffers_give_what_eager_gives(window: int) -> None:
    near(Player(compiled(), window).play(9), Player(random_executor("tiny"), window).play(9))


def test_two_streams_of_one_executor_do_not_meet() -> None:
    alone = Player(random_executor("tiny"), 2).play(6)
    player = Player(compiled(), 2)
    other = player.begin()
    first, second = [], []
    for step in range(6):
        text = player.text(step, 3 + 5 * (step % 4))
        first.append(player.pipeline.advance(player.state, lambda _, t=text: t).latents)  # type: ignore[misc]
        second.append(player.pipeline.advance(other, lambda _, t=text: t).latents)  # type: ignore[misc]
    near(first, alone)
    near(second, alone)


def test_a_fork_goes_on_as_its_origin() -> None:
    player = Player(compiled(), 4)
    player.play(5)
    fork = player.state.clone()
    near(player.play(3, fork), player.play(3))


def test_results_belong_to_the_caller() -> None:
    player = Player(compiled(), 1)
    kept = player.play(1)[0]
    before = kept.clone()
    player.play(3)
    assert torch.equal(kept, before)


@pytest.mark.parametrize("kind", ["eager", "compiled"])
def test_an_executor_that_nobody_holds_lets_go_of_its_weights_at_once(kind: str) -> None:
    player = Player(compiled() if kind == "compiled" else random_executor("tiny"), 1)
    player.play(1)
    player.executor.decode(torch.zeros(16, 2, *SIZE))
    gc.collect()
    networks = (*player.executor.dit.blocks(), *player.executor.vae.decoder.blocks)
    held = [weakref.ref(next(iter(block.parameters()))) for block in networks]
    gc.disable()
    try:
        del player, networks
        assert [each() for each in held] == [None] * len(held)
    finally:
        gc.enable()


def missing_triton(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiler that finds no Triton."""

    def called(*_: object) -> None:
        raise TritonMissing(None)

    return called


def test_whatever_pytorchs_compiler_refuses_becomes_a_backend_error() -> None:
    executor = compiled(missing_triton)
    with pytest.raises(BackendError, match=r"Cannot find a working triton.*use backend='eager'"):
        Player(executor, 1).play(1)
    with pytest.raises(BackendError, match="could not compile the model here"):
        executor.decode(torch.zeros(16, 2, *SIZE))


@pytest.mark.parametrize("window", [1, 4])
def test_a_rehearsal_names_every_call_of_a_stream_and_no_other(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = compiled()
    player = Player(executor, window)
    rehearse(executor, player.sampler, SIZE, executor.expect)
    expected = set(executor._expected)
    assert executor.warm_up() > 0
    assert set(executor._calls) == expected

    def refuse(*_: object) -> None:
        raise AssertionError("a call was made ready during the stream")

    monkeypatch.setattr("magi_rt.backends.compiled.capture", refuse)
    player.play(12)


def test_a_world_is_ready_when_it_is_open() -> None:
    executor = compiled()
    machine = WorldMachine.around(executor, "tiny", WorldOptions(window=2))
    assert executor._calls and not executor._expected
    assert "compiled made itself ready in" in machine.notes[0]
    assert executor.info.name == machine.options.backend == "compiled"


def test_longer_prompts_than_there_is_room_for_get_a_call_of_their_own() -> None:
    player = Player(compiled(), 1)
    player.play(1)
    text = player.text(1, compiled_call.TEXT_STEP + 1)
    other = Player(random_executor("tiny"), 1)
    other.play(1)
    assert {shape.text for shape in player.executor._calls} == {compiled_call.TEXT_STEP}  # type: ignore[attr-defined]
    found = player.pipeline.advance(player.state, lambda _: text).latents
    expected = other.pipeline.advance(other.state, lambda _: text).latents
    near([found], [expected])
    assert 2 * compiled_call.TEXT_STEP in {shape.text for shape in player.executor._calls}  # type: ignore[attr-defined]


def test_what_runs_is_a_replay_of_buffers_that_never_move(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: dict[CallShape, set[tuple[int, ...]]] = {}

    def recorded(call: StaticCall, *_: object) -> Callable[[], None]:
        def replay() -> None:
            held = (
                call.latents, call.gates, call.rope, call.text.keys, call.text.mask,
                call.rooms.keys, call.memory.keys, call.velocity,
            )  # fmt: skip
            addresses.setdefault(call.shape, set()).add(tuple(each.data_ptr() for each in held))
            call.forward()

        return replay

    monkeypatch.setattr("magi_rt.backends.compiled.capture", recorded)
    near(Player(compiled(), 4).play(9), Player(random_executor("tiny"), 4).play(9))
    assert len(addresses) > 4
    assert all(len(seen) == 1 for seen in addresses.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside PyTorch
def test_compiled_for_a_processor_it_gives_what_eager_gives() -> None:
    near(Player(compiled(inductor), 1).play(1), Player(random_executor("tiny"), 1).play(1))


def test_pictures_come_from_the_same_decoder() -> None:
    latents = torch.randn(16, 2, *SIZE, generator=torch.Generator().manual_seed(1))
    difference = compiled().decode(latents).int() - random_executor("tiny").decode(latents).int()
    assert int(difference.abs().max()) <= 1
