"""A graph written as ONNX, checked and shape-inferred, large weights beside it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.errors import BackendError
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.tracing import TRACING

OPSET = 20
"""Attention written out: every runtime takes it, in float32, float16 and bfloat16."""

OPSET_ATTENTION = 23
"""Has an Attention operator, for runtimes with a kernel for it in 16 bits."""

INLINE_BYTES = 1_500_000_000
"""Graphs with more weights than this keep them in a file beside the graph (ONNX ends at 2 GB)."""


@dataclass(frozen=True)
class ExportedGraph:
    """An ONNX file that was checked.

    path: of the graph; weights may lie beside it.
    inputs, outputs: name -> (dtype as ONNX names it, sizes, -1 where one varies).
    """

    path: Path
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]
    opset: int


@torch.inference_mode()
def export_graph(
    graph: nn.Module,
    example: Mapping[str, Tensor],
    path: str | Path,
    *,
    outputs: Sequence[str],
    opset: int = OPSET,
    varying: Sequence[TensorSpec] = (),
) -> ExportedGraph:
    """Writes a graph as ONNX.

    Args:
        example: inputs by name, in the order of the graph's ``forward``.
        path: the file to write; its folder must exist.
        outputs: names of what the graph returns.
        varying: every input with its profile, where sizes vary: all with one number, which is 1 in
            the smallest and grows by one from the usual to the largest.

    Raises:
        BackendError: the ONNX packages are missing, or the graph cannot be written as ONNX.
        OSError: the folder takes no file.
    """
    onnx = _onnx()
    path = Path(path)
    weights = sum(each.nbytes for each in graph.parameters())
    try:
        with TRACING, _quiet():
            program = torch.onnx.export(
                graph.eval(), tuple(example.values()), input_names=list(example),
                output_names=list(outputs), opset_version=opset, dynamo=True,
                optimize=True, verbose=False, dynamic_shapes=_varying(varying),
            )  # fmt: skip
            assert program is not None
            program.save(str(path), external_data=weights > INLINE_BYTES)
        onnx.checker.check_model(str(path), full_check=weights <= INLINE_BYTES)
        onnx.shape_inference.infer_shapes_path(str(path), strict_mode=True)
    except OSError:
        raise
    except Exception as error:  # the exporter's own classes derive from Exception alone
        told = " ".join(str(error).split())[:400]
        raise BackendError(
            f"{type(graph).__name__} cannot be written as ONNX with opset {opset}: {told}",
            field="opset",
        ) from error
    model = onnx.load(str(path), load_external_data=False)
    found = {each.domain: each.version for each in model.opset_import}
    return ExportedGraph(
        path, _specs(onnx, model.graph.input), _specs(onnx, model.graph.output), found[""]
    )


def _varying(specs: Sequence[TensorSpec]) -> tuple[dict[int, Any], ...] | None:
    """Every size that varies as a * number + b, for the tracer."""
    if not any(spec.dynamic for spec in specs):
        return None
    number = torch.export.Dim("ranges", min=1)

    def along(spec: TensorSpec) -> Iterator[tuple[int, Any]]:
        for axis, (low, usual, high) in enumerate(zip(*spec.sizes(), strict=True)):
            if low != high:
                step = high - usual
                times = step * number if step > 1 else number
                yield axis, times + (low - step) if low > step else times

    return tuple(dict(along(spec)) for spec in specs)


def _specs(onnx: Any, values: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower(),
            tuple(
                -1 if size.dim_param else int(size.dim_value)
                for size in value.type.tensor_type.shape.dim
            ),
        )
        for value in values
    }


def _onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except (ImportError, OSError) as error:
        raise BackendError(
            f'ONNX cannot be imported ({error}); install it with: pip install "magi-rt[onnx]"',
            field="runtime",
        ) from error
    return onnx


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress on every channel there is."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
