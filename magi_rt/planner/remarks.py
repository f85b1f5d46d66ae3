"""What to know about a plan before believing it."""

from __future__ import annotations

from collections.abc import Sequence

from magi_rt.config import ModelConfig
from magi_rt.planner.chips import CPU, Chip
from magi_rt.planner.memory import GIB
from magi_rt.planner.plan import Choice
from magi_rt.planner.work import Subject, is_published_shape

SEEN = {34: (640 * 360, "360p, 480p and 720p"), 48: (455 * 256, "256p, 480p and 720p")}
"""Layers of a published model -> pixels of the smallest pictures of its training, and all sizes."""

LATE_SHARE = 1.15
"""Choices within this factor of the clock are called narrow."""


def least_pixels(model: ModelConfig) -> tuple[int, str] | None:
    """The smallest pictures that a published model was trained with; None for other models."""
    return SEEN[model.num_layers] if is_published_shape(model) else None


def never_seen(subject: Subject, choice: Choice) -> bool:
    """True when the published model was never trained with pictures this small."""
    least = least_pixels(subject.config.model)
    return least is not None and choice.size[0] * choice.size[1] < least[0]


def remarks(subject: Subject, chip: Chip, shown: Sequence[Choice], fps: float) -> list[str]:
    """Sentences on the choices that are shown."""
    said = [_basis(chip)]
    least = least_pixels(subject.config.model)
    if least is not None and any(never_seen(subject, each) for each in shown):
        said.append(
            f"* {subject.name} was trained at {least[1]}; it never saw pictures of fewer than "
            f"about {least[0] // 1000},000 pixels, and how they look is not known"
        )
    for way in {each.precision.name: each.precision for each in shown}.values():
        if way.remark:
            said.append(f"{way.name}: {way.remark}")
        if way.eight_bits and not subject.config.engine.fp8_quant:
            said.append(f"{way.name}: needs weights in 8 bits, which {subject.name} has not")
    if any(each.fps < fps * LATE_SHARE for each in shown):
        said.append(
            f"choices below {fps * LATE_SHARE:.3g} pictures per second leave no room for the "
            "day on which something else uses the machine"
        )
    if any(each.window == 1 and _stages(subject) > 1 for each in shown):
        said.append("window 1 obeys soonest; the published models are run with 4 chunks in flight")
    if subject.text_bytes > GIB and chip.name != CPU:
        said.append(
            f"the text encoder runs on the CPU and takes {subject.text_bytes / GIB:.0f} GiB of "
            "its memory; the time that it needs for a new prompt is not in the delay"
        )
    return said


def _stages(subject: Subject) -> int:
    return len(set(subject.config.runtime.noise2clean_kvrange))


def _basis(chip: Chip) -> str:
    if chip.name == CPU:
        return f"reckoned from a measurement of this machine: {chip.source}"
    return (
        f"reckoned, not measured: the denoiser at {100 * chip.share:.0f} % and the decoder at "
        f"{100 * chip.decoder_share:.0f} % of the peaks of {chip.name} ({chip.source}), one after "
        "the other"
    )
