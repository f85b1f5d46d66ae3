"""Small graphs and orders that the tests of engines share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from magi_rt.export.builders import BuildOrder
from magi_rt.export.manifest import PlanIdentity, TensorSpec
from magi_rt.export.targets import find_target

WIDTH = 64


def needs(module: str) -> None:
    """Skip, with the reason, where an optional runtime is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def write_graph(path: Path, dtype: str = "float32", rows: int = 8, op: str = "Relu") -> Path:
    """x [rows, WIDTH] -> op(x @ w) [rows, WIDTH]; -1 rows may vary."""
    onnx = pytest.importorskip("onnx")
    kind = {"float32": "FLOAT", "float16": "FLOAT16", "bfloat16": "BFLOAT16"}[dtype]
    element = getattr(onnx.TensorProto, kind)
    sizes = ["rows" if rows < 0 else rows, WIDTH]
    weight = np.random.default_rng(1).standard_normal((WIDTH, WIDTH), dtype=np.float32) / 8
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node(op, ["y"], ["out"])],
        "small",
        [helper.make_tensor_value_info("x", element, sizes)],
        [helper.make_tensor_value_info("out", element, sizes)],
        [helper.make_tensor("w", element, weight.shape, weight.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def order(path: Path, target: str, precision: str = "float32", rows: int = 8) -> BuildOrder:
    """The order to build what :func:`write_graph` wrote."""
    x = TensorSpec("x", precision, (rows, WIDTH))
    if rows < 0:
        x = TensorSpec("x", precision, (-1, WIDTH), (1, WIDTH), (8, WIDTH), (32, WIDTH))
    return BuildOrder(path, (x,), precision, find_target(target))


def identity(**changes: object) -> PlanIdentity:
    """The identity of a small plan for an RTX 4090."""
    spec = TensorSpec("x", "float32", (8, WIDTH))
    values: dict[str, object] = {
        "graph": "small",
        "weights": "0123456789abcdef",
        "config": "fedcba9876543210",
        "inputs": (spec,),
        "outputs": (TensorSpec("out", "float32", (8, WIDTH)),),
        "precision": "float32",
        "target": "rtx4090",
        "capability": "8.9",
        "runtime": "tensorrt_rtx",
        "runtime_version": "1.7.1",
        "flags": ("strongly typed",),
        "opset": 20,
        "maker": "0.5.0",
    }
    return PlanIdentity(**{**values, **changes})  # type: ignore[arg-type]
