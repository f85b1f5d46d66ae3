"""The options of a world, checked before anything heavy is opened."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

from magi_rt.errors import OptionError
from magi_rt.sampling.noise import SEED_LIMIT

SIDE_LIMIT = 4096
"""Longest side of a picture, in pixels."""

HISTORY_LIMIT = 1000
"""Most chunks that a world can be told to keep for rewinding."""

STEPS_LIMIT = 1000
"""Most denoising steps of a chunk that are looked at; models allow fewer."""

COUNT_LIMIT = 2**53
"""Most chunks or frames that a log or a snapshot can tell of; readers of JSON know larger ones only
roughly."""


@dataclass(frozen=True)
class WorldOptions:
    """What a world is opened with, apart from the model and the first picture or video.

    Attributes:
        seed: 0 .. 2**63 - 1; the same seed, options and prompts give the same frames.
        steps: denoising steps per chunk (4, 8, 12, 16, 32 or 64); ``None``: the model's own.
        window: chunks in flight at once, 1 to 4: more is faster on large GPUs and slower to
            react (``World.delay_chunks``); ``None``: the model's own.
        depth: finished chunks kept for the model to look back at; ``None``: all it can see.
        size: (height, width) in pixels, multiples of what the model needs, at least twice that;
            ``None``: its own.
        backend: "auto" (the fastest that is installed), or a name of ``backends/choose.py``:
            "eager", "openvino", "onnx", "compiled", "tensorrt" or "dummy".
        device: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16" or "auto": PyTorch takes the model's own, a graph runtime its
            fastest.
        attention: "auto" (the fastest that gives the same numbers), "sdpa" (PyTorch's own) or
            "sage" (SageAttention: 8-bit products on NVIDIA cards, other numbers); the backends
            "eager" and "compiled" heed it.
        history: chunks that ``World.rewind`` can take back; each costs one copy of the model's
            memory. ``None``: 8, or fewer where 8 copies exceed 1 GiB (``World.notes`` says so).
            0: none is copied, and a call that fails or is interrupted may have moved in part.
        adapt: move between step counts so that chunks come in time: True for all counts that the
            model was taught (none above ``steps`` when that is given), or the counts to choose
            from. Only distilled models can.
        fps: pictures per second that ``adapt`` keeps, 0.001 .. 1000; ``None``: the world's
            own.

    Raises:
        OptionError: a value is outside its range; the model's own limits are checked later.
    """

    seed: int = 0
    steps: int | None = None
    window: int | None = None
    depth: int | None = None
    size: tuple[int, int] | None = None
    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    history: int | None = None
    adapt: bool | tuple[int, ...] = False
    fps: float | None = None

    def __post_init__(self) -> None:
        limits = {"steps": STEPS_LIMIT, "window": 1000, "depth": 1000, "history": HISTORY_LIMIT}
        self._set("seed", checked_whole("seed", self.seed, 0, SEED_LIMIT - 1))
        for name, most in limits.items():
            if getattr(self, name) is not None:
                least = int(name != "history")
                self._set(name, checked_whole(name, getattr(self, name), least, most))
        for name in ("backend", "device", "dtype", "attention"):
            if not isinstance(getattr(self, name), str):
                raise OptionError(f"{name} is {getattr(self, name)!r}; it must be text", field=name)
        if self.size is not None:
            self._set("size", checked_size(self.size))
        self._check_adapt()

    def _set(self, name: str, value: object) -> None:
        """A value in Python's own type, as NumPy's integers could not be written into a log."""
        object.__setattr__(self, name, value)

    def _check_adapt(self) -> None:
        if not isinstance(self.adapt, bool):
            if not isinstance(self.adapt, tuple):
                raise OptionError(
                    f"adapt is {self.adapt!r}; it must be True, False or step counts such as "
                    "(4, 8, 16)",
                    field="adapt",
                )
            self._set(
                "adapt", tuple(checked_whole("adapt", each, 1, STEPS_LIMIT) for each in self.adapt)
            )
        if self.fps is None:
            return
        self._set("fps", checked_rate("fps", self.fps))
        if self.adapt is False:
            raise OptionError(
                "fps says which pace a world keeps by its step counts; give adapt=True with it",
                field="fps",
            )

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values."""
        values = asdict(self)
        values["size"] = list(self.size) if self.size else None
        if self.adapt is False:
            del values["adapt"], values["fps"]
        if self.attention == "auto":
            del values["attention"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WorldOptions:
        """The inverse of :meth:`to_dict`.

        Raises:
            OptionError: a key is unknown or a value is outside its range.
        """
        _refuse_unknown(values)
        size, adapt = values.get("size"), values.get("adapt", False)
        return cls(
            **{
                **values,
                "size": checked_size(size) if size is not None else None,
                "adapt": tuple(adapt) if isinstance(adapt, list) else adapt,
            }
        )


def _refuse_unknown(names: Iterable[str]) -> None:
    """Raise OptionError when there is any unknown option, naming it and the nearest known one."""
    known = tuple(field.name for field in fields(WorldOptions))
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise OptionError(f"option {name!r} is unknown; {hint}", field=name)


def checked_whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number of any library as Python's; OptionError when it is none or out of range."""
    number = None
    if not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)
    if number is None or not least <= number <= most:
        limit = "2**63 - 1" if most == SEED_LIMIT - 1 else str(most)
        raise OptionError(
            f"{name} is {value!r}; it must be a whole number from {least} to {limit}", field=name
        )
    return number


def checked_rate(name: str, value: Any) -> float:
    """Frames per second of any library as Python's; OptionError outside 0.001 .. 1000."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0.001 <= value <= 1000:
        raise OptionError(f"{name} is {value!r}; it must be 0.001 to 1000", field=name)
    return float(value)


def checked_size(size: object) -> tuple[int, int]:
    """(height, width) from any pair of whole numbers.

    Raises:
        OptionError: it is no pair, or a side is outside 1..``SIDE_LIMIT``.
    """
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise OptionError(f"size is {size!r}; give (height, width) in pixels", field="size")
    height, width = (checked_whole("size", side, 1, SIDE_LIMIT) for side in size)
    return height, width


def fitted_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The size itself when both sides are multiples of what the model needs, at least twice that.

    Raises:
        OptionError: they are not; the message names the nearest size that fits.
    """
    least = 2 * multiple  # a side of one token has no positions
    if any(side % multiple or side < least for side in size):
        height, width = (max(least, round(side / multiple) * multiple) for side in size)
        raise OptionError(
            f"size {size[0]}x{size[1]} (height x width) does not fit: both sides must be "
            f"multiples of {multiple}, and at least {least}; try {height}x{width}",
            field="size",
        )
    return size
