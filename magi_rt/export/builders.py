"""Graph in, plan out: one interface before every runtime that builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from magi_rt.errors import BackendError
from magi_rt.export.manifest import TensorSpec
from magi_rt.export.targets import CARD_RUNTIMES, Target, check_choice

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it, 0 to 1."""


def silent(what: str, share: float) -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True)
class BuildOrder:
    """What to build.

    model: an ONNX file; large weights may lie in files beside it.
    inputs: every input, with its profile where its sizes vary.
    precision: a name of ``targets.PRECISIONS``; graphs are typed, so this only guides runtimes
        that choose formats themselves.
    """

    model: Path
    inputs: tuple[TensorSpec, ...]
    precision: str
    target: Target


class Builder(Protocol):
    """Builds plans with one runtime."""

    runtime: str

    def version(self) -> str:
        """The runtime's version.

        Raises:
            BackendError: the runtime is not installed; the message says how to install it.
        """
        ...

    def flags(self, target: Target, precision: str) -> tuple[str, ...]:
        """The settings that shape the plan, in words, for its manifest."""
        ...

    def build(self, order: BuildOrder, into: Path, progress: Progress = silent) -> None:
        """Write the plan's files into an empty folder.

        Raises:
            BackendError: the runtime refuses the graph; the message holds its own words.
        """
        ...


def find_builder(runtime: str) -> Builder:
    """The builder of a runtime for cards; the runtime is imported when it is first used.

    Raises:
        OptionError: there is no such runtime.
    """
    check_choice("runtime", runtime, CARD_RUNTIMES)
    from magi_rt.export.builders_tensorrt import TensorRTBuilder

    return TensorRTBuilder(runtime)


def missing(runtime: str, extra: str, error: BaseException) -> BackendError:
    """The error for a runtime that cannot be imported, with the way to get it."""
    return BackendError(
        f"{runtime} cannot be imported ({' '.join(str(error).split())}); "
        f'install it with: pip install "magi-rt[{extra}]"',
        field="runtime",
    )
