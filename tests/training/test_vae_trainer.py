"""The auto-encoder's training: its data, its loss, going on, and what it exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from magi_rt.checkpoints.layout import resolve
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.vae import VAEConfig, ViTVAE
from magi_rt.training.loop import read_log
from magi_rt.training.seeds import seeded
from magi_rt.training.vae_clips import CHUNKS, ClipRounds
from magi_rt.training.vae_loss import VaeLoss
from magi_rt.training.vae_trainer import (
    NANO_VAE,
    fresh_vae,
    latent_scale,
    load_export,
    optimisers,
    psnr,
    reconstruct,
    save_vae,
    train_vae,
    write_sheet,
)
from tests.models.vae_kit import random_pixels, tiny_vae

SMALL = replace(
    NANO_VAE, video_size=16, patch_size=8, embed_dim=32, depth=1, num_heads=2, mlp_ratio=2
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only get into each other's way at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stripes(scenes: int, chunks: int, generator: torch.Generator) -> Tensor:
    """uint8 [scenes, chunks * 8, 16, 16, 3]: a bright bar that wanders over a coloured ground."""
    start = torch.randint(0, 16, (scenes, 1), generator=generator)
    ground = torch.randint(0, 128, (scenes, 1, 1, 1, 3), generator=generator)
    place = (start + torch.arange(chunks * 8)) % 16
    bar = torch.nn.functional.one_hot(place, 16)[:, :, None, :, None] * 120
    return (ground + bar).expand(-1, -1, 16, -1, -1).to(torch.uint8)


def losses(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder)]


def small_run(folder: Path, steps: int = 6, **changes: Any) -> ViTVAE:
    values: dict[str, Any] = {
        "batch": 8,
        "config": SMALL,
        "render": stripes,
        "dtype": torch.float32,
        "plan": {"warmup": 1, "log_every": 1, "evaluate_every": 4},
    }
    vae, _ = train_vae(folder, steps=steps, **(values | changes))
    return vae


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    small_run(folder, steps=60)
    return folder


def test_training_improves_the_pictures(trained: Path) -> None:
    quality = [line["psnr"] for line in losses(trained) if "psnr" in line]
    assert quality[-1] > quality[0] + 3


def test_the_export_is_an_auto_encoder_folder_with_its_latent_scale(trained: Path) -> None:
    folder = trained / "export"
    assert VAEConfig.from_file(folder / "config.json") == SMALL
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    ViTVAE(SMALL).load_state_dict({name: value.float() for name, value in stored.items()})
    report = json.loads((folder / "report.json").read_text())
    assert report["scale_factor"] == pytest.approx(1 / report["latent_std"])
    last = [line for line in losses(trained) if "psnr" in line][-1]
    assert report["psnr"] == pytest.approx(last["psnr"], abs=0.1)


def test_the_returned_auto_encoder_has_the_exported_weights(tmp_path: Path) -> None:
    vae = small_run(tmp_path, steps=2)
    stored = load_file(tmp_path / "export" / "diffusion_pytorch_model.safetensors")
    for name, value in vae.state_dict().items():
        assert torch.equal(value.half(), stored[name])


def test_a_killed_training_goes_on_with_the_same_curve(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    calls: list[int] = []

    def dies(scenes: int, chunks: int, generator: torch.Generator) -> Tensor:
        calls.append(scenes)
        if len(calls) == 3:  # held-out clips, first round, then this
            raise Killed
        return stripes(scenes, chunks, generator)

    batch: dict[str, Any] = {"batch": 160, "plan": {"warmup": 1, "log_every": 1, "save_every_s": 0}}
    whole = small_run(tmp_path / "whole", **batch)
    with pytest.raises(Killed):
        small_run(tmp_path / "cut", render=dies, **batch)
    again = small_run(tmp_path / "cut", **batch)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_another_batch_size_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    small_run(tmp_path, steps=1)
    with pytest.raises(OptionError, match="batch=8, not 4"):
        small_run(tmp_path, steps=1, batch=4)


def test_a_run_begun_from_one_model_refuses_to_go_on_from_another(
    trained: Path, tmp_path: Path
) -> None:
    small_run(tmp_path, steps=1)
    with pytest.raises(OptionError, match="began with other weights"):
        small_run(tmp_path, steps=2, start=trained / "export")


def test_a_budget_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="minutes or steps"):
        train_vae(tmp_path, config=SMALL, render=stripes)


def test_mixed_precision_trains_like_float32(tmp_path: Path) -> None:
    small_run(tmp_path / "exact")
    small_run(tmp_path / "mixed", dtype=torch.bfloat16)
    exact, mixed = (
        [line["loss"] for line in losses(tmp_path / name) if "loss" in line]
        for name in ("exact", "mixed")
    )
    assert exact and mixed == pytest.approx(exact, rel=0.05)


def test_every_parameter_has_one_optimiser() -> None:
    vae = fresh_vae(SMALL, 1)
    held = [p for o in optimisers(vae, 1e-3) for g in o.param_groups for p in g["params"]]
    assert sorted(map(id, held)) == sorted(map(id, vae.parameters()))


def test_fresh_weights_follow_from_the_seed_and_disturb_no_one() -> None:
    before = torch.random.get_rng_state()
    first, second, other = (fresh_vae(SMALL, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_nano_auto_encoder_makes_two_latent_frames_of_eight() -> None:
    assert NANO_VAE.grid == (2, 8, 8)


def test_clips_of_a_step_follow_from_seed_and_step_in_any_order() -> None:
    forward = ClipRounds(stripes, seed=1, batch=50)
    wanted = [forward.batch_at(step) for step in range(9)]
    backward = ClipRounds(stripes, seed=1, batch=50)
    assert all(torch.equal(backward.batch_at(s), wanted[s]) for s in reversed(range(9)))
    assert not torch.equal(ClipRounds(stripes, seed=2, batch=50).batch_at(0), wanted[0])


def test_a_pass_over_a_round_draws_every_clip_once() -> None:
    def numbered(scenes: int, chunks: int, generator: torch.Generator) -> Tensor:
        pieces = torch.arange(scenes * chunks).view(scenes, chunks, 1, 1, 1, 1)
        return pieces.expand(-1, -1, 8, 1, 1, 3).flatten(1, 2).to(torch.int32)

    clips = ClipRounds(numbered, seed=1, batch=32, reuse=2)
    passes = [
        torch.cat([clips.batch_at(p * 10 + s)[:, 0, 0, 0, 0] for s in range(10)]) for p in (0, 1)
    ]
    assert clips.steps_per_pass == 10
    for drawn in passes:
        assert drawn.sort().values.tolist() == list(range(64 * CHUNKS))
    assert not torch.equal(*passes)


def test_a_batch_larger_than_a_round_enlarges_the_round() -> None:
    clips = ClipRounds(stripes, seed=1, batch=500)
    assert len(clips.batch_at(0)) == 500


def test_generators_differ_in_every_number() -> None:
    draws = [
        torch.randint(0, 1 << 60, (1,), generator=seeded(*numbers)).item()
        for numbers in [(1, 2), (2, 1), (1, 2, 0), (1,), (1, 3)]
    ]
    assert len(set(draws)) == 5


def test_the_loss_weights_its_terms() -> None:
    vae, pixels = tiny_vae(), random_pixels(2, 3, 4, 16, 16)

    def value(weights: VaeLoss) -> tuple[float, dict[str, Tensor]]:
        total, parts = weights(vae, pixels, seeded(4))
        return float(total), parts

    plain, parts = value(VaeLoss(squared=0, edges=0, kl=0))
    assert plain == pytest.approx(float(parts["absolute"]))
    with_all, _ = value(VaeLoss(squared=2, edges=0, kl=0.5))
    wanted = plain + 2 * float(parts["squared"]) + 0.5 * float(parts["kl"])
    assert with_all == pytest.approx(wanted, rel=1e-5)
    assert value(VaeLoss(squared=0, edges=1, kl=0))[0] > plain


def test_psnr_of_known_errors() -> None:
    clips = torch.full((1, 8, 4, 4, 3), 100, dtype=torch.uint8)
    assert psnr(clips, clips + 16) == pytest.approx(24.05, abs=0.01)
    assert psnr(clips, clips) > 100


def test_reconstruction_keeps_the_layout_of_clips() -> None:
    clips = stripes(3, 5, seeded(1)).unflatten(1, (-1, 8)).flatten(0, 1)
    rebuilt, latents = reconstruct(fresh_vae(SMALL, 1), clips)
    assert rebuilt.shape == clips.shape and rebuilt.dtype == torch.uint8
    assert latents.shape == (15, 16, 2, 2, 2)


def test_the_sheet_shows_originals_over_reconstructions(tmp_path: Path) -> None:
    clips = torch.zeros(2, 8, 16, 16, 3, dtype=torch.uint8)
    write_sheet(tmp_path / "samples.png", clips, clips + 200)
    picture = Image.open(tmp_path / "samples.png")
    assert picture.size == (2 * 2 * 2 * 16, 2 * 2 * 16)
    assert picture.getpixel((5, 5)) == (0, 0, 0)
    assert picture.getpixel((5, 60)) == (200, 200, 200)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_the_report_is_measured_on_the_weights_as_stored(tmp_path: Path) -> None:
    clips = stripes(2, 2, seeded(1)).unflatten(1, (-1, 8)).flatten(0, 1)
    vae = fresh_vae(SMALL, 1)
    report = save_vae(tmp_path, vae, held_out=clips, dtype=torch.bfloat16)
    rounded = fresh_vae(SMALL, 1).bfloat16().float()
    rebuilt, latents = reconstruct(rounded, clips)
    assert report["psnr"] == pytest.approx(psnr(clips, rebuilt))
    assert report["latent_std"] == pytest.approx(float(latents.std()))


def test_an_export_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, export = stripes(2, 1, seeded(1)), tmp_path / "export"
    save_vae(export, fresh_vae(SMALL, 1), held_out=clips)
    before = {path.name: path.read_bytes() for path in export.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("no space left")

    monkeypatch.setattr("magi_rt.checkpoints.save.save_file", full)
    with pytest.raises(CheckpointError, match="no space left"):
        save_vae(export, fresh_vae(SMALL, 2), held_out=clips)
    assert {path.name: path.read_bytes() for path in export.iterdir()} == before


def test_errors_on_what_moves_and_noisy_latents_count_when_asked_for() -> None:
    vae = fresh_vae(SMALL, 1)
    still = random_pixels(2, 3, 1, 16, 16).expand(-1, -1, 8, -1, -1).clone()
    moving = still.clone()
    moving[:, :, 4:, :8] += 0.5

    def absolute(pixels: Tensor, **weights: Any) -> float:
        _, parts = VaeLoss(**weights)(vae, pixels, seeded(5))
        return float(parts["absolute"].detach())

    assert absolute(still, moving=3.0) == pytest.approx(absolute(still))
    assert absolute(moving, moving=3.0) != pytest.approx(absolute(moving))
    assert absolute(still, noise=0.5) != pytest.approx(absolute(still))


class Echo:
    """An auto-encoder whose pictures are off by what is given, chunk by chunk."""

    def __init__(self, off: Tensor) -> None:
        self.off = off
        self.seen: list[Tensor] = []

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(pixels)
        return pixels, torch.full_like(pixels, -100.0)

    def decode(self, latents: Tensor) -> Tensor:
        return latents + self.off


def test_only_errors_that_change_flicker_within_chunks_and_between_them() -> None:
    pixels = random_pixels(2, 3, 16, 4, 4)
    loss = VaeLoss(squared=0, edges=0, kl=0, flicker=1.0, row=2)

    def flicker(off: Tensor) -> float:
        echo = Echo(off)
        total, parts = loss(cast(ViTVAE, echo), pixels, seeded(6))
        assert torch.equal(echo.seen[0][1], pixels[0, :, 8:])  # chunks of a row follow each other
        assert float(total) == pytest.approx(float(parts["absolute"] + parts["flicker"]))
        return float(parts["flicker"])

    steady = torch.full((4, 1, 1, 1, 1), 0.25)
    assert flicker(steady) == pytest.approx(0, abs=1e-6)
    between = steady * torch.tensor([1.0, 2.0, 1.0, 2.0]).view(4, 1, 1, 1, 1)
    assert flicker(between) == pytest.approx(0.25 / 15, rel=1e-4)
    within = steady * torch.tensor([1.0, 2.0]).repeat(4).view(1, 1, 8, 1, 1)
    assert flicker(within) == pytest.approx(0.25, rel=1e-4)


def test_clips_may_be_longer_than_a_chunk() -> None:
    clips = ClipRounds(stripes, seed=1, batch=32, frames=16)
    assert clips.batch_at(0).shape[:2] == (32, 16)


def test_tuning_the_decoder_alone_keeps_the_latents(trained: Path, tmp_path: Path) -> None:
    before = load_export(trained / "export")
    vae = small_run(tmp_path, start=trained / "export", decoder_only=True)
    pixels = random_pixels(2, 3, 8, 16, 16)
    with torch.inference_mode():
        assert torch.equal(vae.encode(pixels), before.encode(pixels))
        latents = before.encode(pixels)
        assert not torch.equal(vae.decode(latents), before.decode(latents))
    with pytest.raises(OptionError, match="needs the encoder"):
        small_run(tmp_path / "other", decoder_only=True)


def test_a_decoder_tuned_alone_keeps_the_latent_scale_on_any_data(
    trained: Path, tmp_path: Path
) -> None:
    def darker(scenes: int, chunks: int, generator: torch.Generator) -> Tensor:
        return stripes(scenes, chunks, generator) // 4

    small_run(tmp_path, steps=1, start=trained / "export", decoder_only=True, render=darker)
    before, after = (
        json.loads((folder / "export" / "report.json").read_text())
        for folder in (trained, tmp_path)
    )
    assert after["scale_factor"] == before["scale_factor"]
    assert after["latent_std"] != pytest.approx(before["latent_std"], rel=1e-3)
    assert latent_scale("nano") == resolve("nano").config.runtime.scale_factor
