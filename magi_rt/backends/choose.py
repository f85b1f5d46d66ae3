"""A name becomes an executor, with the reason for it as a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from magi_rt.errors import BackendError, OptionError

if TYPE_CHECKING:
    from magi_rt.backends.base import Executor
    from magi_rt.backends.eager import EagerExecutor
    from magi_rt.backends.graph_runner import GraphExecutor

BACKENDS = ("eager", "openvino", "onnx", "compiled", "tensorrt", "dummy")
"""The executors of this version."""

ATTENTIVE = ("eager", "compiled")
"""Those whose attention can be chosen."""

DTYPES = ("auto", "float32", "bfloat16")
"""Working number formats; "auto" takes the executor's usual one: PyTorch the model's own, a graph
runtime its fastest."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class BackendChoice:
    """Which executor runs a model, and why.

    Attributes:
        backend: one of ``BACKENDS``.
        reason: a sentence for people.
        wished: somebody named it, so nothing else will do.
    """

    backend: str
    reason: str
    wished: bool = False


def resolve_backend(
    model: str, backend: str = "auto", device: str = "auto", dtype: str = "auto"
) -> BackendChoice:
    """The executor that a model and a wish lead to; loads nothing of the model.

    Raises:
        BackendError: the backend is unknown, not part of this version, or cannot run the model.
    """
    if backend == "auto":
        if model == "dummy":
            return BackendChoice("dummy", "the dummy world needs no model: synthetic colours")
        from magi_rt.backends.automatic import fastest, wished

        name, reason = fastest(model, device, dtype)
        with _named_by(reason if wished() else ""):
            choice = resolve_backend(model, name)
        return replace(choice, reason=reason, wished=bool(wished()))
    if backend not in BACKENDS:
        near = get_close_matches(str(backend), BACKENDS, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "use one of"
        raise BackendError(
            f"backend {backend!r} is unknown; {hint} {_spelled(('auto', *BACKENDS))}",
            field="backend",
        )
    if (backend == "dummy") != (model == "dummy"):
        fitting = "dummy" if model == "dummy" else "eager"
        raise BackendError(
            f"backend {backend!r} cannot run the model {model!r}; use backend={fitting!r} "
            'or model="dummy"' if backend == "dummy" else
            f"backend {backend!r} cannot run the model 'dummy', which has no weights; "
            f"use backend={fitting!r}",
            field="backend",
        )  # fmt: skip
    return BackendChoice(backend, f"backend {backend!r} was asked for", wished=True)


def open_executor(
    model: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
) -> Executor:
    """Opens a model in the executor that fits; runtimes are imported only when chosen.

    When the one that "auto" chose cannot be opened, PyTorch runs the model and ``info.reason`` says
    why (:func:`open_instead`).

    Args:
        model: the name of a built-in world, or a folder in the published layout.
        backend: "auto" or one of ``BACKENDS``.
        device: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".
        dtype: one of ``DTYPES``.
        attention: one of ``ATTENTIONS``; other than "auto" only for ``ATTENTIVE`` executors.

    Raises:
        BackendError: no executor fits, or the device is unknown or not there.
        OptionError: the dtype is unknown.
        CheckpointError, ConfigError: the model folder cannot be opened.
    """
    check_device(device)
    check_dtype(dtype)
    if attention != "auto":
        return _open_attentive(model, backend, device, dtype, attention)
    choice = resolve_backend(model, backend, device, dtype)
    if choice.backend == "dummy":
        return _open_dummy(device, dtype)
    if backend != "auto":
        return _kind(choice.backend).open(model, device=device, dtype=dtype)
    try:
        with _named_by(choice.reason if choice.wished else ""):
            opened: EagerExecutor = _kind(choice.backend).open(model, device=device, dtype=dtype)
    except BackendError as error:
        if choice.backend == "eager" or choice.wished:
            raise
        failure = error.message  # an error that is kept would keep what was opened
    else:
        opened.info = replace(opened.info, reason=f"{choice.reason}; {opened.info.reason}")
        return opened
    return open_instead(model, choice.backend, failure, device=device, dtype=dtype)


def may_be_replaced(executor: Executor, backend: str) -> bool:
    """True where an executor was "auto"'s own choice and PyTorch could run the model instead."""
    from magi_rt.backends.automatic import wished

    free = backend == "auto" and not wished()
    return free and executor.info.name not in ("eager", "dummy")


def open_instead(
    model: str, chosen: str, failure: str, *, device: str = "auto", dtype: str = "auto"
) -> Executor:
    """PyTorch in place of what "auto" chose and cannot be used; errors as in `open_executor`.

    Args:
        failure: what was said by the one that was chosen; ``info.reason`` repeats it.
    """
    opened = _kind("eager").open(model, device=device, dtype=dtype)
    reason = f"PyTorch runs the model, because {chosen} does not: {failure}"
    opened.info = replace(opened.info, reason=f"{reason}; {opened.info.reason}")
    return opened


def _open_attentive(
    model: str, backend: str, device: str, dtype: str, attention: str
) -> EagerExecutor:
    """PyTorch with a wished attention; the graph runtimes and the dummy have their own."""
    from magi_rt.backends.automatic import VARIABLE, wished

    if model == "dummy" and backend in ("auto", "dummy"):
        raise BackendError(
            f"attention {attention!r} cannot be had from the dummy world, which computes none; "
            "leave attention out",
            field="attention",
        )
    told = backend == "auto" and wished()
    with _named_by(f"{VARIABLE} says {told!r}" if told else ""):
        choice = resolve_backend(model, told or "eager" if backend == "auto" else backend)
        if choice.backend not in ATTENTIVE:
            raise BackendError(
                f"attention {attention!r} cannot be had from backend {choice.backend!r}, which has "
                f"its own; use backend={ATTENTIVE[0]!r} or {ATTENTIVE[1]!r}, or attention='auto'",
                field="attention",
            )
    opened: EagerExecutor = _kind(choice.backend).open(
        model, device=device, dtype=dtype, attention=attention
    )
    return opened


@contextmanager
def _named_by(place: str) -> Iterator[None]:
    """Errors about a backend begin with the place that named it, where that was no argument."""
    try:
        yield
    except BackendError as error:
        if not place or error.field not in ("backend", "attention"):
            raise
        raise BackendError(f"{place}: {error.message}", field=error.field) from error


def graph_executor_of(runtime: str) -> type[GraphExecutor]:
    """The class of the executor on a graph runtime for processors, "openvino" or "onnxruntime"."""
    if runtime == "openvino":
        from magi_rt.backends.openvino import OpenVINOExecutor

        return OpenVINOExecutor
    from magi_rt.backends.onnx import OnnxExecutor

    return OnnxExecutor


def _kind(backend: str) -> type[EagerExecutor]:
    """The class of an executor."""
    if backend in ("openvino", "onnx"):
        return graph_executor_of(backend)
    if backend == "compiled":
        from magi_rt.backends.compiled import CompiledExecutor

        return CompiledExecutor
    if backend == "tensorrt":
        from magi_rt.backends.tensorrt import TensorRTExecutor

        return TensorRTExecutor
    from magi_rt.backends.eager import EagerExecutor

    return EagerExecutor


def check_device(wish: str) -> None:
    """Raise BackendError when no machine has such a device; whether this one has is not asked."""
    if not _DEVICE.fullmatch(wish):
        raise BackendError(
            f"device {wish!r} is unknown; use 'auto', 'cpu', 'cuda' or 'cuda:N'", field="device"
        )


def check_dtype(wish: str) -> None:
    """Raise OptionError when the working number format is not one of ``DTYPES``."""
    if wish not in DTYPES:
        raise OptionError(f"dtype {wish!r} is unknown; use {_spelled(DTYPES)}", field="dtype")


def _open_dummy(device: str, dtype: str) -> Executor:
    if device not in ("auto", "cpu") or dtype not in ("auto", "float32"):
        raise BackendError(
            f"the dummy world runs on the CPU in float32, not on {device!r} in {dtype!r}; "
            "leave device and dtype out",
            field="device" if device not in ("auto", "cpu") else "dtype",
        )
    from magi_rt.backends.dummy import DummyExecutor

    return DummyExecutor()


def _spelled(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)
