"""Training of the built-in world's denoiser together with its text encoder, and their export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.backends.devices import choose_device
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.checkpoints.layout import locate
from magi_rt.checkpoints.save import save_model
from magi_rt.checkpoints.text_encoder import save_text_encoder
from magi_rt.checkpoints.trained_on import trained_on, usual_data
from magi_rt.models.dit import VideoDiT
from magi_rt.models.tokenizer import JsonTokenizer
from magi_rt.models.vae import ViTVAE
from magi_rt.training.clip_feed import ClipFeed, FeedPlan, PromptReader
from magi_rt.training.codec import Codec
from magi_rt.training.dit_beginning import Trainee, begin, spoken_prompts, teach_words
from magi_rt.training.flow_loss import FlowLoss
from magi_rt.training.flow_settings import FlowSettings
from magi_rt.training.latent_shards import ShardRecipe, ShardStore
from magi_rt.training.loop import CHECKPOINT, Loop, Outcome, Plan
from magi_rt.training.nano import CHUNKS_PER_CLIP, PATCH, PICTURE, RUNTIME, nano_config
from magi_rt.training.recordings.source import open_source
from magi_rt.training.samples import story_from, write_story
from magi_rt.training.seeds import seeded
from magi_rt.training.text_context import STEPS

HELD_OUT_SEED = 7_777_778
HELD_OUT_BATCHES = 4
OWN_HISTORY = 0.15
"""Share of the batches whose history the model makes itself, where nothing else is asked for."""


class FlowLesson:
    """The loss of one step: over whole clips and over openings, each by its number of chunks."""

    def __init__(self, reader: PromptReader, settings: FlowSettings, chunk_width: int) -> None:
        self.reader, self.chunk_width = reader, chunk_width
        alone = replace(settings, staircase_share=0.0, own_history=0.0)
        self.whole = FlowLoss(reader.dit, settings, chunk_width)
        self.opening = FlowLoss(reader.dit, alone, chunk_width)

    def __call__(self, feed: ClipFeed, step: int, generator: torch.Generator) -> Tensor:
        clips, text = self.reader.read(feed.draw(step, generator))
        loss = self.whole(clips, text, generator)
        if not feed.plan.openings:
            return loss
        drawn = feed.draw_openings(step, self.chunk_width, generator)
        openings = self.opening(*self.reader.read(drawn), generator)
        share = feed.plan.openings / (feed.plan.openings + clips.prompt.numel())
        return torch.lerp(loss, openings, share)


def train_dit(
    out_dir: str | Path,
    vae_dir: str | Path | None = None,
    *,
    start: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    data: str | Path | None = None,
    layers: int | None = None,
    patch: int | None = None,
    batch: int = 12,
    openings: int = 24,
    steps_per_shard: int = 36,
    seed: int = 1,
    rate: float = 2e-3,
    device: str = "cpu",
    workers: int = 0,
    compiled: bool = False,
    text_steps: int | None = None,
    resume: bool = True,
    settings: FlowSettings | None = None,
    plan: Mapping[str, Any] | None = None,
    clips: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train and, when the budget is used, export a whole model folder to ``out_dir/export``.

    Args:
        vae_dir: the export of ``train vae``; None for the auto-encoder of ``start``.
        start: a guided model folder or "nano-base", to go on from; None to train from nothing.
        minutes, steps: the budget, one of them.
        data: a made-up world or a folder of recordings (recordings.open_source); None for what
            ``start`` was trained on, or the toybox.
        layers: the dial of the denoiser's size (nano.model_of); None for that of ``start``, or 6.
        patch: latents along a token's side, 1 or 2 (dit_growth.py); None for that of ``start``,
            or 2.
        batch, openings: clips of eight chunks, and further clips of one, per step.
        steps_per_shard: a new shard of clips is made after this many steps, always on the CPU;
        workers: by so many processes ahead of time, or by this one for 0.
        text_steps: of the text encoder by itself, before the budget begins, in which it learns
            what stands beside each word (text_context.py); None for 600 where it is fresh and none
            where it comes from ``start``. About a minute and a half for 600 on two cores.
        compiled: runs the denoiser through torch.compile, which pays on a GPU.
        plan: further fields of Plan. clips: other fields of ShardRecipe.

    Raises:
        CheckpointError: no trained auto-encoder in ``vae_dir``, or ``start`` is no whole model.
        OptionError: not one budget, not one beginning, or ``out_dir`` holds another run.
        BackendError: the device is not in this machine.
    """
    folder, settings = Path(out_dir), settings or FlowSettings(own_history=OWN_HISTORY)
    device = str(choose_device(device))
    before = None if start is None else locate(start)
    data = usual_data(data, before)
    actions = before.folder if before is not None and data == trained_on(before) else None
    source = open_source(data, PICTURE)
    prompts = spoken_prompts(source, seed)
    codec, trainee, tokenizer = begin(vae_dir, start, prompts, seed, layers, patch)
    begun = fingerprint(trainee.named_parameters())
    trainee.to(device)
    codec.vae.to(device)
    if compiled:
        trainee.dit.compile(dynamic=True)
    reader = PromptReader(trainee.dit, trainee.text, tokenizer)
    lesson = FlowLesson(reader, settings, RUNTIME.chunk_width)
    fields: dict[str, Any] = {"chunks": CHUNKS_PER_CLIP, "data": data, **(clips or {})}
    recipe = ShardRecipe(seed=seed, scale=codec.scale, **fields)
    story = story_from(source, seeded(HELD_OUT_SEED))
    store = ShardStore(folder / "shards", recipe, codec.vae, workers)
    feed = ClipFeed(store, FeedPlan(batch, steps_per_shard, openings))
    held_out = held_out_feed(folder, recipe, codec.vae, batch)

    def measure(clips: ClipFeed, step: int, generator: torch.Generator) -> Tensor:
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            return lesson(clips, step, generator)

    def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return measure(feed, step, seeded(seed, 3, step)), {}

    @torch.no_grad()
    def evaluate(step: int) -> dict[str, float]:
        losses = [
            measure(held_out, 0, seeded(HELD_OUT_SEED, 3, k)) for k in range(HELD_OUT_BATCHES)
        ]
        export(folder / "export", trainee, tokenizer, codec, data, actions)
        write_story(folder / "export", folder / "samples.png", story)
        return {"held_out": float(torch.stack(losses).mean())}

    card = {
        "begun": begun,
        "batch": batch,
        "seed": seed,
        "rate": rate,
        "openings": openings,
        "feed": steps_per_shard,
        "scale": codec.scale,
        "data": source.identity,
    }
    taught = (STEPS if start is None else 0) if text_steps is None else text_steps
    card |= {"text_steps": taught} if taught else {}
    if taught and not (folder / CHECKPOINT).exists():
        teach_words(trainee, tokenizer, source, seed=seed, steps=taught, in_use=start is not None)
    sizes = trainee.dit.config
    card |= asdict(settings) | {"layers": sizes.num_layers}
    if sizes.patch_size != PATCH:
        card["patch"] = sizes.patch_size
    budget = Plan(minutes=minutes, steps=steps, **dict(plan or {}))
    chosen = optimisers(trainee, trainee.dit, rate)
    loop = Loop(folder, trainee, loss, chosen, budget, card=card, evaluate=evaluate)
    try:
        return loop.run(resume=resume)
    finally:
        store.close()


def held_out_feed(folder: Path, recipe: ShardRecipe, vae: ViTVAE, batch: int) -> ClipFeed:
    """Clips that training never draws, with held-out phrasings."""
    apart = replace(recipe, seed=HELD_OUT_SEED, split="held_out")
    return ClipFeed(ShardStore(folder / "held_out", apart, vae), FeedPlan(batch, 1 << 30))


def optimisers(trainee: nn.Module, dit: VideoDiT, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the denoiser's block matrices, AdamW at half the rate for everything else."""
    blocks = dit.videodit_blocks.layers
    matrices = [p for p in blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in trainee.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate / 2, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def export(
    folder: Path,
    trainee: Trainee,
    tokenizer: JsonTokenizer,
    codec: Codec,
    data: str,
    actions: Path | None = None,
) -> None:
    """Write a model folder in the published layout from the weights now in ``trainee``."""
    save_model(
        folder,
        nano_config(codec.scale, trainee.dit.config),
        denoiser=trainee.dit.state_dict(),
        vae_config=codec.config,
        vae=codec.weights,
        write_text_encoder=lambda path: save_text_encoder(path, trainee.text, tokenizer),
        matrix_dtype=torch.bfloat16,
        overwrite=True,
        data=data,
        actions=actions,
    )
