"""What is measured: a model with its trained weights, or a shape filled with random ones.

Random weights cost the same time and memory as trained ones, so a published shape can be measured
on a machine that does not have its checkpoint. Pictures are noise, and reports say so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from magi_rt.backends.base import EngineInfo
from magi_rt.backends.compiled import CompiledExecutor
from magi_rt.backends.devices import choose_device, choose_dtype
from magi_rt.backends.eager import EagerExecutor
from magi_rt.config import MagiConfig
from magi_rt.errors import BackendError, OptionError
from magi_rt.free_memory import free_on
from magi_rt.models.dit import VideoDiT, is_float32_island
from magi_rt.models.fp8 import Fp8Linear
from magi_rt.models.rotary import initial_bands
from magi_rt.models.vae import VAEConfig, ViTVAE
from magi_rt.presets import PRESETS
from magi_rt.training.nano import model_of, nano_config
from magi_rt.training.vae_trainer import NANO_VAE
from magi_rt.world.machine import WorldMachine
from magi_rt.world.options import WorldOptions

PUBLISHED_VAE = VAEConfig(
    video_size=256, video_length=16, patch_size=8, patch_length=4, in_chans=3, z_chans=16,
    double_z=True, embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4, qkv_bias=True,
    ln_in_attn=True, conv_last_layer=True,
)  # fmt: skip
TINY_VAE = replace(NANO_VAE, video_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2)
ROOM = 1.3
"""Free memory asked for, as a multiple of the weights: what a stream needs comes on top."""


@dataclass(frozen=True)
class Subject:
    """A machine to measure and where its weights come from, "trained" or "random"."""

    machine: WorldMachine
    weights: str


def open_subject(model: str, options: WorldOptions, *, random_weights: bool = False) -> Subject:
    """Opens what is to be measured.

    Args:
        model: a built-in world or a model folder; with ``random_weights`` also the name of a
            published variant. "tiny" is a very small shape that always has random weights.

    Raises:
        OptionError: the model has no networks, or no shape of that name is known.
        BackendError: a published shape without a GPU, or too little memory.
        MagiError: the model cannot be opened, as in ``World.open``.
    """
    if "dummy" in (model, options.backend):
        raise OptionError(
            "the dummy world has no networks to measure; use nano, tiny or a model folder",
            field="model",
        )
    if random_weights or model == "tiny":
        return Subject(_random_machine(model, options), "random")
    return Subject(WorldMachine.open(model, options, image=None, video=None), "trained")


def _random_machine(model: str, options: WorldOptions) -> WorldMachine:
    executor = random_executor(
        model, backend=options.backend, device=options.device, dtype=options.dtype
    )
    machine = WorldMachine.around(executor, model, options)
    note = "the weights are random: pictures are noise, times and memory are as trained"
    return replace(machine, notes=(note, *machine.notes))


class RandomText(EagerExecutor):
    """Text rows that follow from the prompt's words, for executors without a text encoder."""

    def encode_text(self, prompt: str) -> Tensor:
        """One row per word, [words, caption_channels] float32."""
        words = prompt.split()[: self.config.model.caption_max_length]
        seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:7], "big")
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(len(words), self.config.model.caption_channels, generator=generator)
        return rows.to(self.device)


class RandomExecutor(RandomText):
    """The eager executor on random weights."""


class RandomCompiledExecutor(RandomText, CompiledExecutor):
    """The compiled executor on random weights."""


def random_executor(
    model: str,
    *,
    backend: str = "eager",
    device: str = "auto",
    dtype: str = "auto",
    fp8: bool = False,
    seed: int = 0,
) -> RandomText:
    """A shape by name with random weights; arguments and errors as in :func:`random_networks`.

    Args:
        backend: "eager" or "compiled"; "auto" is eager.
    """
    kind = RandomCompiledExecutor if backend == "compiled" else RandomExecutor
    config, dit, vae, info = random_networks(model, device=device, dtype=dtype, fp8=fp8, seed=seed)
    return kind(config, dit, vae, None, info)


