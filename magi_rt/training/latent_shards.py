"""Clips as latents, made in numbered shards.

Shard k depends on (seed, k) alone, so a run that was killed finds or remakes the very same data.
Shards are kept as files in the run's folder; a training step draws from all shards up to its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from magi_rt.backends.fingerprint import fingerprint
from magi_rt.errors import OptionError
from magi_rt.models.vae import ViTVAE, from_uint8
from magi_rt.training.checkpoint import write_tensors
from magi_rt.training.recordings.source import FRAMES_PER_CHUNK, ClipSource, open_source

ENCODE_BATCH = 64  # chunks per VAE call
VERSION = 3
"""Of how clips become shards; files of another one are refused."""


@dataclass(frozen=True)
class Shard:
    """latents: [clips, channels, R * latent frames, h, w] bfloat16, scaled; prompts per chunk.

    ``openings`` [clips][R]: as in ``ClipBatch``. The first ``still`` clips begin with a still
    picture of one latent frame.
    """

    latents: Tensor
    prompts: list[list[str]]
    openings: list[list[str | None]]
    still: int


@dataclass(frozen=True)
class ShardRecipe:
    """What a shard holds; latents are multiplied with ``scale``.

    ``data`` is a made-up world or a folder of recordings, as in ``recordings.open_source``.

    ``still`` clips of each shard begin with a picture held for one latent frame, as an image start
    does: the last of that frame's. All that follows is in its place, so that prompts hold when they
    are told.
    """

    seed: int
    scale: float
    clips: int = 96
    chunks: int = 8
    size: int = 128
    split: str = "train"
    still: int = 16
    data: str = "toybox"


class ShardStore:
    """Makes, keeps and reads shards.

    With ``workers`` above 0, so many processes make the shards that come next while this one
    trains; they are the same shards.
    """

    def __init__(self, folder: Path, recipe: ShardRecipe, vae: ViTVAE, workers: int = 0) -> None:
        self.folder, self.recipe, self.vae = folder, recipe, vae
        self.makers = ShardMakers(self, workers) if workers else None

    @cached_property
    def source(self) -> ClipSource:
        """Where clips come from; opened when the first shard is made."""
        return open_source(self.recipe.data, self.recipe.size)

    def get(self, index: int) -> Shard:
        """Shard ``index``, from its file or made now."""
        if self.makers is not None:
            self.makers.finish(index)
        path = self.path(index)
        if path.exists() and (kept := self._kept(path)) is not None:
            return kept
        shard = self.make(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        told = {"prompts": shard.prompts, "openings": shard.openings, "made": self.made}
        words = {name: json.dumps(value) for name, value in told.items()}
        write_tensors(path, {"latents": shard.latents}, words, temporary)
        return shard

    def _kept(self, path: Path) -> Shard | None:
        """The shard of a file; None where the file is damaged, as by a machine that went down."""
        try:
            with safe_open(path, "pt") as file:
                known = file.metadata() or {}
                self._check(path, json.loads(known.get("made", "{}")))
                prompts, openings = (json.loads(known[name]) for name in ("prompts", "openings"))
                return Shard(file.get_tensor("latents"), prompts, openings, self.recipe.still)
        except SafetensorError:
            return None

    @cached_property
    def made(self) -> dict[str, Any]:
        """All that a shard follows from besides its number."""
        mark = fingerprint(self.vae.named_parameters())
        return {
            **asdict(self.recipe),
            "version": VERSION,
            "data": self.source.identity,
            "vae": mark,
        }

    def _check(self, path: Path, made: dict[str, Any]) -> None:
        """Raise OptionError where a file was made otherwise than this store makes shards."""
        for key, wanted in self.made.items():
            if made.get(key) != wanted:
                raise OptionError(
                    f"{path} was made with {key} {made.get(key)!r}, and this run has {wanted!r}; "
                    f"give the same, or take a folder without the shards of another run",
                    field=key,
                )

    def close(self) -> None:
        """Ends the working processes; shards that nobody waits for are not made any more."""
        if self.makers is not None:
            self.makers.pool.shutdown(cancel_futures=True)

    def path(self, index: int) -> Path:
        """Where shard ``index`` is kept."""
        return self.folder / f"shard-{index:05d}.safetensors"

    def make(self, index: int) -> Shard:
        """Shard ``index``, made now; pictures are drawn in float32 whoever asks for them."""
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + index)
        with torch.autocast("cpu", enabled=False):
            clips = self.source.draw(recipe.clips, recipe.chunks, generator, recipe.split)
        pixels, still = clips.pixels, min(recipe.still, recipe.clips)
        held = self.vae.config.patch_length - 1
        pixels[:still, :held] = pixels[:still, held : held + 1]
        return Shard(self.encode(pixels), clips.prompts, clips.openings, still)

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [B, F, H, W, 3] -> scaled latents [B, C, F / 4, h, w] bfloat16, chunk by chunk."""
        batch = pixels.shape[0]
        per_chunk = FRAMES_PER_CHUNK
        chunks = pixels.unflatten(1, (-1, per_chunk)).flatten(0, 1)
        parts, device = [], next(self.vae.parameters()).device
        for some in chunks.split(ENCODE_BATCH):
            volume = from_uint8(some.to(device)).permute(0, 4, 1, 2, 3)
            with torch.autocast(device.type, torch.bfloat16):
                mean = self.vae.encode(volume)
            parts.append((mean.float() * self.recipe.scale).bfloat16().cpu())
        latents = torch.cat(parts).unflatten(0, (batch, -1))
        out: Tensor = latents.permute(0, 2, 1, 3, 4, 5).flatten(2, 3).contiguous()
        return out


class ShardMakers:
    """Processes that make shards ahead of training, each on one core."""

    def __init__(self, store: ShardStore, workers: int) -> None:
        alone = ShardStore(store.folder, store.recipe, deepcopy(store.vae).cpu())
        self.store, self.workers = store, workers
        self.pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _work_for, (alone,)
        )
        self.begun: dict[int, Future[None]] = {}

    def finish(self, index: int) -> None:
        """Waits for one shard, and has those after it made meanwhile."""
        for ahead in range(index, index + 1 + 2 * self.workers):
            if ahead not in self.begun and not self.store.path(ahead).exists():
                self.begun[ahead] = self.pool.submit(_make, ahead)
        if index in self.begun:
            self.begun.pop(index).result()


_store: ShardStore
"""Of a working process."""


def _work_for(store: ShardStore) -> None:
    global _store
    _store = store
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's, which ends this one
    torch.set_num_threads(1)


def _make(index: int) -> None:
    _store.get(index)
