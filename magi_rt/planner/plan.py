"""Which size, steps, window and precision keep up with a clock on a chip, and what is nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from magi_rt.errors import OptionError
from magi_rt.planner.chips import CPU, GPUS, Chip, Precision, precisions_of
from magi_rt.planner.memory import GIB, Memory, denoiser_bytes, world_memory
from magi_rt.planner.speed import Timing, timing
from magi_rt.planner.steps import fitting_steps, taught_steps
from magi_rt.planner.work import Subject, is_published_shape

Size = tuple[int, int]

SIZES: tuple[Size, ...] = (
    (64, 64), (96, 96), (128, 128), (160, 160), (192, 192), (224, 224), (256, 256), (288, 288),
    (320, 320), (352, 352), (384, 384), (416, 416), (448, 448), (480, 480), (512, 512),
    (480, 640), (480, 832), (640, 640), (544, 960), (720, 720), (720, 1280),
)  # fmt: skip
"""Pictures that are tried, height x width in pixels."""

WINDOWS = (1, 2, 4)
FLOAT32 = Precision("float32", "bits16", "bits16", 4)
"""How a CPU is reckoned: its measured rate, whatever the number format."""


@dataclass(frozen=True)
class Wish:
    """What a plan is for.

    Attributes:
        fps: pictures per second that must be made.
        memory_gib: memory that may be taken; ``None``: the chip's own.
        sizes, steps, windows: what may be chosen from; empty: whatever the model allows.
        precisions: the same; empty: those of the chip that are known to give good pictures.
        delay_s: longest wait from a prompt to its first picture; ``None``: any.
    """

    fps: float
    memory_gib: float | None = None
    sizes: tuple[Size, ...] = ()
    steps: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    precisions: tuple[Precision, ...] = ()
    delay_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("fps", "memory_gib", "delay_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise OptionError(
                    f"{name} is {value:g}; it must be above 0 and below 1e6", field=name
                )


@dataclass(frozen=True)
class Choice:
    """One way to run a model, and whether it does what is wished."""

    size: Size
    steps: int
    window: int
    precision: Precision
    fps: float
    timing: Timing
    memory: Memory
    fits_memory: bool
    fits_time: bool

    @property
    def fits(self) -> bool:
        """True when memory, pictures per second and delay are as wished."""
        return self.fits_memory and self.fits_time


def choices(subject: Subject, chip: Chip, wish: Wish) -> list[Choice]:
    """Every way that the wish leaves open, with its figures.

    Raises:
        OptionError: a size, step count, window or precision that the model cannot run with.
    """
    ways = _ways(subject, chip, wish)
    if not ways:
        raise OptionError(
            f"{subject.name} has 8-bit weights, which cannot be computed in "
            f"{', '.join(way.name for way in wish.precisions)}; use fp8"
            if chip.bits8
            else f"{subject.name} has 8-bit weights, but {chip.name} has no 8-bit products and "
            "emulates them in float32, many times slower; use weights of 16 bits, 4.5b-distill for "
            "one",
            field="precision",
        )
    return [
        _choice(subject, chip, wish, size, steps, window, way)
        for size, (steps, window), way in product(
            _sizes(subject, wish), list(_rhythms(subject, wish)), ways
        )
    ]


def _choice(
    subject: Subject, chip: Chip, wish: Wish, size: Size, steps: int, window: int, way: Precision
) -> Choice:
    on_cpu = chip.name == CPU
    precision = None if on_cpu else way
    memory = world_memory(subject, size, steps=steps, window=window, precision=precision)
    times = timing(
        subject, size, steps=steps, window=window, chip=chip, precision=way,
        weight_bytes=denoiser_bytes(subject, precision),
    )  # fmt: skip
    fps = subject.config.runtime.frames_per_chunk / times.chunk
    limit = chip.memory_gib if wish.memory_gib is None else wish.memory_gib
    quick = wish.delay_s is None or times.delay <= wish.delay_s
    return Choice(
        size, steps, window, way, fps, times, memory,
        fits_memory=memory.total <= limit * GIB, fits_time=fps >= wish.fps and quick,
    )  # fmt: skip


def _ways(subject: Subject, chip: Chip, wish: Wish) -> tuple[Precision, ...]:
    """What a wish leaves open; weights of 8 bits are for 8-bit products, and must be there."""
    narrow = subject.config.engine.fp8_quant
    if chip.name == CPU:
        return () if narrow else wish.precisions or (FLOAT32,)
    ways = wish.precisions or tuple(precisions_of(chip, proven=True))
    engine = subject.config.engine
    if is_published_shape(subject.config.model) and not engine.distill and not wish.precisions:
        return tuple(way for way in ways if not way.eight_bits)  # no such weights were published
    return tuple(way for way in ways if way.eight_bits or not narrow)


def _sizes(subject: Subject, wish: Wish) -> Sequence[Size]:
    side = subject.multiple
    least = 2 * side  # a side of one token has no positions
    for size in wish.sizes:
        if size[0] % side or size[1] % side or min(size) < least:
            near = "x".join(str(max(least, round(each / side) * side)) for each in size)
            raise OptionError(
                f"size {size[0]}x{size[1]} (height x width) does not fit: both sides must be "
                f"multiples of {side}, and at least {least}; try {near}",
                field="size",
            )
    own = (subject.config.runtime.video_size_h, subject.config.runtime.video_size_w)
    known = [size for size in SIZES if not (size[0] % side or size[1] % side)]
    return wish.sizes or sorted({*known, own}, key=_area)


def _rhythms(subject: Subject, wish: Wish) -> Iterator[tuple[int, int]]:
    """Pairs of steps and window."""
    taught = taught_steps(subject.config)
    for steps in wish.steps:
        if steps not in taught:
            raise OptionError(
                f"{subject.name} was never taught {steps} steps; use one of "
                f"{', '.join(map(str, taught))}",
                field="steps",
            )
    found = [
        (steps, window)
        for window in wish.windows or WINDOWS
        for steps in fitting_steps(subject.config, window)
        if not wish.steps or steps in wish.steps
    ]
    if not found:
        raise OptionError(
            f"{', '.join(map(str, wish.steps or taught))} steps do not divide among "
            f"{' or '.join(map(str, wish.windows))} chunks in flight; use another --window",
            field="window",
        )
    yield from sorted(set(found))


def _area(size: Size) -> tuple[int, int]:
    return size[0] * size[1], size[0]


def best(found: Sequence[Choice]) -> list[Choice]:
    """The largest pictures that fit for each number of steps, window and precision."""
    largest: dict[tuple[int, int, str], Choice] = {}
    for each in sorted((c for c in found if c.fits), key=lambda c: _area(c.size)):
        largest[each.steps, each.window, each.precision.name] = each
    return sorted(largest.values(), key=lambda c: (-c.size[0] * c.size[1], -c.steps, c.window))


def nearest(subject: Subject, chip: Chip, wish: Wish, found: Sequence[Choice]) -> list[str]:
    """When nothing fits: what would, in sentences, the smallest change first."""
    said = [_same_settings(wish, found)]
    ways = () if chip.name == CPU else tuple(precisions_of(chip))
    free = replace(wish, sizes=(), steps=(), windows=(), precisions=())
    for wider in (free, replace(free, precisions=ways)):
        others = best(choices(subject, chip, wider)) if wider != wish else []
        if others:
            said.append(f"other settings on {chip.name}: {described(others[0])}")
            break
    for other in GPUS.values():
        able = [way for way in wish.precisions if _can(other, way)]
        if other.name == chip.name or (wish.precisions and not able):
            continue
        asked = replace(wish, memory_gib=None, precisions=tuple(able))
        winners = best(choices(subject, other, asked)) if _ways(subject, other, asked) else []
        if winners:
            said.append(f"another GPU: {other.name} with {described(winners[0])}")
            break
    return said


def _same_settings(wish: Wish, found: Sequence[Choice]) -> str:
    """What these settings would need, or be: more memory, slower, or later."""
    roomy = [each for each in found if each.fits_memory]
    if not roomy:
        least = min(found, key=lambda c: c.memory.total)
        return (
            f"memory: the least that it takes is {least.memory.total / GIB:.1f} GiB "
            f"({described(least)}), of which weights are {least.memory.weights / GIB:.1f} GiB"
        )
    quick = [each for each in roomy if each.fps >= wish.fps]
    if quick:
        how, shown = "later", min(quick, key=lambda c: c.timing.delay)
    else:
        how, shown = "slower", max(roomy, key=lambda c: (float(f"{c.fps:.3g}"), -c.timing.delay))
    return (
        f"{how}: {shown.fps:.3g} pictures per second with {described(shown)}, "
        f"{shown.timing.delay:.1f} s from prompt to picture"
    )


def _can(chip: Chip, way: Precision) -> bool:
    return bool(getattr(chip, way.products) and getattr(chip, way.attention))


def described(choice: Choice) -> str:
    """The settings in words."""
    return (
        f"{choice.size[0]}x{choice.size[1]}, {choice.steps} steps, window {choice.window}, "
        f"{choice.precision.name}"
    )
