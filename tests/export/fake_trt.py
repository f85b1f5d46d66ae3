"""A stand-in for the module of TensorRT: engines that double their input, and a record of calls."""

from __future__ import annotations

import ctypes
import math
from types import SimpleNamespace
from typing import Any

ROWS, WIDTH = 8, 64


class Severity:
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class Context:
    """Doubles float32 numbers where the two addresses point, as many as its shape says."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.told: list[tuple[int, ...]] = []
        self.memory: list[tuple[int, int]] = []
        self.streams: list[int] = []

    def set_device_memory(self, address: int, size: int) -> None:
        self.memory.append((address, size))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes.get("x", (ROWS, WIDTH))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        self.told.append(shape)
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.streams.append(stream)
        count = math.prod(self.get_tensor_shape("x"))
        numbers = ctypes.c_float * count
        x = numbers.from_address(self.addresses["x"])
        out = numbers.from_address(self.addresses["out"])
        for i in range(count):
            out[i] = 2 * x[i]
        return not self.fails


class Kernels:
    """A cache of kernels, each some bytes; takes back what one of the same state gave."""

    def __init__(self, state: bytes = b"1.7.1 ") -> None:
        self.state, self.made = state, b""

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(self.state):
            return False
        self.made = blob.removeprefix(self.state)
        return True

    def serialize(self) -> bytes:
        return self.state + self.made


class Engine:
    """Has one input "x" and one output, "out" unless told otherwise."""

    device_memory_size_v2 = 1000

    def __init__(self, output: str = "out", fails: bool = False, memory: bool = True) -> None:
        self.names, self.context = ["x", output], Context(fails) if memory else None
        self.num_io_tensors = 2
        self.config: Any = None
        self.kernels = Kernels()

    def create_runtime_config(self) -> Any:
        self.config = SimpleNamespace(strategy=None, kernels=None)
        self.config.set_execution_context_allocation_strategy = lambda wish: setattr(
            self.config, "strategy", wish
        )
        self.config.create_runtime_cache = lambda: self.kernels
        self.config.set_runtime_cache = lambda cache: setattr(self.config, "kernels", cache)
        return self.config

    def get_tensor_name(self, place: int) -> str:
        return self.names[place]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "x" else "out"

    def create_execution_context(self, config: Any) -> Context | None:
        assert config is self.config
        return self.context


def module(engine: Engine | None, version: str = "1.7.1") -> Any:
    """What ``import tensorrt_rtx`` gives in these tests."""

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
            if engine is None:
                self.log.log(Severity.ERROR, "magic tag does not match")
            return engine

    return SimpleNamespace(
        __version__=version,
        ILogger=ILogger,
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="lent"),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="at once"),
    )
