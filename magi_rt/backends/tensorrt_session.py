"""A built engine and the device pointers it works on: tensors in, tensors out, no copies.

Nothing here has been run on a card yet: everything up to the runtime's own calls is tested with a
stand-in for the runtime's module, and the calls themselves are written to its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import BackendError
from magi_rt.export.builders_tensorrt import PLAN, import_runtime, quiet_log
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.plan_cache import Plan

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
    "uint8": torch.uint8,
}


class EngineSession:
    """One plan, loaded: it reads the caller's tensors where they lie and writes into its own.

    Calls are put on a stream and return at once. Outputs are the session's own buffers, made when
    it is opened; the next call writes them again, so use or copy them on the same stream.
    """

    def __init__(self, plan: Plan, trt: Any, engine: Any, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.inputs = {spec.name: spec for spec in plan.manifest.identity.inputs}
        self._engine = engine  # the context needs it alive
        self._context = engine.create_execution_context()
        if self._context is None:
            raise _failed(plan, "there is no memory left for its context")
        _check_names(plan, trt, engine)
        self.outputs = {spec.name: _buffer(spec, device) for spec in plan.manifest.identity.outputs}
        for name, tensor in self.outputs.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._addresses: dict[str, int] = {}

    @classmethod
    def open(
        cls, plan: Plan, device: torch.device, capability: tuple[int, int], card: str
    ) -> EngineSession:
        """Load a plan onto a card.

        Args:
            capability: the card's compute capability.
            card: its name, for messages.

        Raises:
            BackendError: the plan was built for another card or runtime version, the runtime is
                not installed, or it refuses the plan.
        """
        identity = plan.manifest.identity
        plan.manifest.check_card(capability, card, plan.folder)
        trt = import_runtime(identity.runtime)
        here = str(trt.__version__)
        if here != identity.runtime_version:
            raise BackendError(
                f"the plan {plan.folder} was built with {identity.runtime} "
                f"{identity.runtime_version} but {here} is installed; "
                "build it again with magi-rt compile",
                field="runtime_version",
            )
        log = quiet_log(trt)
        engine = trt.Runtime(log).deserialize_cuda_engine(plan.file(PLAN).read_bytes())
        if engine is None:
            raise _failed(plan, log.told() or "the runtime gives no reason")
        return cls(plan, trt, engine, device)

    def run(self, inputs: Mapping[str, Tensor], stream: int) -> dict[str, Tensor]:
        """Put one call on a CUDA stream.

        Args:
            inputs: every input of the graph, contiguous, on this device, in its dtype and shape.
                They must live and stay as they are until the call has run.
            stream: the handle, ``torch.cuda.Stream.cuda_stream``.

        Raises:
            BackendError: an input is missing or does not fit, or the runtime refuses the call.
        """
        for name, spec in self.inputs.items():
            if name not in inputs:
                raise _failed(self.plan, f"input {name} is missing")
            self._bind(spec, inputs[name])
        if not self._context.execute_async_v3(stream):
            raise _failed(self.plan, "the runtime could not put the call on its stream")
        return self.outputs

    def _bind(self, spec: TensorSpec, tensor: Tensor) -> None:
        wanted = DTYPES[spec.dtype]
        if tensor.dtype != wanted or not _fits(spec, tuple(tensor.shape)):
            has = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
            raise _failed(self.plan, f"input {spec.name} is {has} but it takes {spec}")
        if tensor.device != self.device or not tensor.is_contiguous():
            raise _failed(self.plan, f"input {spec.name} must be contiguous and on {self.device}")
        if spec.dynamic:
            self._context.set_input_shape(spec.name, tuple(tensor.shape))
        address = tensor.data_ptr()
        if self._addresses.get(spec.name) != address:
            self._context.set_tensor_address(spec.name, address)
            self._addresses[spec.name] = address


def _fits(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    if not spec.dynamic:
        return shape == spec.shape
    spans = zip(spec.smallest, shape, spec.largest, strict=False)
    return len(shape) == len(spec.shape) and all(low <= n <= high for low, n, high in spans)


def _check_names(plan: Plan, trt: Any, engine: Any) -> None:
    """The engine must have the inputs and outputs that its manifest tells."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    identity = plan.manifest.identity
    for mode, specs in ((trt.TensorIOMode.INPUT, identity.inputs),
                        (trt.TensorIOMode.OUTPUT, identity.outputs)):  # fmt: skip
        has = {name for name in names if engine.get_tensor_mode(name) == mode}
        told = {spec.name for spec in specs}
        if has != told:
            raise _failed(plan, f"it has {sorted(has)} where its manifest tells {sorted(told)}")


def _buffer(spec: TensorSpec, device: torch.device) -> Tensor:
    shape = spec.largest if spec.dynamic else spec.shape
    return torch.empty(shape, dtype=DTYPES[spec.dtype], device=device)


def _failed(plan: Plan, why: str) -> BackendError:
    return BackendError(
        f"the plan {plan.folder} cannot be used: {' '.join(why.split())}; "
        "build it again with magi-rt compile, or use backend 'compiled'",
        field="plan",
    )
