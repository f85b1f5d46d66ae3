"""Which graphs a recipe needs: the decoder's tiles, and the denoiser, cut where it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.networks import load_denoiser, load_vae
from magi_rt.config import MagiConfig, ModelConfig
from magi_rt.errors import ConfigError, OptionError
from magi_rt.export.chain import cuts, specs_of
from magi_rt.export.graphs import DecoderGraph, DenoiserGraph, DenoiserShape
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.recipes import Recipe
from magi_rt.export.to_onnx import OPSET, OPSET_ATTENTION
from magi_rt.models.dit import VideoDiT, is_float32_island
from magi_rt.models.dit_block import DiTBlock
from magi_rt.models.kv_cache import CacheShape
from magi_rt.models.vae import ViTVAE
from magi_rt.models.vae_config import Grid, VAEConfig
from magi_rt.models.vae_tiling import Axis, TileConfig
from magi_rt.presets import PRESETS

PUBLISHED_PATCH = 8  # pixels per latent of the published auto-encoder
WORKING = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "fp8": torch.bfloat16,
}

Mark = Callable[[Iterable[tuple[str, Tensor]]], str]
"""Digits that tell weights from others, of names and tensors."""


@dataclass(frozen=True)
class Part:
    """One graph to build.

    inputs: in the order of the graph's ``forward``, with their profiles where sizes vary.
    outputs: what it gives.
    weights: digits that tell its weights from others.
    vae: the auto-encoder's sizes, where the graph is of it.
    """

    name: str
    graph: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: str
    opset: int = OPSET
    vae: VAEConfig | None = None


@dataclass(frozen=True)
class Networks:
    """What graphs are made of; ``vae`` is ``None`` where only layers are tried."""

    config: MagiConfig
    mark: Mark
    dit: VideoDiT
    vae: ViTVAE | None = None


def open_networks(recipe: Recipe, mark: Mark, folder: str | Path | None = None) -> Networks:
    """Load what a recipe is for, on the processor.

    Args:
        folder: the model folder; needed where the recipe names a published configuration.

    Raises:
        CheckpointError, ConfigError: the folder is not there, incomplete or another model.
    """
    if folder is None and recipe.model in PRESETS:
        raise ConfigError(
            f"recipe {recipe.name} is for {recipe.model}, whose weights lie elsewhere: name their "
            "folder with --model DIR, or try the build with --random-layers 1",
            field="model",
        )
    found = resolve(folder if folder is not None else recipe.model)
    if recipe.model in PRESETS:
        _check_same(PRESETS[recipe.model], found.config, recipe.model)
    _check_quantised(recipe, found.config)
    dtype = WORKING[recipe.precision]
    dit = load_denoiser(found, params_dtype=_loadable(dtype))
    set_working_dtype(dit, dtype)
    return Networks(found.config, mark, dit, load_vae(found, dtype=dtype))


def random_layers(recipe: Recipe, mark: Mark, layers: int) -> Networks:
    """Layers of a published shape with random weights: to see that a builder takes them.

    Raises:
        OptionError: the recipe names no published configuration.
    """
    if recipe.model not in PRESETS:
        raise OptionError(
            f"model {recipe.model!r} is no published configuration; random layers need one of "
            f"{', '.join(PRESETS)}",
            field="model",
        )
    config = PRESETS[recipe.model]
    model = replace(config.model, num_layers=layers)
    dit = _random_dit(model, recipe.precision == "fp8", WORKING[recipe.precision])
    return Networks(replace(config, model=model), mark, dit)


def parts_of(recipe: Recipe, networks: Networks) -> Iterator[Part]:
    """Every graph of a recipe, one after another."""
    if "decoder" in recipe.parts and networks.vae is not None:
        yield from _decoder(recipe, networks, networks.vae)
    if "denoiser" in recipe.parts:
        yield from denoiser_parts(networks, _shape(recipe, networks))


def decoder_grids(recipe: Recipe, config: MagiConfig, vae: ViTVAE) -> list[Grid]:
    """Latent grids that the decoder is given: whole chunks, or all sizes of tiles."""
    patch, length = vae.config.patch_size, vae.config.patch_length
    chunk = (config.runtime.chunk_width, recipe.height // patch, recipe.width // patch)
    tiles = TileConfig.published(config.runtime.fps)
    cuts = zip(tiles.sizes, (length, patch, patch), tiles.overlaps, strict=True)
    axes = [Axis.cut(tile // by, tile // by * by, share) for tile, by, share in cuts]
    if all(size <= axis.stride for size, axis in zip(chunk, axes, strict=True)):
        return [chunk]
    sizes = [
        {min(axis.tile, size - start) for start in axis.starts(size)}
        for axis, size in zip(axes, chunk, strict=True)
    ]
    return [(t, h, w) for t, h, w in product(*(sorted(each, reverse=True) for each in sizes))]


def _decoder(recipe: Recipe, networks: Networks, vae: ViTVAE) -> Iterator[Part]:
    for grid in decoder_grids(recipe, networks.config, vae):
        # TensorRT has no 8-bit pictures inside a graph, so on cards they are made after it
        yield decoder_part(networks, grid, finished=False)


def decoder_part(networks: Networks, grid: Grid, *, finished: bool) -> Part:
    """The decoder of one latent grid (T, h, w), with 8-bit pictures or raw ones."""
    vae = networks.vae
    assert vae is not None
    name = f"decoder-{'x'.join(map(str, grid))}{'' if finished else '-raw'}"
    graph = DecoderGraph(vae, finished=finished)
    latents = TensorSpec("latents", "float32", (1, vae.config.z_chans, *grid))
    marks = networks.mark(vae.state_dict().items())
    pixels = given_by(graph, (latents,), ("pixels",))
    return Part(name, graph, (latents,), pixels, marks, vae=vae.config)


def _shape(recipe: Recipe, networks: Networks) -> DenoiserShape:
    """The largest call of a recipe: the chunks in flight, and one just finished."""
    config, model = networks.config, networks.config.model
    patch = PUBLISHED_PATCH if networks.vae is None else networks.vae.config.patch_size
    height, width = recipe.height // patch, recipe.width // patch
    cache = CacheShape(
        layers=model.num_layers,
        depth=recipe.history,
        groups=model.num_query_groups,
        tokens=config.runtime.chunk_width * height * width // model.patch_size**2,
        head_dim=model.head_dim,
        frames_per_chunk=config.runtime.chunk_width,
    )
    return DenoiserShape(
        cache=cache,
        branches=1,
        ranges=recipe.window + 1,
        height=height,
        width=width,
        text=model.caption_max_length,
        stage=0,
    )


def denoiser_parts(networks: Networks, shape: DenoiserShape) -> Iterator[Part]:
    """The denoiser for calls of one branch and 1 to ``shape.ranges`` ranges (``chain.py``).

    A part's name says its layers: "denoiser-0-17" has the first 17.
    """
    dit = networks.dit
    marks, half = networks.mark(dit.state_dict().items()), dit.working_dtype.itemsize == 2
    for layers in cuts(dit):
        name, graph = f"denoiser-{layers.start}-{layers.stop}", DenoiserGraph(dit, shape, layers)
        # runtimes for cards have a kernel for attention in 16 bits; in 32 it is written out
        opset = OPSET_ATTENTION if half else OPSET
        yield Part(name, graph, *specs_of(dit, shape, layers), marks, opset)


def given_by(
    graph: nn.Module, inputs: tuple[TensorSpec, ...], names: tuple[str, ...], place: int = 1
) -> tuple[TensorSpec, ...]:
    """Formats and sizes of what a graph gives for an :func:`example`; nothing is computed."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        found = graph(*example(inputs, place).values())
    given = found if isinstance(found, tuple) else (found,)
    return tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in zip(names, given, strict=True)
    )


