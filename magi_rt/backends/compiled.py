"""PyTorch compiled: fused kernels, and on a GPU one CUDA graph for every kind of call.

The parts of a block before and after its attentions are compiled by torch.compile once for all
layers; attention stays what the eager executor uses. On a GPU every kind of call (so many chunks in
flight, so much history) is captured as one CUDA graph when the world is opened, so no frame waits
for a compilation: at the published sizes expect a minute or two there. On a CPU there is nothing
to capture; calls run on the same static buffers, compiled, with ordinary layers instead of packed
ones (``packed.py``). It is there to be tested, and for processors on which packing does not help.

Memory comes on top of the eager executor's: the history laid out for reading, (depth + chunks in
flight) times a chunk's keys and values, and per kind of call the prompts' keys and values.

The GPU half was written against PyTorch's documentation and has not been run on a GPU yet; the
tests marked ``gpu`` compare it with the eager executor there.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.backends.base import EngineInfo
from magi_rt.backends.compiled_call import CallShape, Rooms, StaticCall, capture
from magi_rt.backends.eager import EagerExecutor, parts_of
from magi_rt.errors import BackendError
from magi_rt.models.dit import VideoDiT
from magi_rt.models.dit_block import DiTBlock
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.special_tokens import SpecialTokens
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.models.vae import ViTVAE
from magi_rt.models.vae_block import VaeBlock

Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What turns a function into a faster one with the same results."""

VARIANTS = 64
"""Compiled forms of one function: quantised or not, one range or several, one branch or several."""


def inductor(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile with PyTorch's own compiler, rounding wherever eager PyTorch rounds."""
    return torch.compile(function, options={"emulate_precision_casts": True})


class CompiledExecutor(EagerExecutor):
    """The eager executor's networks, compiled, behind the same door.

    Kinds of calls are told by :meth:`expect` and made ready by :meth:`warm_up`; one that was not
    expected (a prompt longer than others, a second picture size) is made ready when it comes.
    """

    packs = False

    def __init__(
        self,
        config: Any,
        dit: VideoDiT,
        vae: ViTVAE,
        text_encoder: T5TextEncoder | None,
        info: EngineInfo,
        special_tokens: SpecialTokens | None = None,
        attention: str = "auto",
        compiler: Compile = inductor,
    ) -> None:
        super().__init__(config, dit, vae, text_encoder, info, special_tokens, attention)
        graphs = ", one CUDA graph for every kind of call" if self.device.type == "cuda" else ""
        self.info = replace(
            info, name="compiled", reason=f"{info.reason}; compiled by torch.compile{graphs}"
        )
        _compile(dit.blocks(), DiTBlock, ("before", "after"), compiler)
        _compile(vae.decoder.blocks, VaeBlock, ("forward",), compiler)
        self._calls: dict[CallShape, StaticCall] = {}
        self._rooms: list[Rooms] = []
        self._expected: dict[CallShape, tuple[DenoiseInputs, RollingKVCache]] = {}
        on_gpu = self.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None
        self._side = torch.cuda.Stream(self.device) if on_gpu else None

    def expect(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        """A call of this kind will come; tensors may be on the meta device."""
        for part in parts_of(inputs, cache):
            shape = CallShape.of(part, cache)
            if shape not in self._calls:
                self._expected.setdefault(shape, (part, replace(cache)))

    @torch.inference_mode()
    def warm_up(self) -> float:
        """Makes all expected kinds of calls ready and returns the seconds that it took.

        Raises:
            BackendError: this machine lacks what compilation needs.
        """
        begun = time.perf_counter()
        expected, self._expected = self._expected, {}
        for shape in sorted(expected, key=lambda each: each.keys, reverse=True):
            self._ready(shape, *expected[shape])
        width = self.config.runtime.chunk_width
        for channels, _, *size in {shape.latents for shape in expected}:
            self.decode(torch.zeros(channels, width, *size, device=self.device))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - begun

    def forget(self) -> None:
        """Gives back everything that was made ready; what comes next is made ready anew."""
        self._calls.clear()
        self._rooms.clear()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """As :meth:`EagerExecutor.decode`; BackendError where PyTorch cannot compile it."""
        with _refusals():
            return super().decode(latents)

    def _forward(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        call = self._ready(CallShape.of(inputs, cache), inputs, cache)
        call.fill(inputs, cache, self._gates_of(inputs), self._rope_of(inputs, cache))
        (call.replay or call.forward)()
        return call.take(cache)

    def _ready(self, shape: CallShape, inputs: DenoiseInputs, cache: RollingKVCache) -> StaticCall:
        found = self._calls.get(shape)
        if found is None:
            rooms = self._rooms_for(shape)
            found = StaticCall(shape, self.dit, rooms, (inputs, cache), self.attention)
            with _refusals(), torch._dynamo.config.patch(recompile_limit=VARIANTS):
                found.replay = capture(found, self._pool, self._side)
            self._calls[shape] = found
        return found

    def _rooms_for(self, shape: CallShape) -> Rooms:
        for rooms in self._rooms:
            if rooms.fit(shape):
                return rooms
        like = torch.empty(0, dtype=self.dit.working_dtype, device=self.device)
        self._rooms.append(Rooms(shape, like))
        return self._rooms[-1]


@contextmanager
def _refusals() -> Iterator[None]:
    """What PyTorch's compiler refuses, as an error of this package."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        told = " ".join(str(error).split())[:400]
        raise BackendError(
            "PyTorch could not compile the model here, which needs a C++ compiler and, on a GPU, "
            f"Triton: {told}; install them, or use backend='eager'",
            field="backend",
        ) from error


def _compile(
    blocks: Iterable[nn.Module], kind: type[nn.Module], names: Sequence[str], compiler: Compile
) -> None:
    """All layers share the compiled functions; each calls them with itself."""
    for name in names:
        function = compiler(getattr(kind, name))
        for block in blocks:
            setattr(block, name, _with(function, weakref.ref(block)))


def _with(function: Callable[..., Any], block: weakref.ref[nn.Module]) -> Callable[..., Any]:
    """A method that does not hold its object, which would hold its weights until a collection."""
    return lambda *given: function(block(), *given)
