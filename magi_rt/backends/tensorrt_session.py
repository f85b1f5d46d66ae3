"""A built engine and the device pointers it works on: tensors in, tensors out, no copies.

Nothing here has been run on a card yet: everything up to the runtime's own calls is tested with a
stand-in for the runtime's module, and the calls themselves are written to its documentation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from magi_rt.backends.tensorrt_kernels import KeptKernels
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


class Scratch:
    """Device memory for what engines compute on the way, shared by those that never run at once."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.memory = device, torch.empty(0, dtype=torch.uint8, device=device)

    def reserve(self, size: int) -> None:
        """Room for an engine that needs so many bytes."""
        if size > self.memory.nbytes:
            if self.device.type == "cuda":  # calls under way compute in what is replaced here
                torch.cuda.synchronize(self.device)
            self.memory = torch.empty(size, dtype=torch.uint8, device=self.device)


class EngineSession:
    """One plan, loaded: it reads the caller's tensors where they lie and writes into its own.

    Calls are put on a stream and return at once. Outputs are views of the session's own buffers,
    made when it is opened for the largest call; the next call writes them again, so use or copy
    them on the same stream.
    """

    def __init__(self, plan: Plan, trt: Any, engine: Any, scratch: Scratch, card: str) -> None:
        self.plan, self.device, self._scratch = plan, scratch.device, scratch
        self._kernels = KeptKernels(plan.folder, card)
        self.inputs = {spec.name: spec for spec in plan.manifest.identity.inputs}
        self._engine = engine  # the context needs it alive
        self._context = _new_context(trt, engine, self._kernels)
        if self._context is None:
            raise _failed(plan, "there is no memory left for its context")
        _check_names(plan, trt, engine)
        scratch.reserve(engine.device_memory_size_v2)
        self._lent: Tensor | None = None
        specs = plan.manifest.identity.outputs
        self._buffers = {spec.name: _buffer(spec, self.device) for spec in specs}
        for name, tensor in self._buffers.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    @classmethod
    def open(
        cls, plan: Plan, scratch: Scratch, capability: tuple[int, int], card: str
    ) -> EngineSession:
        """Load a plan onto a card.

        Args:
            scratch: on that card, of the stream that the engine will run on.
            capability: the card's compute capability.
            card: its name, for messages and for the kernels that are kept.

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
            raise _refused(plan, log.told() or "the runtime gives no reason")
        return cls(plan, trt, engine, scratch, card)

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
        memory = self._scratch.memory
        if self._lent is not memory:
            self._lent = None  # an interrupt may come before or after what follows; so below
            self._context.set_device_memory(memory.data_ptr(), memory.nbytes)
            self._lent = memory
        if not self._context.execute_async_v3(stream):
            raise _failed(self.plan, "the runtime could not put the call on its stream")
        return {name: self._given(name) for name in self._buffers}

    def keep_kernels(self) -> None:
        """Keep the kernels made so far, for the next process that loads the plan on such a card."""
        self._kernels.keep()

    def _given(self, name: str) -> Tensor:
        """An output in the sizes that follow from the inputs."""
        shape = tuple(self._context.get_tensor_shape(name))
        return self._buffers[name].view(-1)[: math.prod(shape)].view(shape)

    def _bind(self, spec: TensorSpec, tensor: Tensor) -> None:
        wanted = DTYPES[spec.dtype]
        if tensor.dtype != wanted or not _fits(spec, tuple(tensor.shape)):
            has = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
            raise _failed(self.plan, f"input {spec.name} is {has} but it takes {spec}")
        if tensor.device != self.device or not tensor.is_contiguous():
            raise _failed(self.plan, f"input {spec.name} must be contiguous and on {self.device}")
        shape = tuple(tensor.shape)
        if spec.dynamic and self._shapes.get(spec.name) != shape:
            self._shapes.pop(spec.name, None)
            self._context.set_input_shape(spec.name, shape)
            self._shapes[spec.name] = shape
        address = tensor.data_ptr()
        if self._addresses.get(spec.name) != address:
            self._addresses.pop(spec.name, None)
            self._context.set_tensor_address(spec.name, address)
            self._addresses[spec.name] = address


def _new_context(trt: Any, engine: Any, kernels: KeptKernels) -> Any:
    """A context whose memory is lent to it, and whose kernels for a new size are made at once.

    TensorRT for RTX would make them beside the calls that already need them; TensorRT has made
    them when it built.
    """
    config = engine.create_runtime_config()
    lent = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    config.set_execution_context_allocation_strategy(lent)
    moments = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
    if moments is not None:
        config.dynamic_shapes_kernel_specialization_strategy = moments.EAGER
    kernels.lend(config)
    return engine.create_execution_context(config)


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
            raise _refused(plan, f"it has {sorted(has)} where its manifest tells {sorted(told)}")


def _buffer(spec: TensorSpec, device: torch.device) -> Tensor:
    return torch.empty(spec.sizes()[2], dtype=DTYPES[spec.dtype], device=device)


def _refused(plan: Plan, why: str) -> BackendError:
    """The plan is whole as files go, so nothing builds it again while it is there."""
    return _failed(plan, why, f"remove {plan.folder} and build it again with magi-rt compile, or ")


def _failed(plan: Plan, why: str, remedy: str = "") -> BackendError:
    return BackendError(
        f"the plan {plan.folder} cannot be used: {' '.join(why.split())}; "
        f"{remedy}use backend 'compiled'",
        field="plan",
    )
