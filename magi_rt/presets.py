"""The six published configurations, each written as a difference from another.

Paths are relative to the model folder: the denoiser beside the config, `vae/`, and `t5/`.
"""

from __future__ import annotations

from dataclasses import replace

from magi_rt.config import EngineConfig, MagiConfig, ModelConfig, RuntimeConfig

_BASE_4B = MagiConfig(
    model=ModelConfig(
        num_layers=34,
        hidden_size=3072,
        ffn_hidden_size=12288,
        num_attention_heads=24,
        num_query_groups=8,
        kv_channels=128,
    ),
    runtime=RuntimeConfig(
        cfg_number=3,
        prev_chunk_scales=(1.5, 1.5, 1.5, 1.0, 1.0),
        text_scales=(7.5, 7.5, 7.5, 0.0, 0.0),
        noise2clean_kvrange=(5, 4, 3, 2),
        clean_chunk_kvrange=1,
        clean_t=0.9999,
        num_frames=96,
        load=".",
        t5_pretrained="t5",
        vae_pretrained="vae",
    ),
    engine=EngineConfig(cp_strategy="cp_ulysses", distributed_timeout_minutes=15),
)

_BASE_24B = replace(
    _BASE_4B,
    model=replace(
        _BASE_4B.model,
        num_layers=48,
        hidden_size=6144,
        ffn_hidden_size=16384,
        num_attention_heads=48,
        x_rescale_factor=0.1,
        half_channel_vae=True,
        in_channels=32,
        out_channels=32,
        gated_linear_unit=True,
    ),
    runtime=replace(_BASE_4B.runtime, num_steps=32, video_size_w=1280, t5_device="cuda"),
    engine=replace(_BASE_4B.engine, cp_size=8),
)


def _distilled(base: MagiConfig, num_steps: int) -> MagiConfig:
    """The variant whose guidance is folded into the weights."""
    return replace(
        base,
        runtime=replace(base.runtime, cfg_number=1, num_steps=num_steps),
        engine=replace(base.engine, distill=True),
    )


def _quantised(distilled: MagiConfig) -> MagiConfig:
    """The variant whose middle layers are held in 8-bit floats."""
    return replace(distilled, engine=replace(distilled.engine, fp8_quant=True))


PRESETS: dict[str, MagiConfig] = {
    "4.5B-base": _BASE_4B,
    "4.5B-distill": _distilled(_BASE_4B, num_steps=64),
    "4.5B-distill-fp8": _quantised(_distilled(_BASE_4B, num_steps=64)),
    "24B-base": _BASE_24B,
    "24B-distill": _distilled(_BASE_24B, num_steps=16),
    "24B-distill-fp8": _quantised(_distilled(_BASE_24B, num_steps=16)),
}
