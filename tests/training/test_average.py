"""What lies between two models is a model: each of its weights is a mean of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.save import save_model
from magi_rt.checkpoints.text_encoder import load_text_encoder
from magi_rt.cli.app import app
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.training.average import average_models
from tests.support import (
    CAPTION_CHANNELS,
    SMALL_VAE,
    random_denoiser,
    random_vae,
    small_config,
    write_tiny_t5,
)


def model(folder: Path, seed: int, *, config: MagiConfig | None = None, vae_seed: int = 0) -> Path:
    """A small model; its denoiser and text encoder follow from the seed."""
    config = config or small_config()
    return save_model(
        folder,
        config,
        denoiser=random_denoiser(config, seed),
        vae_config=SMALL_VAE,
        vae=random_vae(SMALL_VAE, vae_seed),
        write_text_encoder=lambda place: write_tiny_t5(place, seed=seed),
        data="calm-toybox",
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All of a model's denoiser and text encoder, in float32."""
    found = resolve(folder)
    assert found.text_encoder is not None
    text = load_text_encoder(found.text_encoder, 64, CAPTION_CHANNELS).model
    both = {"dit": load_denoiser(found), "text": text}
    return {
        f"{part}.{name}": tensor.float()
        for part, network in both.items()
        for name, tensor in network.state_dict().items()
    }


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_lies_on_the_line_between_the_two(tmp_path: Path, share: float) -> None:
    first, second = model(tmp_path / "one", 1), model(tmp_path / "two", 2)
    (first / "actions.toml").write_text("# keys")
    out = average_models(tmp_path / "mean", first, second, share=share)
    one, two, mean = (weights(folder) for folder in (first, second, out))
    assert mean.keys() == one.keys()
    for name, tensor in mean.items():
        torch.testing.assert_close(
            tensor, torch.lerp(one[name], two[name], share), rtol=1e-2, atol=1e-3, msg=name
        )
    assert any(not torch.equal(one[name], two[name]) for name in one if name.startswith("text."))
    for beside in ("trained-on.json", "actions.toml"):
        assert (out / beside).read_text() == (first / beside).read_text()


def test_models_that_differ_in_more_than_weights_have_no_mean(tmp_path: Path) -> None:
    first = model(tmp_path / "one", 1)
    others = {
        "auto-encoder": model(tmp_path / "codec", 2, vae_seed=1),
        "distillation": model(tmp_path / "fast", 2, config=small_config(distill=True)),
    }
    for part, other in others.items():
        with pytest.raises(OptionError, match=part):
            average_models(tmp_path / "mean", first, other)
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(OptionError, match="give 0 to 1"):
            average_models(tmp_path / "mean", first, first, share=share)
    with pytest.raises(CheckpointError, match="already there"):
        average_models(first, first, first)
    assert not (tmp_path / "mean").exists()


def test_the_command_writes_a_model_that_can_be_read(tmp_path: Path) -> None:
    first, second = model(tmp_path / "one", 1), model(tmp_path / "two", 2)
    words = ["train", "average", str(tmp_path / "mean"), str(first), str(second)]
    done = CliRunner().invoke(app, [*words, "--share", "0.5"])
    assert done.exit_code == 0, done.output
    assert resolve(tmp_path / "mean").config == resolve(first).config
