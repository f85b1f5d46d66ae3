"""What an engine is built for: a card's compute capability, or the processor of this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from magi_rt.errors import OptionError

PRECISIONS = ("float32", "bfloat16", "fp8")
"""Number formats of a graph; "fp8" is bfloat16 with e4m3 matrix products. Those of worlds: no world
computes in float16, so no engine is built for it."""

CARD_RUNTIMES = ("tensorrt_rtx", "tensorrt")
RUNTIMES = (*CARD_RUNTIMES, "openvino", "onnxruntime")
PROCESSOR_PRECISIONS = ("auto", "float32", "bfloat16")
"""Of graphs for processors; "auto" is what a world takes that is opened without a dtype."""

FIRST_WITH_BFLOAT16 = (8, 0)
FIRST_WITH_FP8 = (8, 9)


@dataclass(frozen=True)
class Target:
    """A place where plans run.

    name: as in recipes.
    runtimes: what can build for it, the first is taken unless another is asked for.
    capability: CUDA compute capability, ``None`` for processors.
    """

    name: str
    runtimes: tuple[str, ...]
    capability: tuple[int, int] | None = None

    @property
    def usual_precision(self) -> str:
        """What worlds and recipes take that ask for no format."""
        if self.capability is None:
            return "auto"
        return "bfloat16" if self.capability >= FIRST_WITH_BFLOAT16 else "float32"

    def check_precision(self, precision: str) -> None:
        """Raise OptionError when this place has no arithmetic of that format."""
        if self.capability is None:
            check_choice("precision", precision, PROCESSOR_PRECISIONS)
            return
        check_choice("precision", precision, PRECISIONS)
        needed = {"bfloat16": FIRST_WITH_BFLOAT16, "fp8": FIRST_WITH_FP8}.get(precision, (0, 0))
        if self.capability < needed:
            weights = "unquantised weights in " if precision == "fp8" else ""
            raise OptionError(
                f"precision {precision!r} needs compute capability {spell(needed)} but "
                f"{self.name} has {spell(self.capability)}; use "
                f"{weights}{self.usual_precision!r}",
                field="precision",
            )

    def choose_runtime(self, wish: str = "auto") -> str:
        """The runtime that builds for this target.

        Raises:
            OptionError: the wish is unknown, or cannot build for this target.
        """
        if wish == "auto":
            return self.runtimes[0]
        check_choice("runtime", wish, RUNTIMES)
        if wish not in self.runtimes:
            raise OptionError(
                f"runtime {wish!r} does not build for {self.name}; use {listed(self.runtimes)}",
                field="runtime",
            )
        return wish


def _card(name: str, major: int, minor: int) -> Target:
    return Target(name, ("tensorrt_rtx", "tensorrt"), (major, minor))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        _card("rtx2080", 7, 5),
        _card("a100", 8, 0),
        _card("rtx3090", 8, 6),
        _card("rtx4090", 8, 9),
        _card("rtx5090", 12, 0),
        Target("h100", ("tensorrt",), (9, 0)),
        Target("h200", ("tensorrt",), (9, 0)),
        Target("cpu", ("openvino", "onnxruntime")),
    )
}
"""H100 and H200 are not among the targets of TensorRT for RTX, so only TensorRT builds for them."""


def target_of(capability: tuple[int, int]) -> Target:
    """The target with this compute capability; a card that no recipe names gets one of its own.

    Cards of one capability share their engines, so the first target that has it stands for all.
    """
    for target in TARGETS.values():
        if target.capability == capability:
            return target
    return Target(f"sm{spell(capability)}", CARD_RUNTIMES, capability)


def find_target(name: str) -> Target:
    """Raises:
    OptionError: there is no such target; the message names the nearest one.
    """
    check_choice("target", name, TARGETS)
    return TARGETS[name]


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Raise OptionError unless the value is one of the choices; near matches are named."""
    allowed = tuple(choices)
    if value in allowed:
        return
    near = get_close_matches(str(value), allowed, n=1)
    hint = f"did you mean {near[0]!r}? There are" if near else "use one of"
    raise OptionError(f"{field} {value!r} is unknown; {hint} {listed(allowed)}", field=field)


def spell(capability: tuple[int, int]) -> str:
    """(8, 9) -> "8.9"."""
    return f"{capability[0]}.{capability[1]}"


def listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
