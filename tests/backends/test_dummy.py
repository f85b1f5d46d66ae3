"""The dummy executor keeps the promises of the door without a model behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from magi_rt.backends.base import Executor
from magi_rt.backends.choose import open_executor, resolve_backend
from magi_rt.backends.dummy import DUMMY_CONFIG, DummyExecutor
from magi_rt.errors import BackendError, OptionError, ShapeError
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache

LATENTS = (4, 2, 4, 4)


def as_executor(executor: Executor) -> Executor:
    """Fails type checking when the dummy does not fit the door."""
    return executor


def call(
    executor: DummyExecutor,
    cache: RollingKVCache,
    *,
    prompt: str = "day",
    first: int = 0,
    noise: int = 0,
    stage: bool = False,
) -> Tensor:
    """Velocity of one chunk in one branch."""
    latents = torch.randn(*LATENTS, generator=torch.Generator().manual_seed(noise))
    text = executor.prepare_text(executor.encode_text(prompt))
    inputs = DenoiseInputs(
        latents=latents,
        times=(0.5,),
        first_chunk=first,
        branches=(Branch(texts=(text,), visible=(5,), drop=False),),
        stage_branch=0 if stage else None,
    )
    return executor.denoise(inputs, cache)


def test_the_dummy_fits_the_door() -> None:
    executor = as_executor(DummyExecutor())
    assert executor.info.name == "dummy"
    assert executor.info.reason == "synthetic colours, no model"


def test_the_same_call_gives_the_same_numbers() -> None:
    velocities = [call(DummyExecutor(), DummyExecutor().new_cache(4, 4, 4)) for _ in range(2)]
    assert torch.equal(*velocities)
    assert velocities[0].shape == (1, *LATENTS)


def test_prompt_chunk_number_and_noise_all_matter() -> None:
    executor = DummyExecutor()
    cache = executor.new_cache(4, 4, 4)
    plain = call(executor, cache)
    for other in (
        call(executor, cache, prompt="night"),
        call(executor, cache, prompt="day day"),
        call(executor, cache, prompt=""),
        call(executor, cache, first=1),
        call(executor, cache, noise=1),
    ):
        assert not torch.allclose(plain, other, atol=1e-2)


def test_a_finished_chunk_is_remembered_once_committed() -> None:
    executor = DummyExecutor()
    cache = executor.new_cache(4, 4, 4)
    blank = call(executor, cache, first=1)
    call(executor, cache, first=0, stage=True)
    assert torch.equal(call(executor, cache, first=1), blank)
    cache.commit(0)
    assert not torch.allclose(call(executor, cache, first=1), blank, atol=1e-3)


def test_the_memory_survives_counting_positions_anew() -> None:
    executor = DummyExecutor()
    cache = executor.new_cache(4, 4, 2)
    for chunk in range(200):
        call(executor, cache, first=chunk, stage=True)
        cache.commit(chunk)
    short = executor.new_cache(4, 4, 2)
    call(executor, short, first=0, stage=True)
    short.commit(0)
    assert torch.equal(cache.values[0, cache.slot(199)], short.values[0, short.slot(0)])


def test_pixels_become_latents_and_come_back() -> None:
    executor = DummyExecutor()
    pixels = torch.full((8, 32, 48, 3), 200, dtype=torch.uint8)
    latents = executor.encode(pixels)
    assert latents.shape == (4, 2, 4, 6)
    decoded = executor.decode(latents)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == torch.uint8
    assert int((decoded.int() - pixels.int()).abs().max()) <= 1


def test_one_picture_becomes_one_latent() -> None:
    assert DummyExecutor().encode(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).shape[1] == 1


@pytest.mark.parametrize("shape", [(8, 30, 32, 3), (6, 32, 32, 3)])
def test_pixels_that_do_not_divide_into_blocks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="blocks"):
        DummyExecutor().encode(torch.zeros(shape, dtype=torch.uint8))


def test_no_words_are_no_rows_and_no_text_is_grey() -> None:
    executor = DummyExecutor()
    assert executor.encode_text("").shape == (0, 8)
    assert executor.null_text().shape == (50, 8)
    assert executor.encode_text("word " * 100).shape == (64, 8)


def test_too_few_channels_are_refused() -> None:
    model = replace(DUMMY_CONFIG.model, in_channels=2, out_channels=2)
    with pytest.raises(BackendError, match="2 latent channels"):
        DummyExecutor(replace(DUMMY_CONFIG, model=model))


def test_auto_says_why_it_chose() -> None:
    assert resolve_backend("dummy").backend == "dummy"
    choice = resolve_backend("nano", "eager")
    assert choice.backend == "eager"
    assert choice.reason


def test_the_dummy_takes_no_device_and_no_dtype() -> None:
    with pytest.raises(BackendError, match="CPU"):
        open_executor("dummy", device="cuda")
    with pytest.raises(BackendError, match="float32"):
        open_executor("dummy", dtype="bfloat16")
    with pytest.raises(OptionError, match="float16"):
        open_executor("dummy", dtype="float16")
