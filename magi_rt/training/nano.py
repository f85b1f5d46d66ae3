"""The recipe of the built-in world: its sizes, and how its parts become one model folder."""

from __future__ import annotations

from dataclasses import replace

from magi_rt.config import EngineConfig, MagiConfig, ModelConfig, RuntimeConfig
from magi_rt.errors import OptionError

PICTURE = 128
CHUNKS_PER_CLIP = 8

LAYERS = 6
PATCH = 2


def model_of(layers: int = LAYERS, patch: int = PATCH) -> ModelConfig:
    """The 4.5B family at small size, in float32; one dial, the number of layers, sets it all.

    6 layers are 256 wide (4.6 M parameters), 9 are 384 (15 M), 12 are 512 (36 M). A token is a
    square of ``patch`` latents a side: 1 gives four times the tokens of 2, and of the work.

    Raises:
        OptionError: layers is not in 1..48, or patch is neither 1 nor 2.
    """
    if patch not in (1, 2):
        raise OptionError(f"patch is {patch}; use 1 or 2 latents a side", field="patch")
    if not 1 <= layers <= 48:
        raise OptionError(f"layers is {layers}; use 1 to 48, as in 6", field="layers")
    width = 64 * max(1, round(layers * 2 / 3))
    return ModelConfig(
        num_layers=layers,
        hidden_size=width,
        ffn_hidden_size=3 * width,
        num_attention_heads=8,
        num_query_groups=2,
        kv_channels=width // 8,
        params_dtype="torch.float32",
        patch_size=patch,
        caption_channels=128,
        caption_max_length=40,
    )


RUNTIME = RuntimeConfig(
    cfg_number=3,
    cfg_t_range=(0.0, 0.0217, 0.1, 0.3, 0.999),
    prev_chunk_scales=(1.5, 1.5, 1.5, 1.0, 1.0),
    text_scales=(2.25, 2.25, 2.25, 1.0, 1.0),
    noise2clean_kvrange=(5, 5, 5, 5),
    clean_chunk_kvrange=1,
    clean_t=0.9999,
    seed=1234,
    num_frames=240,
    video_size_h=PICTURE,
    video_size_w=PICTURE,
    num_steps=16,
    window_size=1,
    fps=24,
    chunk_width=2,
    t5_pretrained="t5",
    vae_pretrained="vae",
    scale_factor=1.0,
    load=".",
    deflicker=16.0,
)
"""Chunks of 8 frames, so that a prompt shows within a third of a second; one chunk in flight;
four clean chunks of history. Guidance by history at the published 1.5 keeps objects alive:
without it they vanish within half a minute of play (LOG.md)."""


def nano_config(scale_factor: float, model: ModelConfig | None = None) -> MagiConfig:
    """The built-in world's configuration; the scale makes its VAE's latents unit variance."""
    runtime = replace(RUNTIME, scale_factor=scale_factor)
    return MagiConfig(model or model_of(), runtime, EngineConfig(kv_offload=False))
