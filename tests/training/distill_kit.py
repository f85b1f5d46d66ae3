"""What the tests of distillation share: small random models, and clips for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from magi_rt.models.dit import VideoDiT
from magi_rt.sampling.guidance import combine
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import Chunk, StreamState
from magi_rt.sampling.window import plan_call
from magi_rt.training.distill_folders import Source
from magi_rt.training.dit_trainer import HELD_OUT_SEED
from magi_rt.training.flow_settings import Clips
from magi_rt.training.latent_shards import ShardStore
from magi_rt.training.packed_dit import TextBatch
from tests.sampling.kit import CHANNELS, SIDE, WIDTH, WatchedExecutor
from tests.support import random_denoiser, small_config, write_model

CHUNKS = 4
PROMPTS = ("", "sea", "ski")


def random_latents(frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(CHANNELS, frames, SIDE, SIDE, generator=generator)


def denoiser(seed: int = 0) -> VideoDiT:
    """The network of the sampler's test executor."""
    config = small_config()
    dit = VideoDiT(config.model)
    dit.load_state_dict(random_denoiser(config, seed))
    return dit.requires_grad_(False)


def text_batch(dit: VideoDiT) -> TextBatch:
    """``PROMPTS`` with the rows that the sampler's test executor gives them."""
    null = dit.null_text()
    rows, mask = torch.zeros(3, *null.shape), torch.zeros(3, len(null), dtype=torch.bool)
    rows[0], mask[0] = null, True
    for row, prompt in enumerate(PROMPTS[1:], start=1):
        seed = int.from_bytes(prompt.encode(), "big") % 2**31
        rows[row, :3] = torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))
        mask[row, :3] = True
    return TextBatch(rows, mask)


def some_clips(count: int = 1, given: bool = False) -> Clips:
    latents = torch.stack([random_latents(CHUNKS * WIDTH, 20 + k) for k in range(count)])
    prompt = torch.tensor([1, 2, 0, 1]).repeat(count, 1)
    return Clips(latents, prompt, torch.full((count,), given))


def ask_the_sampler(
    executor: WatchedExecutor,
    history: Tensor,
    noisy: Sequence[Tensor],
    prompts: Sequence[int],
    done: Sequence[int],
    **wishes: int,
) -> list[Tensor]:
    """Velocity of chunks in flight after whole chunks of history, as the running world has it.

    history: [channels, chunks * WIDTH, H, W]; noisy: one [channels, WIDTH, H, W] per chunk in
    flight, oldest first; done: steps behind each.
    """
    pipeline = ChunkPipeline(executor, SamplerConfig.from_config(executor.config, **wishes))
    state = pipeline.new_state(seed=1, latent_height=SIDE, latent_width=SIDE, prefix=history)
    chunks = [put(state, executor, *each) for each in zip(noisy, prompts, done, strict=True)]
    state.window = replace(state.window, in_flight=tuple(chunks))
    plan = plan_call(state.window, pipeline.sampler)
    weights = pipeline.sampler.guidance.weights(plan.noisy_times)
    with torch.no_grad():
        views = pipeline.predictor.predict(state, plan, weights)
        return [combine(seen, each) for seen, each in zip(views, weights, strict=True)]


def put(
    state: StreamState, executor: WatchedExecutor, noisy: Tensor, prompt: int, done: int
) -> Chunk:
    """Writes one more chunk in flight into a state."""
    index = state.window.next_index
    slot = state.slot(state.latents, 1 + index - state.beginning.chunks)
    slot.copy_(noisy)
    state.window = replace(state.window, next_index=index + 1)
    text = executor.text(PROMPTS[prompt])
    if not prompt:
        text = replace(text, context=executor.prepare_text(executor.null_text()))
    return Chunk(index, text, slot, steps_done=done)


def small_teacher(folder: Path) -> Path:
    """A whole guided model folder of random weights."""
    return write_model(folder, small_config(window_size=1, num_steps=16), text=True)


def ready_shards(run: Path, teacher: Path, clips: dict[str, int]) -> None:
    """Clips for a run in its folder, so that none are drawn."""
    source = Source.open(teacher)
    train = source.recipe(1, **clips)
    held_out = replace(train, seed=HELD_OUT_SEED, split="held_out")
    for name, seed, recipe in (("shards", 1, train), ("held_out", 2, held_out)):
        store = ShardStore(run / name, recipe, source.codec.vae)
        store.folder.mkdir(parents=True, exist_ok=True)
        latents = torch.stack([random_latents(CHUNKS * WIDTH, 10 * seed + k) for k in range(4)])
        told = [["a red ball", "wind", "", "snow"]] * 4
        openings = [["a red ball", None, None, "a red ball, snow"]] * 4
        made = {"prompts": told, "openings": openings, "made": store.made}
        words = {name: json.dumps(value) for name, value in made.items()}
        save_file({"latents": latents.bfloat16()}, store.path(0), words)
