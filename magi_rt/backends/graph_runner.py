"""Networks as graphs behind the executors' door: what the graph runtimes for processors share.

The denoiser has one graph per kind of call (branches, ranges, with or without a chunk to stage),
the decoder one per latent grid. Prompts are read and pictures encoded by PyTorch: that happens
once, not at every step. Graphs are filed in the plan cache, so a model is converted when it is
first opened on a machine and only read afterwards.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from magi_rt.backends.eager import EagerExecutor, Loaded, loaded, parts_of
from magi_rt.backends.graph_inputs import Call, TextRoom, calls_of, looked_back, shape_of
from magi_rt.backends.graph_runtime import GraphOrder, GraphRuntime, Runner
from magi_rt.backends.kept_plans import plan_for
from magi_rt.backends.remembered import Remembered
from magi_rt.backends.room import room_for
from magi_rt.errors import BackendError, MagiError
from magi_rt.export.graphs import DecoderGraph, examples
from magi_rt.export.lean import LeanDenoiser, LeanShape, lean_sizes
from magi_rt.export.lean_vae import LeanDecoder
from magi_rt.export.manifest import PlanIdentity, TensorSpec, config_digits, maker
from magi_rt.export.plan_cache import PlanCache
from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.vae_tiling import decode_frames

logger = logging.getLogger(__name__)

GATES_KEPT = 128
GATES_BYTES = 2**28


class GraphExecutor(EagerExecutor):
    """Denoiser and decoder run as graphs of a runtime, the rest by PyTorch.

    Kinds of calls are told by :meth:`expect` and made ready by :meth:`warm_up`; one that was not
    expected (of another picture size, for one) is made ready when it comes.

    Args:
        runtime: turns graphs into runners.
        plans: where graphs are kept.

    Raises:
        BackendError: the model has 8-bit weights.
    """

    packs = False  # graphs are made from plain layers
    name: ClassVar[str]
    runtime_of: ClassVar[Callable[[str], GraphRuntime]]
    """The runtime with the precision that a wish for a dtype leads to here."""

    def __init__(
        self, parts: Loaded, runtime: GraphRuntime, plans: PlanCache | None = None
    ) -> None:
        super().__init__(*parts)
        if self.config.engine.fp8_quant:
            raise BackendError(
                f"{runtime.name} has no 8-bit float products on processors; use backend='eager'",
                field="backend",
            )
        self.runtime, self.plans = runtime, plans or PlanCache()
        reason = (
            f"{runtime.name} {runtime.version()} on the processor, products in {runtime.precision}"
        )
        self.info = replace(self.info, name=self.name, dtype=runtime.precision, reason=reason)
        self._texts = TextRoom()
        self._stacked: Remembered[Tensor] = Remembered(GATES_KEPT, GATES_BYTES)
        self._runners: dict[object, Runner] = {}
        self._expected: dict[LeanShape, None] = {}

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "auto",
        plans: PlanCache | None = None,
    ) -> Self:
        """Load a model folder or a built-in world; errors also as in :meth:`EagerExecutor.open`.

        Args:
            device: "auto" or "cpu".
            dtype: "float32" or "bfloat16" for the products; "auto" is the runtime's fastest.
            attention: "auto"; the runtime has its own.
            plans: where graphs are kept, ``None`` for the user's cache.

        Raises:
            BackendError: the runtime is not installed, or not made for this device or model.
        """
        if device not in ("auto", "cpu"):
            raise BackendError(
                f"this backend runs on processors, not on {device!r}; use device='cpu', or "
                "backend='eager'",
                field="device",
            )
        runtime = cls.runtime_of(dtype)
        return cls(loaded(model, "cpu", "float32", attention), runtime, plans)

    def expect(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        """A call of this kind will come; tensors may be on the meta device."""
        for part in parts_of(inputs, cache):
            for call in calls_of(part, cache):
                self._expected[self._shape_of(call, cache)] = None

    @torch.inference_mode()
    def warm_up(self) -> float:
        """Makes everything ready for the expected calls and runs it once; returns seconds.

        Raises:
            BackendError: the runtime refuses a graph, or computes nonsense.
        """
        begun = time.perf_counter()
        expected, self._expected = self._expected, {}
        for shape in expected:
            inputs = [*examples(lean_sizes(self.config.model, shape), torch.float32).values()]
            run = self._denoiser(shape)
            with self._refusals(shape.name), room_for("the first call"):
                velocity = run(inputs)[0]
            if not velocity.isfinite().all():
                raise BackendError(
                    f"{self.runtime.name} computes {shape.name} to what is no number here; "
                    "use backend='eager'",
                    field="backend",
                )
        width = self.config.runtime.chunk_width
        for height, across in {(shape.height, shape.width) for shape in expected}:
            latents = torch.zeros(self.config.model.latent_channels, width, height, across)
            with self._refusals("the decoder"), room_for("the first pictures"):
                self.decode(latents)
        return time.perf_counter() - begun

    def _forward(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        found = [self._call(call, cache) for call in calls_of(inputs, cache)]
        return found[0] if len(found) == 1 else torch.cat(found, dim=2)

    def _call(self, call: Call, cache: RollingKVCache) -> Tensor:
        inputs, shape = call.inputs, self._shape_of(call, cache)
        texts = self._texts.get(inputs, shape.text)
        history = cache.laid_out(call.history(), shape.places)
        found = self._denoiser(shape)(
            (
                inputs.latents[None].contiguous(),
                self._gates_of(inputs),
                self._rope_of(inputs, cache),
                history.keys,
                history.values,
                call.over(history.slots),
                texts.keys,
                texts.values,
                texts.visible,
            )
        )
        if inputs.stage_branch is not None:
            cache.stage(slice(None), found[1], found[2])
        return found[0].clone()

    def _shape_of(self, call: Call, cache: RollingKVCache) -> LeanShape:
        shape = shape_of(call.inputs, cache, self.config.model.caption_max_length)
        places = max(looked_back(self.config.runtime, cache.depth), len(call.history()))
        return LeanShape.of(shape, places)

    def _gates_of(self, inputs: DenoiseInputs) -> Tensor:
        key = (inputs.times, tuple(branch.drop for branch in inputs.branches), inputs.step_code)
        return self._stacked.get(key, lambda: EagerExecutor._gates_of(self, inputs))

    def _denoiser(self, shape: LeanShape) -> Runner:
        found = self._runners.get(shape)
        if found is None:
            sizes = lean_sizes(self.config.model, shape)
            order = GraphOrder(
                shape.name,
                lambda: LeanDenoiser(self.dit, shape, self._products()),
                sizes,
                shape.outputs,
            )
            found = self._runners[shape] = self._ready(order)
        return found

    def _products(self) -> torch.dtype:
        return torch.bfloat16 if self.runtime.precision == "bfloat16" else torch.float32

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [C, T, h, w] -> uint8 [4T, H, W, 3]; a lone latent gives one frame."""
        scaled = latents.to(self.device) / self.config.runtime.scale_factor
        return decode_frames(_GraphDecoder(self), scaled, self.tiles)

    def _run_decoder(self, latents: Tensor, finished: bool) -> Tensor:
        size = tuple(latents.shape)
        key = ("decoder", size, finished)
        found = self._runners.get(key)
        if found is None:
            grid = "x".join(map(str, size[2:]))
            lean = not self.vae.config.conv_last_layer
            name = f"{'lean-' if lean else ''}decoder-{grid}{'' if finished else '-raw'}"

            def make() -> nn.Module:
                if lean:
                    return LeanDecoder(self.vae, self._products(), finished=finished)
                return DecoderGraph(self.vae, finished=finished)

            order = GraphOrder(name, make, {"latents": size}, ("pixels",))
            found = self._runners[key] = self._ready(order)
        pictures = found([latents.contiguous()])[0]
        return torch.from_numpy(pictures.numpy().copy())  # see quiet_copy

    def _ready(self, order: GraphOrder) -> Runner:
        """The graph from the plan cache, or from a folder for this run where none can be kept.

        Raises:
            BackendError: the runtime refuses the graph, in its own words; or no file can be
                written.
        """
        plan = plan_for(self, self.plans, self._identity(order), partial(self._save, order))
        with self._refusals(order.name):
            return self.runtime.load(plan.folder, torch.get_num_threads())

    def _save(self, order: GraphOrder, into: Path) -> None:
        name, folder = self.runtime.name, self.plans.folder
        logger.info("%s converts %s, once; it is kept in %s", name, order.name, folder)
        # a folder that cannot be written is no refusal: another one is tried
        refusals = self._refusals(order.name, passing=(MagiError, OSError))
        with refusals, torch.inference_mode(False), torch.no_grad():
            self.runtime.save(order, into)

    @contextmanager
    def _refusals(
        self, graph: str, passing: tuple[type[Exception], ...] = (MagiError,)
    ) -> Iterator[None]:
        """What a runtime raises, as errors of this package."""
        try:
            yield
        except passing:
            raise
        except Exception as error:  # runtimes have classes of their own
            told = " ".join(str(error).split())[:400]
            raise BackendError(
                f"{self.runtime.name} refuses {graph} in {self.runtime.precision}: {told}; "
                "use another dtype, or backend='eager', which runs everything",
                field="backend",
            ) from error

    def _identity(self, order: GraphOrder) -> PlanIdentity:
        runtime = self.runtime
        return PlanIdentity(
            graph=order.name,
            weights=self.info.weights,
            config=config_digits(self.config, self.vae.config),
            inputs=tuple(TensorSpec(name, "float32", size) for name, size in order.sizes.items()),
            outputs=tuple(TensorSpec(name, "", ()) for name in order.outputs),
            precision=runtime.precision,
            target="cpu",
            capability="",
            runtime=runtime.name,
            runtime_version=runtime.version(),
            flags=runtime.flags,
            opset=0,
            maker=maker(),
        )


class _GraphDecoder:
    """The decoder's graphs where the tiling expects an auto-encoder."""

    def __init__(self, executor: GraphExecutor) -> None:
        self.executor, self.config = executor, executor.vae.config

    def decode(self, latents: Tensor) -> Tensor:
        return self.executor._run_decoder(latents, finished=False)

    def decode_pixels(self, latents: Tensor) -> Tensor:
        return self.executor._run_decoder(latents, finished=True)
