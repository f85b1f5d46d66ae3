"""On a GPU the world is the same world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magi_rt.models.dit_block import float32_product
from magi_rt.world import World

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use"),
]


def frames(folder: Path, device: str, dtype: str) -> np.ndarray:
    world = World.open(folder, seed=5, steps=8, window=2, device=device, dtype=dtype)
    shown = [*world.advance("a red ball"), *world.advance("night falls", at="now")]
    return np.stack([frame.pixels for frame in shown]).astype(np.int16)


def test_a_gpu_shows_what_the_cpu_shows(talking_model: Path) -> None:
    difference = frames(talking_model, "cuda", "float32") - frames(talking_model, "cpu", "float32")
    assert int(np.abs(difference).max()) <= 2


def test_a_gpu_repeats_itself_bit_for_bit(talking_model: Path) -> None:
    first = frames(talking_model, "cuda", "bfloat16")
    assert np.array_equal(first, frames(talking_model, "cuda", "bfloat16"))


def test_a_snapshot_takes_no_memory_of_the_card_and_goes_on_there(talking_model: Path) -> None:
    world = World.open(talking_model, seed=5, steps=8, window=2, device="cuda")
    world.advance("a red ball")
    state = world.snapshot()
    assert {tensor.device.type for tensor in state.tensors.values()} == {"cpu"}
    expected = [frame.pixels for frame in world.advance("night falls")]
    world.restore(state)
    assert np.array_equal([frame.pixels for frame in world.advance("night falls")], expected)


def test_a_gpu_in_bfloat16_stays_near_float32(talking_model: Path) -> None:
    difference = frames(talking_model, "cuda", "bfloat16") - frames(talking_model, "cpu", "float32")
    assert float(np.abs(difference).mean()) < 8


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cuda_graphs_replay_what_eager_computes(
    talking_model: Path, window: int, dtype: str
) -> None:
    def played(backend: str) -> np.ndarray:
        world = World.open(
            talking_model, seed=5, steps=8, window=window, device="cuda", dtype=dtype,
            backend=backend,
        )  # fmt: skip
        told = ("a red ball", None, "night falls", None, "a red ball rolls down a hill", None, None)
        shown = [frame.pixels for prompt in told for frame in world.advance(prompt)]
        return np.stack(shown).astype(np.int16)

    difference = np.abs(played("compiled") - played("eager"))
    if dtype == "float32":
        assert int(difference.max()) <= 2
    else:
        assert float(difference.mean()) < 2


def test_a_16_bit_product_with_a_float32_result_is_the_float32_product() -> None:
    chance = torch.Generator().manual_seed(2)
    x, weight = (torch.randn(48, 64, generator=chance).to("cuda", torch.bfloat16) for _ in "ab")
    with torch.inference_mode():
        found = float32_product(x[None], weight)
    expected = x.double() @ weight.double().t()
    assert found.dtype is torch.float32
    assert torch.allclose(found[0].double(), expected, atol=1e-4)
