"""Shortcut distillation of a trained world: one checkpoint for all step counts, without guidance.

The student starts as its teacher. The prompts are read by the teacher's text encoder, which stays
as it is, like the auto-encoder. Targets of longer steps come from the averaged weights of the
student: they share their storage with the training loop, so they cost nothing, and they are far
less noisy than the live ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.backends.devices import choose_device
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.models.dit import VideoDiT
from magi_rt.training.clip_feed import ClipFeed, Drawn, FeedPlan, PromptReader
from magi_rt.training.distill_folders import Source, export
from magi_rt.training.distill_grid import stride_cycle, strides_of_step
from magi_rt.training.distill_history import OwnHistory
from magi_rt.training.distill_layouts import Sight
from magi_rt.training.distill_loss import DistillLoss, DistillSettings
from magi_rt.training.distill_measure import Distance
from magi_rt.training.distill_start import fresh_student, heir
from magi_rt.training.distill_targets import Teacher
from magi_rt.training.dit_growth import with_patches
from magi_rt.training.dit_trainer import HELD_OUT_SEED, held_out_feed, optimisers
from magi_rt.training.flow_settings import Clips
from magi_rt.training.latent_shards import ShardStore
from magi_rt.training.loop import Loop, Outcome, Plan
from magi_rt.training.packed_dit import TextBatch
from magi_rt.training.seeds import seeded

JUDGED_CLIPS = 4


def train_distill(
    out_dir: str | Path,
    teacher: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int = 12,
    openings: int = 12,
    steps_per_shard: int = 36,
    shards: str | Path | None = None,
    like: tuple[str | Path, str | Path] | None = None,
    seed: int = 1,
    rate: float = 5e-4,
    device: str = "cpu",
    workers: int = 0,
    resume: bool = True,
    settings: DistillSettings | None = None,
    plan: Mapping[str, Any] | None = None,
    clips: Mapping[str, Any] | None = None,
) -> Outcome:
    """Distil and, when the budget is used, export a whole model folder to ``out_dir/export``.

    Args:
        teacher: a guided model folder or "nano-base".
        minutes, steps: the budget, one of them.
        batch: clips per step; the strides take turns over them, 12 is one full round.
        openings: chunks per step that are told as if a video began with them, in turns likewise.
        shards: a folder of clips of an earlier run with the same seed and auto-encoder, to read
            them from and to add to; None for a folder of its own.
        like: a teacher and a student that was distilled from it, as in ("nano-base", "nano"): where
            ``teacher`` is that one trained further, also for finer tokens, the new student starts
            near its end.
        workers: processes that make clips ahead of time; 0 makes them here.
        plan: further fields of Plan. clips: other fields of ShardRecipe.

    Raises:
        CheckpointError: ``teacher`` is no whole model.
        OptionError: not one budget, the teacher is distilled already, ``out_dir`` holds another
            run, or ``like`` has other sizes.
    """
    folder, settings = Path(out_dir), settings or DistillSettings()
    device = str(choose_device(device))
    stride_cycle(settings.shortest)
    source = Source.open(teacher)
    earlier = None if like is None else [_as_fine_as(source.dit, each) for each in like]
    recipe = source.recipe(seed, **dict(clips or {}))
    kept = Path(shards or folder / "shards")
    store = ShardStore(kept, recipe, source.codec.vae.to(device), workers)
    lesson = Distillation(source, settings, device, seed, batch, earlier)
    lesson.feed = ClipFeed(store, FeedPlan(batch, steps_per_shard, openings))
    lesson.held_out = held_out_feed(folder, recipe, source.codec.vae, batch)
    card: dict[str, Any] = {"batch": batch, "seed": seed, "rate": rate, "feed": steps_per_shard}
    card |= asdict(settings) | {"data": store.source.identity, "openings": openings}
    card |= {"teacher": fingerprint(source.dit.named_parameters())}
    trainee = nn.ModuleDict({"dit": lesson.student})
    loop = Loop(
        folder, trainee, lesson.loss, optimisers(trainee, lesson.student, rate),
        Plan(minutes=minutes, steps=steps, **dict(plan or {})), card=card,
        evaluate=lambda step: lesson.evaluate(step, folder / "export"),
    )  # fmt: skip
    lesson.follow(loop.state.averaged)
    try:
        return loop.run(resume=resume)
    finally:
        store.close()


def _as_fine_as(teacher: VideoDiT, model: str | Path) -> VideoDiT:
    """The denoiser of a model, grown to the tokens of the teacher."""
    return with_patches(load_denoiser(resolve(model)), teacher.config.patch_size)


class Distillation:
    """What a training step and an evaluation of a distillation do."""

    feed: ClipFeed
    held_out: ClipFeed

    def __init__(
        self,
        source: Source,
        settings: DistillSettings,
        device: str,
        seed: int,
        batch: int,
        earlier: Sequence[VideoDiT] | None = None,
    ) -> None:
        self.source, self.settings, self.device = source, settings, device
        self.seed, self.batch = seed, batch
        source.text.model.to(device)
        self.sight = Sight.from_config(source.config.runtime)
        self.teacher = Teacher.from_config(
            source.dit.to(device), source.config, settings.opening_text
        )
        self.student = fresh_student(source.dit) if earlier is None else heir(source.dit, *earlier)
        self.target = deepcopy(self.student).requires_grad_(False)
        self.reader = PromptReader(source.dit, source.text.model, source.text.tokenizer)
        history = OwnHistory(self.target, self.sight, settings.own_history)
        self.distil = DistillLoss(
            self.student, self.target, self.teacher, self.sight, settings, history
        )
        alone = replace(settings, staircase_share=0.0, copies=1)
        self.distil_openings = DistillLoss(
            self.student, self.target, self.teacher, self.sight, alone
        )
        self._distance: Distance | None = None

    def follow(self, averaged: Mapping[str, Tensor]) -> None:
        """Make the target's parameters the very tensors that the loop averages into."""
        for name, parameter in self.target.named_parameters():
            parameter.data = averaged[f"dit.{name}"]

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self._measured(self.feed, step, step, seeded(self.seed, 5, step))

    def _measured(
        self, feed: ClipFeed, draw: int, turn: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        clips, openings = feed.draw(draw, generator), feed.plan.openings
        with self._bfloat16():
            loss, parts = self._lesson(self.distil, clips, turn, generator)
            if not openings:
                return loss, parts
            drawn = feed.draw_openings(draw, self.source.config.runtime.chunk_width, generator)
            first, _ = self._lesson(self.distil_openings, drawn, turn, generator)
        share = openings / (openings + sum(map(len, clips.prompts)))
        return torch.lerp(loss, first, share), parts | {"openings": first.detach()}

    def _lesson(
        self, distil: DistillLoss, drawn: Drawn, turn: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        stride = strides_of_step(turn, len(drawn.prompts), self.settings.shortest)
        return distil(*self._read(drawn), stride, generator)

    @torch.no_grad()
    def _read(self, drawn: Drawn) -> tuple[Clips, TextBatch]:
        return self.reader.read(drawn)

    def _bfloat16(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16)

    @torch.no_grad()
    def evaluate(self, step: int, export_to: Path) -> dict[str, float]:
        """Held-out loss, distances from the teacher, and an export of the weights in use."""
        _, parts = self._measured(self.held_out, 0, 0, seeded(HELD_OUT_SEED, 5))
        data = self.feed.store.recipe.data
        export(export_to, self.student, self.source, self.settings.shortest, data)
        with self._bfloat16():
            apart = self._judge().measure(self.student)
        return {f"held_out_{name}": float(value) for name, value in parts.items()} | apart

    def _judge(self) -> Distance:
        if self._distance is None:
            clips, text = self._read(self.held_out.draw(0, seeded(HELD_OUT_SEED, 6)))
            some = slice(0, JUDGED_CLIPS)
            few = Clips(clips.latents[some], clips.prompt[some], clips.given[some])
            self._distance = Distance(
                few, text, self.teacher, self.sight, self.settings.shortest, HELD_OUT_SEED
            )
        return self._distance