def example(specs: tuple[TensorSpec, ...], place: int = 1) -> dict[str, Tensor]:
    """Inputs of zeros in the smallest (0), usual (1) or largest (2) sizes."""
    return {
        spec.name: torch.zeros(spec.sizes()[place], dtype=getattr(torch, spec.dtype))
        for spec in specs
    }


def _check_same(wanted: MagiConfig, found: MagiConfig, name: str) -> None:
    for key in ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads"):
        has, needs = getattr(found.model, key), getattr(wanted.model, key)
        if has != needs:
            raise ConfigError(
                f"this folder's model has {key} {has} but {name} has {needs}; "
                "choose the recipe of its family",
                field=key,
            )


def _check_quantised(recipe: Recipe, config: MagiConfig) -> None:
    if (recipe.precision == "fp8") != config.engine.fp8_quant:
        has = "8-bit" if config.engine.fp8_quant else "no 8-bit"
        raise OptionError(
            f"precision is {recipe.precision!r} but this model has {has} weights; use "
            + ("'fp8'" if config.engine.fp8_quant else "'bfloat16', or calibrate them first"),
            field="precision",
        )


def _loadable(dtype: torch.dtype) -> torch.dtype:
    return torch.bfloat16 if dtype == torch.bfloat16 else torch.float32


def set_working_dtype(dit: VideoDiT, dtype: torch.dtype) -> None:
    """Cast a network in place: all but the parts that stay float32, and 8-bit weights."""
    for name, parameter in dit.named_parameters():
        if parameter.dtype.itemsize > 1:
            kept = is_float32_island(name) or name.endswith("_scale")
            parameter.data = parameter.data.to(torch.float32 if kept else dtype)


def _random_dit(model: ModelConfig, quantised: bool, dtype: torch.dtype) -> VideoDiT:
    with torch.device("meta"):
        dit = VideoDiT(model)
        if quantised:
            blocks = [DiTBlock(model, layer, quantised=True) for layer in range(model.num_layers)]
            dit.videodit_blocks.layers = nn.ModuleList(blocks)
    set_working_dtype(dit, dtype)
    dit.to_empty(device="cpu").eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    for parameter in dit.parameters():
        _fill(parameter, draw)
    return dit


def _fill(parameter: torch.Tensor, draw: torch.Generator) -> None:
    """Small random numbers, repeated: quick, also for a gigabyte."""
    flat = parameter.data.view(-1)
    if flat.dtype == torch.float8_e4m3fn:
        # bit 6 is the exponent's highest: without it all are finite and below 2
        pattern = torch.randint(256, (2**16,), dtype=torch.uint8, generator=draw) & 0xBF
        flat = flat.view(torch.uint8)
    else:
        pattern = (torch.randn(2**16, generator=draw).abs() * 0.02 + 0.01).to(flat.dtype)
        if flat.numel() > 2**16:
            pattern[::2] *= -1
    whole = flat.numel() // len(pattern) * len(pattern)
    flat[:whole].view(-1, len(pattern)).copy_(pattern.expand(whole // len(pattern), -1))
    flat[whole:].copy_(pattern[: flat.numel() - whole])
