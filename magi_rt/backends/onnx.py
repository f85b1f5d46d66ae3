"""ONNX Runtime: the portable way to run graphs on a processor, in float32.

Converting a model takes the onnx and onnxscript packages as well; a model that was converted before
needs ONNX Runtime alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magi_rt.backends.graph_runner import GraphExecutor
from magi_rt.backends.graph_runtime import GraphOrder, Runner
from magi_rt.errors import BackendError
from magi_rt.export.builders import missing
from magi_rt.export.to_onnx import OPSET, export_graph

PLAN = "plan.onnx"


class OnnxRuntime:
    """Graphs as ONNX files.

    Args:
        dtype: "auto" or "float32".

    Raises:
        BackendError: ONNX Runtime is not installed; or bfloat16, which it has not on processors.
    """

    name = "onnxruntime"
    precision: str = "float32"
    flags: tuple[str, ...] = (f"opset {OPSET}",)

    def __init__(self, dtype: str = "auto") -> None:
        self._ort = import_onnxruntime()
        if dtype == "bfloat16":
            raise BackendError(
                "ONNX Runtime has no bfloat16 on processors; use dtype='float32', or "
                "backend='openvino'",
                field="dtype",
            )

    def version(self) -> str:
        return str(self._ort.__version__)

    def save(self, order: GraphOrder, into: Path) -> None:
        export_graph(order.graph(), order.example(), into / PLAN, outputs=order.outputs)

    def load(self, folder: Path, threads: int) -> Runner:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A world that keeps a clock waits most of the time; its threads must sleep then.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = self._ort.InferenceSession(
            str(folder / PLAN), options, providers=["CPUExecutionProvider"]
        )
        return _OnnxRunner(session)


class OnnxExecutor(GraphExecutor):
    """Denoiser and decoder by ONNX Runtime on the processor."""

    name = "onnx"
    runtime_of = OnnxRuntime


class _OnnxRunner:
    """One session; inputs are read where they lie."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [each.name for each in session.get_inputs()]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(self._names, inputs, strict=True)}
        return [torch.from_numpy(each) for each in self._session.run(None, given)]


def import_onnxruntime() -> Any:
    """The onnxruntime package.

    Raises:
        BackendError: it is not installed; the message says how to install it.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise missing("onnxruntime", "onnx", error) from error
    return onnxruntime
