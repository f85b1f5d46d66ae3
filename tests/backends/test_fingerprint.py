"""The digits of a model follow from its files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from magi_rt.backends.eager import loaded
from magi_rt.backends.fingerprint import SAMPLES, fingerprint
from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import load_denoiser, load_vae
from tests.support import random_denoiser, small_config, write_model


def weights_of(folder: Path, dtype: str = "auto") -> str:
    return loaded(folder, "cpu", dtype, "auto").info.weights


def test_a_model_has_the_same_digits_in_every_number_format(talking_model: Path) -> None:
    assert weights_of(talking_model, "float32") == weights_of(talking_model, "bfloat16")


def test_a_model_has_the_same_digits_in_one_file_and_in_many(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole")
    parts = write_model(tmp_path / "parts", shard_bytes=40_000)
    assert len([*parts.glob("inference_weight/*.safetensors")]) > 1
    assert weights_of(whole) == weights_of(parts)


def test_another_training_has_other_digits(tmp_path: Path) -> None:
    first, second = (write_model(tmp_path / f"{seed}", seed=seed) for seed in (0, 1))
    assert weights_of(first) != weights_of(second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_who_looks_on_while_weights_are_read_sees_them_as_they_are_stored(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    found = resolve(write_model(tmp_path / "m"))
    seen: dict[str, Tensor] = {}
    load_denoiser(found, params_dtype=dtype, seen=seen.__setitem__)
    stored = random_denoiser(small_config())
    assert seen.keys() == stored.keys()
    assert all(torch.equal(seen[name], value) for name, value in stored.items())
    assert {tensor.dtype for tensor in seen.values()} == {each.dtype for each in stored.values()}
    seen.clear()
    load_vae(found, dtype=dtype, seen=seen.__setitem__)
    assert found.vae is not None
    stored = load_file(found.vae / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(seen[name], value) for name, value in stored.items())


def test_digits_follow_from_names_shapes_and_values_whatever_the_order() -> None:
    a, b = torch.arange(6.0), torch.ones(2, 3)
    digits = fingerprint([("a", a), ("b", b)])
    assert digits == fingerprint([("b", b), ("a", a)])
    others = [
        [("a", a), ("c", b)],
        [("a", a), ("b", b.reshape(3, 2))],
        [("a", a), ("b", b + 1e-6)],
        [("a", a), ("b", b.to(torch.bfloat16))],
    ]
    assert digits not in map(fingerprint, others)


@pytest.mark.parametrize("values", [1, 255, 256, 257, 511, 512, 513, 10_000])
def test_the_sample_of_a_tensor_is_small_and_reaches_to_its_end(values: int) -> None:
    plain = fingerprint([("a", torch.zeros(values))])
    told = [at for at in range(values) if fingerprint([("a", one_at(at, values))]) != plain]
    assert len(told) == (values if values <= SAMPLES else pytest.approx(SAMPLES, rel=0.5))
    assert values - told[-1] <= values // SAMPLES + 1


def one_at(place: int, size: int) -> Tensor:
    """Zeros [size] with a one at ``place``."""
    out = torch.zeros(size)
    out[place] = 1.0
    return out
