"""Small random models in the published layout, for every test that needs a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magi_rt.checkpoints.expected import Role, expected_tensors
from magi_rt.checkpoints.load import run_time_dtypes
from magi_rt.checkpoints.save import SHARD_BYTES, save_model
from magi_rt.checkpoints.text_encoder import save_text_encoder
from magi_rt.config import EngineConfig, MagiConfig, ModelConfig, RuntimeConfig
from magi_rt.models.t5 import T5Config, T5Encoder
from magi_rt.models.tokenizer import JsonTokenizer

CAPTION_CHANNELS = 32

SMALL_VAE: dict[str, Any] = {
    "_class_name": "ViTVAE",
    "model_type": "vit",
    "ddconfig": {
        "video_size": 32,
        "video_length": 8,
        "patch_size": 8,
        "patch_length": 4,
        "in_chans": 3,
        "z_chans": 16,
        "double_z": True,
        "embed_dim": 32,
        "depth": 1,
        "num_heads": 2,
        "mlp_ratio": 2,
        "qkv_bias": True,
        "with_cls_token": True,
        "norm_code": False,
        "ln_in_attn": True,
        "conv_last_layer": False,
        "use_rope": False,
        "use_final_proj": False,
    },
}


SMALL_RUNTIME: dict[str, Any] = {
    "prev_chunk_scales": (1.5, 1.5, 1.5, 1.0, 1.0),
    "text_scales": (7.5, 7.5, 7.5, 0.0, 0.0),
    "noise2clean_kvrange": (5, 4, 3, 2),
    "clean_chunk_kvrange": 1,
    "clean_t": 0.9999,
    "num_steps": 8,
    "video_size_h": 32,
    "video_size_w": 32,
    "chunk_width": 2,
    "load": ".",
    "t5_pretrained": "t5",
    "vae_pretrained": "vae",
}


def small_config(
    family: str = "4.5B", *, distill: bool = False, fp8: bool = False, **runtime: Any
) -> MagiConfig:
    """A tiny model with the structure of a published family ("4.5B" or "24B").

    Args:
        runtime: runtime keys that differ from the small defaults (8 steps, window 4, 2 latent
            frames per chunk, 32 x 32 pictures, float32).
    """
    model = ModelConfig(
        num_layers=3,
        hidden_size=64,
        ffn_hidden_size=96,
        num_attention_heads=8,
        num_query_groups=4,
        kv_channels=8,
        params_dtype="torch.float32",
        caption_channels=CAPTION_CHANNELS,
        caption_max_length=64,
    )
    if family == "24B":
        model = replace(
            model,
            x_rescale_factor=0.1,
            half_channel_vae=True,
            in_channels=32,
            out_channels=32,
            gated_linear_unit=True,
        )
    settings = SMALL_RUNTIME | {"cfg_number": 1 if distill or fp8 else 3} | runtime
    engine = EngineConfig(distill=distill, fp8_quant=fp8)
    return MagiConfig(model, RuntimeConfig(**settings), engine)


def random_denoiser(config: MagiConfig, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of a denoiser in their run-time dtypes; scales are positive."""
    generator = torch.Generator().manual_seed(seed)
    dtypes = run_time_dtypes(config)
    tensors = {}
    for name, (shape, role) in expected_tensors(config).items():
        values = torch.randn(shape, generator=generator)
        if role is Role.SCALE:
            values = 0.5 + values.abs() if "smooth" in name else torch.full(shape, 0.05)
        elif role is not Role.FP8:
            fan_in = shape[-1] if len(shape) > 1 else 16
            values = values / fan_in**0.5
        tensors[name] = values.to(dtypes[name])
    return tensors


def random_vae(config: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Random weights of an auto-encoder for the content of its config.json."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (0.2 if len(shape) > 1 else 0.05)
        for name, shape in vae_shapes(config["ddconfig"]).items()
    }


def vae_shapes(dd: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of an auto-encoder, written down apart from the network."""
    width, patch, length = dd["embed_dim"], dd["patch_size"], dd["patch_length"]
    hidden, latent, pixels = int(width * dd["mlp_ratio"]), dd["z_chans"], dd["in_chans"]
    volume = length * patch * patch
    rows = 1 + (dd["video_length"] // length) * (dd["video_size"] // patch) ** 2
    trunk: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, rows, width),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(dd["depth"]):
        for name, out, inner in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", hidden, width),
            ("mlp.fc2", width, hidden),
        ):
            trunk[f"blocks.{block}.{name}.weight"] = (out, inner)
            trunk[f"blocks.{block}.{name}.bias"] = (out,)
        trunk |= {f"blocks.{block}.norm2.{kind}": (width,) for kind in ("weight", "bias")}
    head = (
        {"last_layer.weight": (pixels, width // volume, 3, 3, 3), "last_layer.bias": (pixels,)}
        if dd["conv_last_layer"]
        else {"last_layer.weight": (pixels * volume, width), "last_layer.bias": (pixels * volume,)}
    )
    encoder = trunk | {
        "patch_embed.proj.weight": (width, pixels, length, patch, patch),
        "patch_embed.proj.bias": (width,),
        "last_layer.weight": (2 * latent, width),
        "last_layer.bias": (2 * latent,),
    }
    decoder = trunk | head | {"proj_in.weight": (width, latent), "proj_in.bias": (width,)}
    return {f"encoder.{name}": shape for name, shape in encoder.items()} | {
        f"decoder.{name}": shape for name, shape in decoder.items()
    }


def write_tiny_t5(folder: Path, channels: int = CAPTION_CHANNELS, seed: int = 0) -> None:
    """A random T5 encoder of one layer and a tokenizer that knows bytes only."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<pad>", "</s>", "<unk>", *alphabet]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.add_special_tokens(words[:3])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair=None, special_tokens=[("</s>", 1)]
    )
    config = T5Config(len(words), channels, d_kv=8, d_ff=64, num_heads=4, num_layers=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_text_encoder(folder, T5Encoder(config), JsonTokenizer(tokenizer))


def write_model(
    folder: Path,
    config: MagiConfig | None = None,
    *,
    seed: int = 0,
    text: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """A complete small model folder; the text encoder only when asked for (it takes a second)."""
    config = config or small_config()
    return save_model(
        folder,
        config,
        denoiser=random_denoiser(config, seed),
        vae_config=SMALL_VAE,
        vae=random_vae(SMALL_VAE, seed),
        write_text_encoder=write_tiny_t5 if text else None,
        shard_bytes=shard_bytes,
    )
