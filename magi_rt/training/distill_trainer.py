"""Shortcut distillation of a trained world: one checkpoint for all step counts, without guidance.

The student starts as its teacher. The prompts are read by the teacher's text encoder, which stays
as it is, like the auto-encoder. Targets of longer steps come from the averaged weights of the
student: they share their storage with the training loop, so they cost nothing, and they are far
less noisy than the live ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.backends.devices import choose_device
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.checkpoints.layout import ModelFolder, missing_text_encoder, resolve
from magi_rt.checkpoints.networks import load_denoiser
from magi_rt.checkpoints.save import save_model
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.training.clip_feed import ClipFeed, FeedPlan, PromptReader
from magi_rt.training.codec import Codec
from magi_rt.training.distill_grid import stride_cycle, strides_of_step
from magi_rt.training.distill_history import OwnHistory
from magi_rt.training.distill_layouts import Sight
from magi_rt.training.distill_loss import DistillLoss, DistillSettings
from magi_rt.training.distill_measure import Distance
from magi_rt.training.distill_start import fresh_student, heir
from magi_rt.training.distill_targets import Teacher
from magi_rt.training.dit_growth import with_patches
from magi_rt.training.dit_trainer import HELD_OUT_SEED, Trainee, held_out_feed, optimisers
from magi_rt.training.flow_settings import Clips
from magi_rt.training.latent_shards import ShardRecipe, ShardStore
from magi_rt.training.loop import Loop, Outcome, Plan
from magi_rt.training.nano import CHUNKS_PER_CLIP, RUNTIME
from magi_rt.training.packed_dit import TextBatch
from magi_rt.training.seeds import seeded

DEFAULT_STEPS = 8
JUDGED_CLIPS = 4
NEVER_NEARLY_CLEAN = 1.0


@dataclass(frozen=True)
class Source:
    """A guided model folder, opened to be distilled."""

    folder: ModelFolder
    codec: Codec
    dit: VideoDiT
    text: T5TextEncoder
    text_files: Mapping[str, bytes]

    @classmethod
    def open(cls, model: str | Path) -> Source:
        """Raises:
        CheckpointError: it is no whole model.
        OptionError: it is distilled already, or its chunks are not those of the clips.
        """
        folder = resolve(model)
        frames = folder.config.runtime.frames_per_chunk
        if frames != RUNTIME.frames_per_chunk:
            raise OptionError(
                f"{model} has chunks of {frames} frames and clips have "
                f"{RUNTIME.frames_per_chunk}; distil a model that `magi-rt train dit` made",
                field="teacher",
            )
        if folder.config.runtime.cfg_number != 3:
            raise OptionError(
                f"{model} has its guidance folded in already (cfg_number "
                f"{folder.config.runtime.cfg_number}); distil the guided model it came from",
                field="teacher",
            )
        if folder.text_encoder is None:
            raise CheckpointError(missing_text_encoder(folder), field="text_encoder")
        sizes = folder.config.model
        text = T5TextEncoder.from_folder(
            folder.text_encoder, sizes.caption_max_length, sizes.caption_channels
        )
        files = {
            path.name: path.read_bytes() for path in folder.text_encoder.iterdir() if path.is_file()
        }
        return cls(folder, Codec.from_model(folder), load_denoiser(folder), text, files)

    def write_text_encoder(self, folder: Path) -> None:
        """The text encoder's files as they were when the model was opened."""
        for name, content in self.text_files.items():
            (folder / name).write_bytes(content)

    @property
    def config(self) -> MagiConfig:
        return self.folder.config

    def recipe(self, seed: int, **fields: Any) -> ShardRecipe:
        """Clips as this model makes them."""
        runtime = self.config.runtime
        usual = {
            "scale": runtime.scale_factor,
            "chunks": CHUNKS_PER_CLIP,
            "size": runtime.video_size_h,
        }
        return ShardRecipe(seed=seed, **(usual | fields))


def train_distill(
    out_dir: str | Path,
    teacher: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int = 12,
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
    lesson.feed = ClipFeed(store, FeedPlan(batch, steps_per_shard))
    lesson.held_out = held_out_feed(folder, recipe, source.codec.vae, batch)
    card: dict[str, Any] = {"batch": batch, "seed": seed, "rate": rate, "feed": steps_per_shard}
    card |= asdict(settings) | {"data": store.source.identity}
    card |= {"teacher": fingerprint(source.dit.named_parameters())}
    trainee = Trainee(lesson.student, nn.Module())
    loop = Loop(
        folder, trainee, lesson.loss, optimisers(trainee, rate),
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
        self.teacher = Teacher.from_config(source.dit.to(device), source.config)
        self.student = fresh_student(source.dit) if earlier is None else heir(source.dit, *earlier)
        self.target = deepcopy(self.student).requires_grad_(False)
        self.reader = PromptReader(source.dit, source.text.model, source.text.tokenizer)
        history = OwnHistory(self.target, self.sight, settings.own_history)
        self.distil = DistillLoss(
            self.student, self.target, self.teacher, self.sight, settings, history
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
        stride = strides_of_step(turn, self.batch, self.settings.shortest)
        with self._bfloat16():
            clips, text = self._read(feed, draw, generator)
            return self.distil(clips, text, stride, generator)

    def _read(
        self, feed: ClipFeed, draw: int, generator: torch.Generator
    ) -> tuple[Clips, TextBatch]:
        with torch.no_grad():
            return self.reader.read(feed.draw(draw, generator))

    def _bfloat16(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16)

    @torch.no_grad()
    def evaluate(self, step: int, export_to: Path) -> dict[str, float]:
        """Held-out loss, distances from the teacher, and an export of the weights in use."""
        _, parts = self._measured(self.held_out, 0, 0, seeded(HELD_OUT_SEED, 5))
        export(export_to, self.student, self.source, self.settings.shortest)
        with self._bfloat16():
            apart = self._judge().measure(self.student)
        return {f"held_out_{name}": float(value) for name, value in parts.items()} | apart

    def _judge(self) -> Distance:
        if self._distance is None:
            clips, text = self._read(self.held_out, 0, seeded(HELD_OUT_SEED, 6))
            some = slice(0, JUDGED_CLIPS)
            few = Clips(clips.latents[some], clips.prompt[some], clips.given[some])
            self._distance = Distance(
                few, text, self.teacher, self.sight, self.settings.shortest, HELD_OUT_SEED
            )
        return self._distance


def distilled_config(config: MagiConfig, shortest: int) -> MagiConfig:
    """The configuration of a guided model's student.

    Args:
        shortest: the fewest steps that it learned, which the configuration says.

    The student has learned its velocity with all of the history up to the last step. Mixing in a
    share of one without history, as the published distilled models do for nearly clean chunks,
    would only move it away from that and cost time; so no chunk counts as nearly clean.
    """
    return MagiConfig(
        config.model,
        replace(config.runtime, cfg_number=1, num_steps=DEFAULT_STEPS, shortest_steps=shortest),
        replace(
            config.engine,
            distill=True,
            distill_nearly_clean_chunk_threshold=NEVER_NEARLY_CLEAN,
        ),
    )


def export(folder: Path, student: VideoDiT, source: Source, shortest: int) -> None:
    """Write a model folder in the published layout: the student, all else from its teacher."""
    save_model(
        folder,
        distilled_config(source.config, shortest),
        denoiser=student.state_dict(),
        vae_config=source.codec.config,
        vae=source.codec.weights,
        write_text_encoder=source.write_text_encoder,
        matrix_dtype=torch.bfloat16,
        overwrite=True,
    )
