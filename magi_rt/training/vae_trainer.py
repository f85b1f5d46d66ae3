"""Training of a small world's auto-encoder, and its export.

Loss: absolute and squared pixel error, the same on differences of neighbouring pixels (edges), and
a small KL term that keeps latents near the unit normal the denoiser starts from. No adversarial
or perceptual part: the toy pictures are flat shapes whose edges the pixel terms already see.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from magi_rt.backends.devices import choose_device
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.checkpoints.headers import open_weights
from magi_rt.checkpoints.layout import VAE_WEIGHTS, locate, resolve
from magi_rt.checkpoints.load import load_into
from magi_rt.checkpoints.networks import load_vae
from magi_rt.checkpoints.trained_on import usual_data
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.vae import VAEConfig, ViTVAE, from_uint8, to_uint8
from magi_rt.training.loop import Loop, Outcome, Plan
from magi_rt.training.recordings.source import open_source
from magi_rt.training.seeds import seeded
from magi_rt.training.vae_clips import ClipRounds, Render, SourceScenes
from magi_rt.training.vae_growth import doubled
from magi_rt.training.vae_loss import DECODER, VaeLoss

NANO_VAE = VAEConfig(
    video_size=128,
    video_length=8,
    patch_size=16,
    patch_length=4,
    in_chans=3,
    z_chans=16,
    double_z=True,
    embed_dim=256,
    depth=4,
    num_heads=8,
    mlp_ratio=4,
    qkv_bias=True,
    ln_in_attn=True,
    conv_last_layer=False,
)
HELD_OUT_SCENES = 16
HELD_OUT_SEED = 7_777_777
SHEET_CLIPS = 6


def train_vae(
    out_dir: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int = 32,
    seed: int = 1,
    rate: float = 3e-3,
    device: str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    resume: bool = True,
    start: str | Path | None = None,
    decoder_only: bool = False,
    config: VAEConfig = NANO_VAE,
    data: str | Path | None = None,
    render: Render | None = None,
    weights: VaeLoss | None = None,
    plan: Mapping[str, Any] | None = None,
) -> tuple[ViTVAE, Outcome]:
    """Trains an auto-encoder and, when the budget is used, exports it to ``out_dir/export``.

    Args:
        minutes: wall-clock budget; or ``steps``, a budget of optimiser steps.
        dtype: precision of products; weights, norms and sums stay float32.
        start: a model folder, "nano" or the export of another run, to go on from its
            auto-encoder; one for pictures of half or a quarter of the side is grown first.
        decoder_only: keep the encoder and the latent scale of ``start``, and with them every
            denoiser of its latents; the decoder learns to bear noisy latents and not to
            flicker. A clip of it is two chunks.
        data: a made-up world or a folder of recordings (recordings.open_source); None for what
            ``start`` was trained on, or the toybox.
        render: where clips come from instead.
        plan: further fields of Plan.

    Returns:
        The auto-encoder with the averaged weights, and how the run ended.

    Raises:
        OptionError: no or two budgets, ``out_dir`` holds a run with other settings, or ``start``
            has an auto-encoder of another kind.
    """
    folder, device = Path(out_dir), str(choose_device(device))
    known = None if start is None or is_export(start) else locate(start)
    source = open_source(usual_data(data, known), config.video_size)
    weights = weights or (DECODER if decoder_only else VaeLoss())
    apart = render or SourceScenes(source, "held_out")
    render = render or SourceScenes(source)
    vae = (fresh_vae(config, seed) if start is None else taken_up(start, config)).to(device)
    begun = fingerprint(vae.named_parameters())
    scale = None
    if decoder_only:
        if start is None:
            raise OptionError("decoder_only needs the encoder of a start", field="start")
        vae.encoder.requires_grad_(False)
        scale = latent_scale(start)
    frames = weights.row * config.video_length
    clips = ClipRounds(render, seed=seed, batch=batch, frames=frames)
    held_out = held_out_clips(apart, config.video_length).to(device)

    def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = from_uint8(clips.batch_at(step).to(device)).permute(0, 4, 1, 2, 3)
        with torch.autocast(device.split(":")[0], dtype, enabled=dtype != torch.float32):
            return weights(vae, pixels, seeded(seed, 2, step))

    def evaluate(step: int) -> dict[str, float]:
        rebuilt, latents = reconstruct(vae, held_out)
        write_sheet(folder / "samples.png", held_out, rebuilt)
        return {
            "psnr": psnr(held_out, rebuilt),
            "latent_mean": float(latents.mean()),
            "latent_std": float(latents.std()),
        }

    card = {
        "begun": begun,
        "batch": batch,
        "seed": seed,
        "rate": rate,
        "decoder_only": decoder_only,
        "data": source.identity,
        **config.to_dict(),
        **asdict(weights),
    }
    settings = Plan(minutes=minutes, steps=steps, **dict(plan or {}))
    loop = Loop(folder, vae, loss, optimisers(vae, rate), settings, card=card, evaluate=evaluate)
    outcome = loop.run(resume=resume)
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            parameter.copy_(outcome.averaged[name])
    if outcome.finished:
        save_vae(folder / "export", vae, held_out=held_out, scale=scale)
    return vae, outcome


def fresh_vae(config: VAEConfig, seed: int) -> ViTVAE:
    """An untrained auto-encoder that follows from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ViTVAE(config)


