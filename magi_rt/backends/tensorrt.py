"""TensorRT and TensorRT for RTX on a card: the networks as engines, pictures through pinned memory.

Engines are those of ``magi-rt compile``: found in the plan cache, or built when a world is opened.
Weights lie on the card once, in the engines: PyTorch keeps there only what it computes itself, and
the rest in host memory, from which engines are built.

This executor has not been run on a card. What it asks of the runtime is tested with a stand-in, and
engines are built for real in the tests; their speed and their numbers on a card are not known yet.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from magi_rt.backends.devices import choose_device
from magi_rt.backends.eager import EagerExecutor, Loaded, loaded, parts_of
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.backends.graph_inputs import TextRoom, VisibleRoom, shape_of
from magi_rt.backends.kept_plans import plan_for
from magi_rt.backends.tensorrt_chain import Chain
from magi_rt.backends.tensorrt_lanes import Lanes, Pixels
from magi_rt.backends.tensorrt_session import EngineSession, Scratch
from magi_rt.checkpoints.layout import locate
from magi_rt.errors import BackendError
from magi_rt.export.builders import Builder, find_builder
from magi_rt.export.builders_tensorrt import runtime_for
from magi_rt.export.chain import WORKING, cuts, sizes_of
from magi_rt.export.compile import build_part, identify
from magi_rt.export.graphs import DenoiserShape
from magi_rt.export.parts import Networks, Part, decoder_part, denoiser_parts
from magi_rt.export.plan_cache import Plan, PlanCache
from magi_rt.export.targets import Target, target_of
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.vae import ViTVAE, to_uint8
from magi_rt.models.vae_config import Grid
from magi_rt.models.vae_tiling import decode_frames

logger = logging.getLogger(__name__)

Open = Callable[[Plan, Scratch], EngineSession]


class TensorRTExecutor(EagerExecutor):
    """Denoiser and decoder as engines, the rest by PyTorch.

    A world waits for the pictures of a chunk before it denoises the next one, though both have
    streams of their own.

    Args:
        parts: the networks, in host memory; what PyTorch computes is brought to the card.
        builder: builds engines.
        target: the card they are built for.
        lanes: the card's streams.
        load: makes a plan's engine ready to run.
        plans: where engines are kept, ``None`` for the user's cache.

    Raises:
        BackendError: the runtime is not installed.
    """

    packs = False  # graphs are made from plain layers
    batched_tokens = 0  # every branch is a call of its own, so one chain of engines answers all

    def __init__(
        self,
        parts: Loaded,
        builder: Builder,
        target: Target,
        lanes: Lanes,
        load: Open,
        plans: PlanCache | None = None,
    ) -> None:
        super().__init__(*parts)
        self.builder, self.target, self.lanes, self._load = builder, target, lanes, load
        self.plans = plans or PlanCache()
        self.precision = "fp8" if self.config.engine.fp8_quant else self.info.dtype
        self.networks = Networks(self.config, fingerprint, self.dit, self.vae)
        self._texts, self._visible = TextRoom(), VisibleRoom(lanes.device)
        self._chain: Chain | None = None
        self._denoising, self._decoding = Scratch(lanes.device), Scratch(lanes.device)
        self._decoders: dict[Grid, EngineSession] = {}
        self._expected: dict[DenoiserShape, None] = {}
        self._ranges = self.config.runtime.window_size + 1
        reason = (
            f"{builder.runtime} {builder.version()} for {target.name}, products in {self.precision}"
        )
        self.info = replace(self.info, name="tensorrt", reason=reason)
        self.move(lanes.device)

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "auto",
    ) -> Self:
        """Load a model folder or a built-in world; errors also as in :meth:`EagerExecutor.open`.

        Args:
            device: "auto", "cuda" or "cuda:N".
            dtype: "float32" or "bfloat16"; "auto" is bfloat16 where the card has it. 8-bit weights
                stay 8-bit.
            attention: "auto"; engines have their own.

        Raises:
            BackendError: there is no card, or no runtime for it is installed.
            OptionError: the card has no arithmetic of that format.
        """
        if device == "cpu" or not torch.cuda.is_available():
            raise BackendError(
                "backend 'tensorrt' runs on NVIDIA cards and PyTorch has none to use here; "
                "use backend='auto'",
                field="backend",
            )
        place = choose_device(device)
        capability, card = (
            torch.cuda.get_device_capability(place),
            torch.cuda.get_device_name(place),
        )
        target = target_of(capability)
        working = target.usual_precision if dtype == "auto" else dtype
        target.check_precision("fp8" if locate(model).config.engine.fp8_quant else working)
        # all that may refuse comes before weights are read
        builder = find_builder(runtime_for(target))
        return cls(
            loaded(model, "cpu", working, attention),
            builder,
            target,
            Lanes(place),
            lambda plan, scratch: EngineSession.open(plan, scratch, capability, card),
        )

    def move(self, place: torch.device) -> None:
        """Bring what PyTorch computes to a card; what engines are built from stays where it is."""
        decoder = self.vae.decoder
        self.vae = copy.deepcopy(self.vae, {id(decoder): decoder})  # an encoder of our own, only
        self.vae.encoder.to(place)
        mine: list[nn.Module] = [self.dit.t_embedder, self.dit.y_embedder, self.dit.rope]
        for block in self.dit.blocks():
            own = block.self_attention
            mine += (block.ada_modulate_layer, own.linear_kv_xattn, own.k_layernorm_xattn)
        for module in mine:
            module.to(place)
        self.device, self.info = place, replace(self.info, device=str(place))

    def expect(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        """A call of this kind will come; tensors may be on the meta device."""
        for part in parts_of(inputs, cache, self.batched_tokens):
            self._expected[self._shape(part, cache)] = None

    @torch.inference_mode()
    def warm_up(self) -> float:
        """Finds or builds the engines of the expected calls and runs each once; returns seconds.

        Kernels that the runtime made for them are kept for the next process.
        """
        begun = time.perf_counter()
        expected, self._expected = self._expected, {}
        self._ranges = max((shape.ranges for shape in expected), default=self._ranges)
        for shape in expected:
            self._rehearse(self._chain_for(shape), shape)
        width, channels = self.config.runtime.chunk_width, self.config.model.latent_channels
        for height, breadth in {(shape.height, shape.width) for shape in expected}:
            self.decode(torch.zeros(channels, width, height, breadth, device=self.device))
        self._keep_kernels()
        return time.perf_counter() - begun

    def _rehearse(self, chain: Chain, shape: DenoiserShape) -> None:
        """One call of zeros: runtimes make kernels for a size when they first see it."""
        working = self.dit.working_dtype
        sizes, _ = sizes_of(self.config.model, shape, range(shape.cache.layers))
        given = {
            name: torch.zeros(
                size, dtype=working if name in WORKING else torch.float32, device=self.device
            )
            for name, size in sizes.items()
        }
        self.lanes.denoise(lambda stream: chain.run(given, stream))

    def _keep_kernels(self) -> None:
        links = self._chain.links if self._chain is not None else ()
        with self.lanes.card():
            for session in (*(session for _, session in links), *self._decoders.values()):
                session.keep_kernels()

    def _shape(self, inputs: DenoiseInputs, cache: RollingKVCache) -> DenoiserShape:
        return shape_of(inputs, cache, self.config.model.caption_max_length)

    def _forward(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        chain = self._chain_for(self._shape(inputs, cache))
        texts = self._texts.get(inputs, chain.shape.text)
        given = {
            "latents": inputs.latents[None].to(self.device).contiguous(),
            "gates": self._gates_of(inputs).contiguous(),
            "rope": self._rope_of(inputs, cache).contiguous(),
            "ring_keys": cache.keys,
            "ring_values": cache.values,
            "visible": self._visible.get(inputs, cache),
            "text_keys": texts.keys,
            "text_values": texts.values,
            "text_visible": texts.visible,
        }
        staging = None if inputs.stage_branch is None else cache
        return self.lanes.denoise(lambda stream: chain.run(given, stream, staging))

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [C, T, h, w] -> uint8 [4T, H, W, 3] in host memory, the caller's own."""
        return self.begin_decode(latents).wait().clone()

    @torch.inference_mode()
    def begin_decode(self, latents: Tensor) -> Pixels:
        """Start decoding; the pictures are waited for later. Worlds do so at once (``decode``).

        Two chunks may be on their way at once: a third overwrites the first.
        """
        scaled = latents.to(self.device) / self.config.runtime.scale_factor
        return self.lanes.begin_decode(
            scaled,
            # the tiling asks no more of an auto-encoder than this class has
            lambda x, on: decode_frames(cast(ViTVAE, _EngineDecoder(self, on)), x, self.tiles),
        )

    def _chain_for(self, shape: DenoiserShape) -> Chain:
        """The engines that answer a call: one chain is held, as it has all the weights."""
        if self._chain is None or not self._chain.answers(shape):
            ranges = max(shape.ranges, self._ranges)
            if self._chain is not None:
                logger.warning(
                    "a call of %s ranges, %s chunks of history and %sx%s latents does not fit the "
                    "engines that are loaded; others take their place",
                    shape.ranges, shape.cache.depth, shape.height, shape.width,
                )  # fmt: skip
            self._chain = None  # before the others are loaded: a card may not hold both
            wanted = replace(shape, ranges=ranges)
            parts = denoiser_parts(self.networks, wanted)
            links = [
                (layers, self._ready(part, self._denoising))
                for layers, part in zip(cuts(self.dit), parts, strict=True)
            ]
            self._chain = Chain(wanted, links)
        return self._chain

    def decoder(self, grid: Grid) -> EngineSession:
        """The engine for one latent grid."""
        if grid not in self._decoders:
            part = decoder_part(self.networks, grid, finished=False)
            self._decoders[grid] = self._ready(part, self._decoding)
        return self._decoders[grid]

    def _ready(self, part: Part, scratch: Scratch) -> EngineSession:
        identity = identify(part, self.config, self.precision, self.target, self.builder)

        def build(into: Path) -> None:
            logger.info(
                "%s builds %s for %s, once; it is kept in %s. magi-rt compile builds beforehand, "
                "for a recipe of the same size, window and history",
                self.builder.runtime, part.name, self.target.name, self.plans.folder,
            )  # fmt: skip
            with torch.inference_mode(False), torch.no_grad():
                build_part(part, identity, self.target, self.builder, into)

        with self.lanes.card():
            return self._load(plan_for(self, self.plans, identity, build), scratch)


class _EngineDecoder:
    """The decoder's engines where the tiling expects an auto-encoder."""

    def __init__(self, executor: TensorRTExecutor, stream: int) -> None:
        self.executor, self.stream, self.config = executor, stream, executor.vae.config

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [1, Z, T, h, w] -> pixels [1, 3, F, H, W] float32."""
        _, _, t, h, w = latents.shape
        given = {"latents": latents.contiguous()}
        return self.executor.decoder((t, h, w)).run(given, self.stream)["pixels"].clone()

    def decode_pixels(self, latents: Tensor) -> Tensor:
        """Latents [1, Z, T, h, w] -> pictures [1, F, H, W, 3] uint8."""
        return to_uint8(self.decode(latents)).permute(0, 2, 3, 4, 1)
