"""TensorRT and TensorRT for RTX on a card: the networks as engines, two streams, pinned pictures.

Engines are those of ``magi-rt compile``: found in the plan cache, or built when a world is opened.

This executor has not been run on a card. What it asks of the runtime is tested with a stand-in, and
engines are built for real in the tests; their speed and their numbers on a card are not known yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor, parts_of
from magi_rt.backends.fingerprint import fingerprint
from magi_rt.backends.graph_inputs import TextRoom, shape_of, visible_chunks
from magi_rt.backends.tensorrt_lanes import Lanes, Pixels
from magi_rt.backends.tensorrt_session import EngineSession
from magi_rt.errors import BackendError
from magi_rt.export.builders import Builder, find_builder
from magi_rt.export.compile import build_part, identify
from magi_rt.export.graphs import DenoiserShape
from magi_rt.export.parts import Networks, Part, decoder_part, denoiser_part
from magi_rt.export.plan_cache import Plan, PlanCache
from magi_rt.export.targets import TARGETS, Target, spell
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.vae import ViTVAE, to_uint8
from magi_rt.models.vae_tiling import decode_frames

Open = Callable[[Plan], EngineSession]


def target_of(capability: tuple[int, int]) -> Target:
    """The target with this compute capability; a card that no recipe names gets one of its own.

    Cards of one capability share their engines, so the first target that has it will do.
    """
    for target in TARGETS.values():
        if target.capability == capability:
            return target
    return Target(f"sm{spell(capability)}", ("tensorrt_rtx", "tensorrt"), capability)


class TensorRTExecutor(EagerExecutor):
    """Denoiser and decoder as engines beside each other on two streams, the rest by PyTorch."""

    packs = False  # graphs are made from plain layers

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
            dtype: "float32" or "bfloat16"; "auto" is bfloat16, and 8-bit weights stay 8-bit.
            attention: "auto"; engines have their own.

        Raises:
            BackendError: there is no card, or its runtime is not installed.
        """
        if device == "cpu" or not torch.cuda.is_available():
            raise BackendError(
                "backend 'tensorrt' runs on NVIDIA cards and PyTorch has none to use here; "
                "use backend='auto'",
                field="backend",
            )
        working = "bfloat16" if dtype == "auto" else dtype
        opened = super().open(model, device=device, dtype=working, attention=attention)
        place = opened.device
        capability, card = (
            torch.cuda.get_device_capability(place),
            torch.cuda.get_device_name(place),
        )
        target = target_of(capability)
        opened.adopt(
            find_builder(target.choose_runtime()),
            target,
            Lanes(place),
            lambda plan: EngineSession.open(plan, place, capability, card),
        )
        return opened

    def adopt(
        self,
        builder: Builder,
        target: Target,
        lanes: Lanes,
        load: Open,
        cache: PlanCache | None = None,
    ) -> None:
        """Take what builds engines, what loads them, and the card's streams; once, before a call.

        Raises:
            BackendError: the runtime is not installed.
        """
        self.builder, self.target, self.lanes, self._load = builder, target, lanes, load
        self.plans = cache or PlanCache()
        self.precision = "fp8" if self.config.engine.fp8_quant else self.info.dtype
        self.networks = Networks(self.config, fingerprint, self.dit, self.vae)
        self._texts = TextRoom()
        self._sessions: dict[object, EngineSession] = {}
        self._expected: dict[DenoiserShape, None] = {}
        reason = (
            f"{builder.runtime} {builder.version()} for {target.name}, products in {self.precision}"
        )
        self.info = replace(self.info, name="tensorrt", reason=reason)

    def expect(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        """A call of this kind will come; tensors may be on the meta device."""
        for part in parts_of(inputs, cache):
            self._expected[self._shape(part, cache)] = None

    @torch.inference_mode()
    def warm_up(self) -> float:
        """Finds or builds all engines of the expected calls and loads them; returns seconds."""
        begun = time.perf_counter()
        expected, self._expected = self._expected, {}
        for shape in expected:
            self._denoiser(shape)
        width, channels = self.config.runtime.chunk_width, self.config.model.latent_channels
        for height, breadth in {(shape.height, shape.width) for shape in expected}:
            self.decode(torch.zeros(channels, width, height, breadth, device=self.device))
        return time.perf_counter() - begun

    def _shape(self, inputs: DenoiseInputs, cache: RollingKVCache) -> DenoiserShape:
        return shape_of(inputs, cache, self.config.model.caption_max_length)

    def _forward(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        shape = self._shape(inputs, cache)
        texts, session = self._texts.get(inputs, shape.text), self._denoiser(shape)
        given = {
            "latents": inputs.latents[None].to(self.device).contiguous(),
            "gates": self._gates_of(inputs).contiguous(),
            "rope": self._rope_of(inputs, cache).contiguous(),
            "ring_keys": cache.keys,
            "ring_values": cache.values,
            "visible": visible_chunks(inputs, cache).to(self.device),
            "text_keys": texts.keys,
            "text_values": texts.values,
            "text_visible": texts.visible.to(self.device),
        }

        def work(stream: int) -> Tensor:
            found = session.run(given, stream)
            if shape.stage is not None:
                cache.stage(slice(None), found["staged_keys"], found["staged_values"])
            return found["velocity"]

        return self.lanes.denoise(work)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [C, T, h, w] -> uint8 [4T, H, W, 3] in host memory, the caller's own."""
        return self.begin_decode(latents).wait().clone()

    @torch.inference_mode()
    def begin_decode(self, latents: Tensor) -> Pixels:
        """Start decoding beside whatever is denoised next; the pictures are waited for later.

        Two chunks may be on their way at once: a third overwrites the first.
        """
        scaled = latents.to(self.device) / self.config.runtime.scale_factor
        return self.lanes.begin_decode(
            scaled,
            # the tiling asks no more of an auto-encoder than this class has
            lambda x, on: decode_frames(cast(ViTVAE, _EngineDecoder(self, on)), x, self.tiles),
        )

    def _denoiser(self, shape: DenoiserShape) -> EngineSession:
        if shape not in self._sessions:
            self._sessions[shape] = self._ready(denoiser_part(self.networks, shape))
        return self._sessions[shape]

    def decoder(self, grid: tuple[int, int, int]) -> EngineSession:
        """The engine for one latent grid."""
        if grid not in self._sessions:
            self._sessions[grid] = self._ready(decoder_part(self.networks, grid, finished=False))
        return self._sessions[grid]

    def _ready(self, part: Part) -> EngineSession:
        identity = identify(part, self.config, self.precision, self.target, self.builder)

        def build(into: Path) -> None:
            with torch.inference_mode(False), torch.no_grad():
                build_part(part, identity, self.target, self.builder, into)

        return self._load(self.plans.get(identity, build))


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
