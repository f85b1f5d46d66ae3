"""What opening a model says, and what it refuses before it has read any weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magi_rt import World
from magi_rt.backends import eager
from magi_rt.backends.dummy import DummyExecutor
from magi_rt.errors import CheckpointError
from magi_rt.presets import PRESETS
from magi_rt.world.machine import _unspoken


def without_vae(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()


def with_pickled_words(folder: Path) -> None:
    for weights in (folder / "t5").rglob("*.safetensors"):
        weights.rename(weights.with_name("pytorch_model.bin"))


def with_half_a_vae(folder: Path) -> None:
    file = folder / "vae/diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("harm", [without_vae, with_half_a_vae, with_pickled_words])
def test_what_stands_beside_the_denoiser_is_refused_before_that_is_read(
    harm: Callable[[Path], None],
    talking_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(talking_model, folder)
    harm(folder)

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the denoiser was read first")

    monkeypatch.setattr(eager, "load_denoiser", read)
    with pytest.raises(CheckpointError):
        World.open(folder, backend="eager")


def test_a_published_model_without_its_learned_tokens_says_so() -> None:
    plain = DummyExecutor()
    assert _unspoken(plain) == ()
    plain.config = replace(plain.config, model=PRESETS["4.5B-distill"].model)
    (note,) = _unspoken(plain)
    assert "special_tokens.npz" in note


def test_opening_a_world_imports_nothing_that_takes_longer_than_the_rest_of_it() -> None:
    script = (
        "import sys; from magi_rt import World\n"
        "next(iter(World.open('nano', backend='openvino').advance('it snows')))\n"
        "print(sorted({'transformers', 'torch._dynamo', 'sympy', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, capture_output=True, check=True)  # the first one makes the plans
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
