"""TensorRT and TensorRT for RTX: one builder, as the two modules share their interface.

TensorRT for RTX builds for a card that is not in this machine, by naming its compute capability.
TensorRT builds for the card that is here.
"""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from magi_rt.errors import BackendError
from magi_rt.export.builders import BuildOrder, Progress, missing, silent
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.targets import Target, spell

PLAN = "plan.engine"
EXTRAS = {"tensorrt_rtx": "rtx", "tensorrt": "tensorrt"}


def import_runtime(runtime: str) -> Any:
    """The module ``tensorrt_rtx`` or ``tensorrt``.

    Raises:
        BackendError: it is not installed, or its libraries are not there.
    """
    try:
        return importlib.import_module(runtime)
    except (ImportError, OSError) as error:
        raise missing(runtime, EXTRAS[runtime], error) from error


def runtime_for(target: Target) -> str:
    """The first runtime of a card that is installed and builds for it.

    Raises:
        BackendError: none is; the message says why for each.
    """
    told = []
    for runtime in target.runtimes:
        try:
            trt = import_runtime(runtime)
            if runtime == "tensorrt_rtx":
                _capability_of(trt, target)
            return runtime
        except BackendError as error:
            told.append(error.message)
    raise BackendError(
        f"no runtime for {target.name} is here: {'; '.join(told)}; or use backend='eager'",
        field="runtime",
    )


class TensorRTBuilder:
    """Builds engines from typed graphs: every tensor keeps the format that the graph gives it."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime

    def version(self) -> str:
        """Raises:
        BackendError: the runtime is not installed.
        """
        return str(import_runtime(self.runtime).__version__)

    def flags(self, target: Target, precision: str) -> tuple[str, ...]:
        """Typed always; TensorRT for RTX names the capability, TensorRT the card that is here.

        TensorRT tunes an engine to the very card: on another one of the same capability it may
        be slow or fail.
        """
        if self.runtime == "tensorrt_rtx":
            return ("strongly typed", f"compute capability {_name(target)}")
        here = torch.cuda.get_device_name() if torch.cuda.is_available() else "no card"
        return ("strongly typed", f"built on {here}")

    def build(self, order: BuildOrder, into: Path, progress: Progress = silent) -> None:
        """Parse the graph and write ``plan.engine``.

        Raises:
            BackendError: the parser or the builder refuses; the message holds their words.
            BaseException: what progress raises, and KeyboardInterrupt; the build ends then.
        """
        trt = import_runtime(self.runtime)
        if self.runtime == "tensorrt":
            _check_card_here(order.target)
        log = quiet_log(trt)
        builder = trt.Builder(log)
        flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        progress("parsing", 0.0)
        parser = trt.OnnxParser(network, log)
        if not parser.parse_from_file(str(order.model)):
            told = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise self._refused(order, "the parser", told)
        config = builder.create_builder_config()
        self._choose_card(trt, config, order.target)
        self._add_profile(builder, config, order.inputs)
        monitor = config.progress_monitor = _monitor(trt, progress)
        with _interrupts_after(monitor.stop):
            plan = builder.build_serialized_network(network, config)
        if monitor.error is not None:
            raise monitor.error
        if plan is None:
            raise self._refused(order, "the builder", log.told())
        (into / PLAN).write_bytes(memoryview(plan))
        progress("built", 1.0)

    def _choose_card(self, trt: Any, config: Any, target: Target) -> None:
        if self.runtime != "tensorrt_rtx":
            return
        capability = _capability_of(trt, target)
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)

    def _add_profile(self, builder: Any, config: Any, inputs: tuple[TensorSpec, ...]) -> None:
        varying = [spec for spec in inputs if spec.dynamic]
        if not varying:
            return
        profile = builder.create_optimization_profile()
        for spec in varying:
            profile.set_shape(spec.name, spec.smallest, spec.usual, spec.largest)
        config.add_optimization_profile(profile)

    def _refused(self, order: BuildOrder, who: str, told: str) -> BackendError:
        return BackendError(
            f"{self.runtime}: {who} refuses {order.model.name} for {order.target.name}: "
            f"{' '.join(told.split()) or 'no reason given'}; "
            "use another precision, or backend 'eager', which runs everything",
            field="model",
        )


def _check_card_here(target: Target) -> None:
    """TensorRT builds for the card that is current, whatever the plan is filed under."""
    if not torch.cuda.is_available():
        raise BackendError(
            f"TensorRT builds for the card that is here, and PyTorch finds none to use; build on "
            f"a machine with {target.name}",
            field="target",
        )
    here, wanted = torch.cuda.get_device_capability(), target.capability or (0, 0)
    if here != wanted:
        raise BackendError(
            f"TensorRT builds for the card that is here, {torch.cuda.get_device_name()} of compute "
            f"capability {spell(here)}, but {target.name} has {spell(wanted)}; build on a card of "
            "that kind, or name this one's target",
            field="target",
        )


def _capability_of(trt: Any, target: Target) -> Any:
    """A card as TensorRT for RTX names it."""
    found = getattr(trt.ComputeCapability, _name(target), None)
    if found is None:
        known = sorted(name for name in dir(trt.ComputeCapability) if name.startswith("SM"))
        raise BackendError(
            f"TensorRT for RTX {trt.__version__} does not build for {target.name} "
            f"({_name(target)}), only for {', '.join(known)}; use runtime 'tensorrt'",
            field="target",
        )
    return found


def _name(target: Target) -> str:
    """ "SM89" for 8.9."""
    return "SM" + spell(target.capability or (0, 0)).replace(".", "")


def quiet_log(trt: Any) -> Any:
    """A logger that keeps what went wrong instead of printing it."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.kept: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.kept.append(message)

        def told(self) -> str:
            return "; ".join(self.kept[-3:])

    return Log()


def _monitor(trt: Any, progress: Progress) -> Any:
    """Phases of the build, told as a share of the outermost one.

    TensorRT swallows what is raised in here, so it is kept.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.error: BaseException | None = None
            self.stopped = False

        def stop(self) -> None:
            self.stopped = True

        def tell(self, what: str, share: float) -> None:
            try:
                progress(what, share)
            except BaseException as error:
                self.error = self.error or error
                self.stop()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self.steps[phase] = max(1, steps)
                self.tell(phase, 0.0)

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self.steps:
                self.tell(phase, min(1.0, (step + 1) / self.steps[phase]))
            return not self.stopped

        def phase_finish(self, phase: str) -> None:
            if self.steps.pop(phase, None) is not None:
                self.tell(phase, 1.0)

    return Monitor()


@contextmanager
def _interrupts_after(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C calls ``stop`` only; what it does elsewhere it does at the end."""
    before, came = signal.getsignal(signal.SIGINT), list[tuple[Any, ...]]()
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def noted(*arrived: Any) -> None:
        came.append(arrived)
        stop()

    signal.signal(signal.SIGINT, noted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(*came[0])
