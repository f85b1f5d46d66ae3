"""Which executor "auto" takes for a model on this machine, and the sentence that says why."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

VARIABLE = "MAGI_RT_BACKEND"
"""A backend's name in this environment variable is what "auto" means."""

GRAPH_BYTES = 2 * 2**30
"""Weights of larger models stay with PyTorch: graphs are a second copy, and a slow conversion."""

ONNX_PACKAGES = ("onnxruntime", "onnx", "onnxscript")


def fastest(model: str, device: str = "auto", dtype: str = "auto") -> tuple[str, str]:
    """The name of the fastest executor for a model here, and why; loads nothing of the model.

    A model that cannot be found is left to the executor, whose message names what is missing.
    """
    if name := wished():
        return name, f"{VARIABLE} says {name!r}"
    if _on_gpu(device):
        return "eager", "PyTorch runs the model on the GPU"
    name, reason = _on_processor(model, dtype)
    unused = _unused_gpu() if device == "auto" else ""
    return name, f"{reason}; {unused}" if unused else reason


def _on_processor(model: str, dtype: str) -> tuple[str, str]:
    size, eight_bits = _look_at(model)
    if eight_bits:
        return "eager", "PyTorch alone computes this model's 8-bit products on a processor"
    if size > GRAPH_BYTES:
        return "eager", (
            f"weights of {size / 2**30:.1f} GiB would be there twice as a graph, so PyTorch runs it"
        )
    if has("openvino"):
        return "openvino", "OpenVINO is installed, the fastest that is known for processors"
    if dtype != "bfloat16" and all(has(package) for package in ONNX_PACKAGES):
        return "onnx", "ONNX Runtime is installed; pip install magi-rt[openvino] is faster"
    return "eager", (
        "PyTorch runs on every machine and defines the results; "
        "pip install magi-rt[openvino] is faster on processors"
    )


def wished() -> str:
    """The backend that the environment names, "" for none."""
    name = os.environ.get(VARIABLE, "")
    return "" if name == "auto" else name


def has(package: str) -> bool:
    """True when a package is installed; it is not imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _on_gpu(device: str) -> bool:
    if device != "auto":
        return device != "cpu"
    import torch

    return torch.cuda.is_available()


def _unused_gpu() -> str:
    """Why PyTorch uses no GPU where an NVIDIA driver is installed, "" where none is."""
    if shutil.which("nvidia-smi") is None:
        return ""
    import torch

    if torch.version.cuda is None:
        return "an NVIDIA driver is here, but this PyTorch is built without CUDA"
    return f"an NVIDIA driver is here, but PyTorch for CUDA {torch.version.cuda} finds no GPU"


def _look_at(model: str) -> tuple[int, bool]:
    """Bytes of the denoiser's and the decoder's files, and whether the weights have 8 bits."""
    from magi_rt.checkpoints.layout import locate
    from magi_rt.errors import MagiError

    try:
        found = locate(model)
    except MagiError:
        return 0, False
    folders = [folder for folder in (found.denoiser, found.vae) if folder is not None]
    return sum(_bytes_in(folder) for folder in folders), found.config.engine.fp8_quant


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
