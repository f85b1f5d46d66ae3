"""Executors of graph runtimes beside an eager one with the same random weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from magi_rt.backends.eager import EagerExecutor, Loaded
from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.bench.subject import random_networks
from magi_rt.export.plan_cache import PlanCache
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText, StreamState, from_tensors

SIZE = (4, 4)
PACKAGES = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx", "onnxscript")}


def need(backend: str) -> None:
    """Skips where a package of a backend is not installed."""
    for package in PACKAGES[backend]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is missing: pip install magi-rt[{backend}]")


def graph_executor(backend: str, folder: Path, dtype: str = "float32") -> GraphExecutor:
    """A tiny shape with random weights; its graphs are filed in a folder."""
    need(backend)
    if backend == "openvino":
        from magi_rt.backends.openvino import OpenVINOExecutor

        kind: type[GraphExecutor] = OpenVINOExecutor
    else:
        from magi_rt.backends.onnx import OnnxExecutor

        kind = OnnxExecutor
    config, dit, vae, info = random_networks("tiny", device="cpu", dtype="float32")
    parts = Loaded(config, dit, vae, None, info)
    return kind(parts, kind.runtime_of(dtype), PlanCache(folder))


def plain_executor() -> EagerExecutor:
    """The same weights, eager."""
    config, dit, vae, info = random_networks("tiny", device="cpu", dtype="float32")
    return EagerExecutor(config, dit, vae, None, info)


@dataclass
class Player:
    """A stream of one executor under prompts of several lengths."""

    executor: EagerExecutor
    window: int
    depth: int | None = None

    def __post_init__(self) -> None:
        sampler = SamplerConfig.from_config(self.executor.config, 8, self.window, self.depth)
        self.pipeline = ChunkPipeline(self.executor, sampler)
        self.state = self.pipeline.new_state(seed=3, latent_height=SIZE[0], latent_width=SIZE[1])

    def text(self, seed: int) -> ChunkText:
        chance = torch.Generator().manual_seed(seed)
        channels = self.executor.config.model.caption_channels
        rows = torch.randn(3 + 5 * (seed % 4), channels, generator=chance)
        return ChunkText(f"{seed}", self.executor.prepare_text(rows))

    def play(self, chunks: int, first: int = 0) -> list[Tensor]:
        """Latents of chunks, each under another prompt; ``first`` is the first one's number."""
        found = []
        for seed in range(first, first + chunks):
            text = self.text(seed)
            found.append(self.pipeline.advance(self.state, lambda _, t=text: t).latents)  # type: ignore[misc]
        return found

    def copied(self) -> Player:
        """A player of a copy of the stream."""
        return self._of(self.state.clone())

    def saved(self) -> Player:
        """A player of the stream as it comes back from a file."""
        tensors, card = self.state.to_tensors()
        cache = self.executor.new_cache(*SIZE, self.state.cache.depth)
        return self._of(
            from_tensors(tensors, card, cache=cache, text_for=lambda _, name: self.text(int(name)))
        )

    def _of(self, state: StreamState) -> Player:
        other = Player(self.executor, self.window, self.depth)
        other.state = state
        return other


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference as a share of the expected norm."""
    return float((found.float() - expected.float()).norm() / expected.float().norm())