def taken_up(start: str | Path, config: VAEConfig) -> ViTVAE:
    """The auto-encoder of a model, ready to train, grown to the picture size of ``config``.

    Raises:
        OptionError: it is not of the kind that ``config`` describes, at any size.
    """
    vae = load_export(Path(start)) if is_export(start) else load_vae(resolve(start))
    while vae.config.video_size < config.video_size:
        vae = doubled(vae)
    if vae.config != config:
        raise OptionError(
            f"the auto-encoder of {start} grows to {vae.config}, not to {config}; "
            "leave start out to train one from nothing",
            field="start",
        )
    return vae.train().requires_grad_(True)


def latent_scale(start: str | Path) -> float:
    """What the latents of a model, or of an export, are multiplied by for its denoisers."""
    if is_export(start):
        return export_scale(Path(start))
    return resolve(start).config.runtime.scale_factor


def is_export(start: str | Path) -> bool:
    """Whether it is the export of an auto-encoder's run, not a whole model."""
    return (Path(start) / "report.json").exists()


def export_scale(folder: Path) -> float:
    """The latent scale of an export. CheckpointError when it is no export."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return float(report["scale_factor"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder} holds no trained auto-encoder ({error}); run `magi-rt train vae` first"
        ) from error


def load_export(folder: Path) -> ViTVAE:
    """The auto-encoder of an export, in float32, in evaluation mode and without gradients.

    Raises:
        CheckpointError: its files are absent or damaged.
        ConfigError: its config.json is wrong.
    """
    with torch.device("meta"):
        vae = ViTVAE(VAEConfig.from_file(folder / "config.json"))
    load_into(
        vae, open_weights(folder, VAE_WEIGHTS), dict.fromkeys(vae.state_dict(), torch.float32)
    )
    return vae.eval().requires_grad_(False)


def optimisers(vae: ViTVAE, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW at half the rate for everything else.

    At equal time Muon ended ahead of AdamW alone in every comparison on this model.
    """
    named = [(name, p) for name, p in vae.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if ".blocks." in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate / 2, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
    ]


def held_out_clips(render: Render, frames: int) -> Tensor:
    """Fixed clips that training never draws: uint8 [B, frames, H, W, 3]."""
    pixels = render(HELD_OUT_SCENES, 4, seeded(HELD_OUT_SEED))
    return pixels.reshape(-1, frames, *pixels.shape[2:])


@torch.inference_mode()
def reconstruct(vae: ViTVAE, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Clips through the auto-encoder: uint8 [B, F, H, W, 3] and latents [B, Z, T, h, w]."""
    latents = [
        vae.encode(from_uint8(part).permute(0, 4, 1, 2, 3)).float() for part in clips.split(16)
    ]
    pixels = [to_uint8(vae.decode(part)).permute(0, 2, 3, 4, 1) for part in latents]
    return torch.cat(pixels), torch.cat(latents)


def psnr(clips: Tensor, rebuilt: Tensor) -> float:
    """Peak signal-to-noise ratio of uint8 clips in dB, over all pixels together."""
    error = F.mse_loss(clips.float(), rebuilt.float())
    return float(10 * torch.log10(255.0**2 / error.clamp_min(1e-9)))


def write_sheet(path: Path, clips: Tensor, rebuilt: Tensor) -> None:
    """A PNG with originals over reconstructions, first and last frame of a few clips."""
    step = max(1, len(clips) // SHEET_CLIPS)
    rows = []
    for first in range(0, SHEET_CLIPS * step, step):
        if first >= len(clips):
            break
        pair = [torch.cat([c[first, 0], c[first, -1]], dim=1) for c in (clips, rebuilt)]
        rows.append(torch.cat(pair, dim=0))
    picture = Image.fromarray(torch.cat(rows, dim=1).cpu().numpy())
    scaled = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
    temporary = path.with_suffix(".tmp.png")
    scaled.save(temporary)
    temporary.replace(path)


def save_vae(
    folder: Path,
    vae: ViTVAE,
    *,
    held_out: Tensor,
    dtype: torch.dtype = torch.float16,
    scale: float | None = None,
) -> dict[str, float]:
    """Writes config.json, the weights in ``dtype`` and report.json, all or nothing; the report.

    The report is measured on the weights as stored: ``psnr`` in dB, ``latent_mean``,
    ``latent_std`` and ``scale_factor``, which is ``scale`` or else 1 / latent_std.
    """
    from magi_rt.checkpoints.save import replacing, write_json, write_weights

    stored = {name: value.detach().cpu().to(dtype) for name, value in vae.state_dict().items()}
    as_stored = ViTVAE(vae.config)
    as_stored.load_state_dict({name: value.float() for name, value in stored.items()})
    rebuilt, latents = reconstruct(as_stored.eval(), held_out.cpu())
    report = {
        "psnr": psnr(held_out.cpu(), rebuilt),
        "latent_mean": float(latents.mean()),
        "latent_std": float(latents.std()),
        "scale_factor": float(1 / latents.std()) if scale is None else scale,
    }
    parts = (Path(VAE_WEIGHTS).stem, "config.json", "report.json")
    with replacing(folder, overwrite=True, parts=parts) as new:
        write_weights(new, stored, single_name=VAE_WEIGHTS)
        write_json(new / "config.json", vae.config.to_card())
        write_json(new / "report.json", report)
    return report
