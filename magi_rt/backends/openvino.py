"""OpenVINO: Intel's compiler for graphs, which is quick on x86-64 and ARM processors of all makers.

Graphs come straight from PyTorch, so no ONNX packages are needed. Products are computed in bfloat16
where the processor has instructions for it, about twice as fast and, on nano, too close to float32
for the eye; ``dtype="float32"`` keeps all digits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.backends.graph_runtime import GraphOrder, Runner
from magi_rt.backends.openvino_kept import kept_in
from magi_rt.errors import BackendError
from magi_rt.export.builders import missing
from magi_rt.export.tracing import TRACING

PLAN = "plan.xml"
COPIED_BYTES = 2**16
"""To tell OpenVINO of another tensor takes longer than to copy so little."""


class OpenVINORuntime:
    """Graphs in OpenVINO's own format.

    Args:
        dtype: "auto", "float32" or "bfloat16".

    Raises:
        BackendError: OpenVINO is not installed or does not run here, or the processor has no
            bfloat16.
    """

    name = "openvino"
    flags: tuple[str, ...] = ("converted from PyTorch",)

    def __init__(self, dtype: str = "auto") -> None:
        self._ov = import_openvino()
        try:
            self._core = the_core()
            able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        except RuntimeError as error:  # for one, a part of it cannot be loaded
            raise missing("openvino", "openvino", error) from error
        has_bfloat16 = "BF16" in able
        if dtype == "bfloat16" and not has_bfloat16:
            raise BackendError(
                "this processor has no bfloat16 instructions; use dtype='float32' or 'auto'",
                field="dtype",
            )
        fast = dtype == "bfloat16" or (dtype == "auto" and has_bfloat16)
        self.precision = "bfloat16" if fast else "float32"

    def version(self) -> str:
        return str(self._ov.get_version())

    def save(self, order: GraphOrder, into: Path) -> None:
        # The model reads the weights where PyTorch holds them: both live until it is saved.
        graph, example = order.graph().eval(), order.example()
        with TRACING, warnings.catch_warnings():
            # Sizes are fixed, so what tracing warns of (sizes that become constants) is meant.
            warnings.simplefilter("ignore")
            model = self._ov.convert_model(
                graph,
                example_input=tuple(example.values()),
                input=[tuple(tensor.shape) for tensor in example.values()],
            )
        self._ov.save_model(model, str(into / PLAN), compress_to_fp16=False)

    def load(self, folder: Path, threads: int) -> Runner:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # Graphs say themselves which products are in bfloat16; the rest stays as it is.
            "INFERENCE_PRECISION_HINT": "f32",
            # Two worlds on one machine would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        with kept_in(folder) as kept:
            return _OpenVINORunner(self._ov, self._compiled(folder / PLAN, settings, kept))

    def _compiled(self, plan: Path, settings: dict[str, Any], kept: Path | None) -> Any:
        if kept is not None:
            try:
                return self._core.compile_model(
                    str(plan), "CPU", {**settings, "CACHE_DIR": str(kept)}
                )
            except RuntimeError:  # for one, the folder cannot be written
                pass
        return self._core.compile_model(str(plan), "CPU", settings)


@cache
def the_core() -> Any:
    """The one ``Core`` of this process, which stays to its end.

    Its plugin gives the thread that makes it another stack for signal handlers, and the former one
    back when it goes. Of two that go in the order in which they came, the later gives back a stack
    that is gone, and the next signal (a Ctrl-C) ends the process.
    """
    return import_openvino().Core()


class OpenVINOExecutor(GraphExecutor):
    """Denoiser and decoder by OpenVINO on the processor."""

    name = "openvino"
    runtime_of = OpenVINORuntime


class _OpenVINORunner:
    """One compiled graph; large inputs are read where they lie, small ones are copied in."""

    def __init__(self, ov: Any, compiled: Any) -> None:
        self._tensor = ov.Tensor
        self._given: list[Tensor | None] = [None] * len(compiled.inputs)
        self._request = compiled.create_infer_request()
        self._rooms = [
            self._request.get_input_tensor(place).data if size <= COPIED_BYTES else None
            for place, size in enumerate(map(_bytes_of, compiled.inputs))
        ]
        self._outputs = [
            torch.from_numpy(self._request.get_output_tensor(place).data)
            for place in range(len(compiled.outputs))
        ]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for place, tensor in enumerate(inputs):
            room = self._rooms[place]
            if room is not None:
                np.copyto(room, tensor.numpy())
            elif self._given[place] is not tensor:  # else the same memory as in the last call
                self._given[place] = None  # an interrupt may come before or after what follows
                there = self._tensor(tensor.numpy(), shared_memory=True)
                self._request.set_input_tensor(place, there)
                self._given[place] = tensor
        self._request.infer()
        return self._outputs


def _bytes_of(port: Any) -> int:
    """Memory of an input of a compiled graph."""
    size: int = math.prod(port.shape) * port.element_type.size
    return size


def import_openvino() -> Any:
    """The openvino package.

    Raises:
        BackendError: it is not installed; the message says how to install it.
    """
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise missing("openvino", "openvino", error) from error
    return openvino