def random_networks(
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    fp8: bool = False,
    seed: int = 0,
) -> tuple[MagiConfig, VideoDiT, ViTVAE, EngineInfo]:
    """What an executor is made of, with random weights.

    Args:
        fp8: the quantised layout, weights of the middle layers in 8 bits.

    Raises:
        OptionError: no shape of that name is known.
        BackendError: a published shape without a GPU, or too little memory.
    """
    config, vae_config = shape_named(model)
    if fp8:  # quantised models are distilled ones: one view, no guidance
        runtime = replace(config.runtime, cfg_number=1)
        config = replace(config, engine=replace(config.engine, fp8_quant=True), runtime=runtime)
    place = choose_device(device)
    if model in PRESETS and place.type != "cuda":
        raise BackendError(
            f"{model} in its published size needs a CUDA device, and this would run on {place}; "
            "use nano or tiny, or a machine with a GPU",
            field="device",
        )
    working, reason = choose_dtype(dtype, config, place)
    with torch.device("meta"):
        dit, vae = VideoDiT(config.model, fp8=fp8), ViTVAE(vae_config)
    _refuse_too_large(model, [*dit.parameters(), *vae.parameters()], working, place)
    generator = torch.Generator(place).manual_seed(seed)
    _fill(dit, working, generator)
    _fill(vae, working, generator)
    info = EngineInfo(
        name="eager",
        device=str(place),
        dtype=str(working).removeprefix("torch."),
        threads=torch.get_num_threads(),
        reason=f"{reason}, on random weights",
        weights=f"random {seed}",
    )
    return config, dit.requires_grad_(False), vae.requires_grad_(False), info


def shape_named(model: str) -> tuple[MagiConfig, VAEConfig]:
    """Configuration of a model's two networks by name: "tiny", "nano" or a published variant.

    Raises:
        OptionError: the name is unknown, or the variant is quantised.
    """
    if model == "nano":
        return nano_config(1.0), NANO_VAE
    if model == "tiny":
        nano = nano_config(1.0)
        small = replace(model_of(), num_layers=2, hidden_size=64, ffn_hidden_size=96, kv_channels=8)
        runtime = replace(nano.runtime, num_steps=8, video_size_h=32, video_size_w=32)
        return replace(nano, model=small, runtime=runtime), TINY_VAE
    if model not in PRESETS:
        names = ", ".join(("tiny", "nano", *PRESETS))
        raise OptionError(
            f"no shape is known by the name {model!r}; random weights can fill {names}",
            field="model",
        )
    if PRESETS[model].engine.fp8_quant:
        raise OptionError(
            f"{model} is quantised, which random weights cannot stand for; measure "
            f"{model.removesuffix('-fp8')}, or a folder with its checkpoint",
            field="model",
        )
    return PRESETS[model], PUBLISHED_VAE


def _refuse_too_large(
    model: str, parameters: list[nn.Parameter], dtype: torch.dtype, place: torch.device
) -> None:
    needed = int(ROOM * sum(each.numel() for each in parameters) * dtype.itemsize)
    free = free_on(place)
    if free is not None and needed > free:
        raise BackendError(
            f"{model} needs about {needed / 1e9:.1f} GB on {place} and {free / 1e9:.1f} GB are "
            "free; free some, or measure a smaller model",
            field="model",
        )


@torch.no_grad()
def _fill(network: nn.Module, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Gives a network on the meta device random weights that keep numbers in a usual range."""
    for prefix, module in network.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if isinstance(module, Fp8Linear):
                filled = _quantised(module, name, generator)
                setattr(module, name, nn.Parameter(filled, requires_grad=False))
                continue
            kept = isinstance(network, VideoDiT) and is_float32_island(f"{prefix}.{name}")
            values = torch.empty(
                parameter.shape,
                dtype=torch.float32 if kept else dtype,
                device=generator.device,
            )
            if name == "bands":
                values.copy_(initial_bands(8 * values.numel()))
            elif values.dim() > 1:
                values.normal_(std=values[0].numel() ** -0.5, generator=generator)
            else:
                offset = getattr(module, "offset", 0.0)
                values.fill_(1.0 - float(offset) if name == "weight" else 0.0)
            setattr(module, name, nn.Parameter(values))


def _quantised(layer: Fp8Linear, name: str, generator: torch.Generator) -> Tensor:
    """One parameter of an 8-bit layer; its scales undo each other up to a usual range."""
    shape: torch.Size = getattr(layer, name).shape
    if name != "weight":
        usual = layer.weight.shape[-1] ** -0.5 / 64 if name == "weight_scale" else 1 / 32
        return torch.full(shape, usual, device=generator.device)
    values = torch.empty(shape, device=generator.device)
    return values.normal_(std=64.0, generator=generator).to(torch.float8_e4m3fn)
