"""Training of the built-in world's denoiser together with its text encoder, and their export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.checkpoints.save import save_model
from magi_rt.errors import CheckpointError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.vae import ViTVAE
from magi_rt.training.clip_feed import ClipFeed, FeedPlan, PromptReader
from magi_rt.training.dit_init import initialise
from magi_rt.training.flow_loss import FlowLoss, FlowSettings
from magi_rt.training.latent_shards import ShardRecipe, ShardStore
from magi_rt.training.loop import Loop, Outcome, Plan
from magi_rt.training.nano import CHUNKS_PER_CLIP, MODEL, PICTURE, RUNTIME, nano_config
from magi_rt.training.nano_text import build_text_encoder, save_text_encoder
from magi_rt.training.vae_clips import seeded
from magi_rt.training.worlds import toybox

HELD_OUT_SEED = 7_777_778
HELD_OUT_BATCHES = 4
TOKENIZER_CLIPS = 256


class Trainee(nn.Module):
    """What is trained together: the denoiser and the encoder of its prompts."""

    def __init__(self, dit: VideoDiT, text: nn.Module) -> None:
        super().__init__()
        self.dit, self.text = dit, text


def load_trained_vae(folder: Path) -> tuple[ViTVAE, float]:
    """An exported auto-encoder in float32 and the scale that makes its latents unit variance.

    Raises:
        CheckpointError: the folder is not an export of ``train vae``.
    """
    from magi_rt.checkpoints.headers import open_weights
    from magi_rt.models.vae import VAEConfig

    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        card = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} holds no trained auto-encoder ({error}); run `magi-rt train vae` first"
        ) from error
    vae = ViTVAE(VAEConfig.from_card(card))
    from safetensors.torch import load_file

    open_weights(folder, single_name="diffusion_pytorch_model.safetensors")
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    vae.load_state_dict({name: value.float() for name, value in stored.items()})
    return vae.eval().requires_grad_(False), float(report["scale_factor"])


def train_dit(
    out_dir: str | Path,
    vae_dir: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int = 12,
    steps_per_shard: int = 36,
    seed: int = 1,
    rate: float = 2e-3,
    resume: bool = True,
    settings: FlowSettings | None = None,
    plan: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train and, when the budget is used, export a whole model folder to ``out_dir/export``.

    Args:
        vae_dir: the export of ``train vae``.
        minutes, steps: the budget, one of them.
        batch: clips of eight chunks per step.
        steps_per_shard: a new shard of clips is made after this many steps.
        plan: further fields of Plan.

    Raises:
        CheckpointError: no trained auto-encoder in ``vae_dir``.
        OptionError: no or two budgets, or ``out_dir`` holds a run with other settings.
    """
    folder, settings = Path(out_dir), settings or FlowSettings()
    vae, scale = load_trained_vae(Path(vae_dir))
    trainee, tokenizer = fresh_trainee(seed)
    reader = PromptReader(trainee.dit, trainee.text, tokenizer)
    flow = FlowLoss(trainee.dit, settings, RUNTIME.chunk_width)
    recipe = ShardRecipe(seed=seed, scale=scale, chunks=CHUNKS_PER_CLIP, size=PICTURE)
    feed = ClipFeed(ShardStore(folder / "shards", recipe, vae), FeedPlan(batch, steps_per_shard))
    held_out = held_out_feed(folder, recipe, vae, batch)

    def measure(source: ClipFeed, step: int, generator: torch.Generator) -> Tensor:
        latents, prompts = source.draw(step, generator)
        with torch.autocast("cpu", torch.bfloat16):
            clips, text = reader.read(latents, prompts)
            return flow(clips, text, generator)

    def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return measure(feed, step, seeded(seed, 3, step)), {}

    @torch.no_grad()
    def evaluate(step: int) -> dict[str, float]:
        losses = [
            measure(held_out, 0, seeded(HELD_OUT_SEED, 3, k)) for k in range(HELD_OUT_BATCHES)
        ]
        export(folder / "export", trainee, tokenizer, Path(vae_dir), scale)
        return {"held_out": float(torch.stack(losses).mean())}

    card = {"batch": batch, "seed": seed, "rate": rate, "feed": steps_per_shard, "scale": scale}
    card |= asdict(settings) | {"layers": MODEL.num_layers, "width": MODEL.hidden_size}
    budget = Plan(minutes=minutes, steps=steps, **dict(plan or {}))
    chosen = optimisers(trainee, rate)
    loop = Loop(folder, trainee, loss, chosen, budget, card=card, evaluate=evaluate)
    return loop.run(resume=resume)


def fresh_trainee(seed: int) -> tuple[Trainee, object]:
    """An untrained denoiser and text encoder that follow from the seed, and the tokenizer."""
    dit = VideoDiT(MODEL)
    initialise(dit, seed)
    encoder, tokenizer = build_text_encoder(spoken_prompts(seed), seed)
    return Trainee(dit, encoder), tokenizer


def spoken_prompts(seed: int) -> list[str]:
    """Prompts as clips have them, for fitting the tokenizer."""
    clips = toybox.clips(TOKENIZER_CLIPS, CHUNKS_PER_CLIP, seeded(seed, 4), size=16)
    return [prompt for clip in clips.prompts for prompt in clip]


def held_out_feed(folder: Path, recipe: ShardRecipe, vae: ViTVAE, batch: int) -> ClipFeed:
    """Clips that training never draws, with held-out phrasings."""
    apart = replace(recipe, seed=HELD_OUT_SEED, split="held_out")
    return ClipFeed(ShardStore(folder / "held_out", apart, vae), FeedPlan(batch, 1 << 30))


def optimisers(trainee: Trainee, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the denoiser's block matrices, AdamW at half the rate for everything else."""
    blocks = trainee.dit.videodit_blocks.layers
    matrices = [p for p in blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in trainee.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate / 2, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def export(folder: Path, trainee: Trainee, tokenizer: object, vae_dir: Path, scale: float) -> None:
    """Write a model folder in the published layout from the weights now in ``trainee``."""
    from safetensors.torch import load_file

    card = json.loads((vae_dir / "config.json").read_text(encoding="utf-8"))
    save_model(
        folder,
        nano_config(scale),
        denoiser=trainee.dit.state_dict(),
        vae_config=card,
        vae=load_file(vae_dir / "diffusion_pytorch_model.safetensors"),
        write_text_encoder=lambda path: save_text_encoder(
            path, deepcopy(trainee.text).half(), tokenizer
        ),
        matrix_dtype=torch.bfloat16,
        overwrite=True,
    )
