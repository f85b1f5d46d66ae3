"""Plans for the processor: OpenVINO's own format, and graphs optimised by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magi_rt.errors import BackendError
from magi_rt.export.builders import BuildOrder, Progress, missing, silent
from magi_rt.export.targets import Target


class OpenVINOBuilder:
    """Writes ``plan.xml`` and ``plan.bin``; the network is compiled once, to see that it can be."""

    runtime = "openvino"

    def version(self) -> str:
        """Raises:
        BackendError: OpenVINO is not installed.
        """
        return str(_openvino().get_version())

    def flags(self, target: Target, precision: str) -> tuple[str, ...]:
        return (f"inference precision {_hint(precision)}",)

    def build(self, order: BuildOrder, into: Path, progress: Progress = silent) -> None:
        """Raises:
        BackendError: OpenVINO refuses the graph.
        """
        ov = _openvino()
        try:
            progress("reading", 0.0)
            model = ov.convert_model(str(order.model))
            progress("compiling", 0.3)
            ov.Core().compile_model(model, "CPU", compile_hints(order.precision))
            progress("writing", 0.8)
            ov.save_model(model, str(into / "plan.xml"), compress_to_fp16=False)
        except RuntimeError as error:
            raise _refused("OpenVINO", order, error) from error
        progress("built", 1.0)


class OnnxRuntimeBuilder:
    """Writes ``plan.onnx``, the graph as ONNX Runtime has fused it for this processor."""

    runtime = "onnxruntime"

    def version(self) -> str:
        """Raises:
        BackendError: ONNX Runtime is not installed.
        """
        return str(_onnxruntime().__version__)

    def flags(self, target: Target, precision: str) -> tuple[str, ...]:
        return ("all optimisations",)

    def build(self, order: BuildOrder, into: Path, progress: Progress = silent) -> None:
        """Raises:
        BackendError: ONNX Runtime refuses the graph; it computes in float32 only.
        """
        ort = _onnxruntime()
        if order.precision != "float32":
            raise _refused("ONNX Runtime", order, "on processors it computes in float32 only")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(into / "plan.onnx")
        options.log_severity_level = 4
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "plan.weights"
        )
        progress("optimising", 0.0)
        try:
            ort.InferenceSession(str(order.model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes derive from Exception alone
            raise _refused("ONNX Runtime", order, error) from error
        progress("built", 1.0)


def compile_hints(precision: str) -> dict[str, str]:
    """What OpenVINO is told when a plan is compiled or loaded."""
    return {"INFERENCE_PRECISION_HINT": _hint(precision), "PERFORMANCE_HINT": "LATENCY"}


def _hint(precision: str) -> str:
    return {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[precision]


def _openvino() -> Any:
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise missing("openvino", "openvino", error) from error
    return openvino


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise missing("onnxruntime", "onnx", error) from error
    return onnxruntime


def _refused(who: str, order: BuildOrder, error: BaseException | str) -> BackendError:
    told = " ".join(str(error).split())[:400]
    return BackendError(
        f"{who} refuses {order.model.name} in {order.precision}: {told}; "
        "use another precision, or backend 'eager', which runs everything",
        field="model",
    )
