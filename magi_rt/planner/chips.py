"""What chips can do at best: the figures that a plan starts from, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from magi_rt.errors import OptionError


@dataclass(frozen=True)
class Chip:
    """One processor with its memory; peaks are dense (no sparsity) and in FLOP/s.

    Attributes:
        name: what users call it.
        bits16: 16-bit products added up in float32, as PyTorch computes them.
        bits16_quick: float16 products added up in float16; consumer cards are twice as quick so.
        bits8: FP8 products added up in float32, 0.0 for chips without.
        bits8_quick: FP8 products added up in float16.
        bandwidth: of its memory, bytes per second.
        memory_gib: of one card, GiB.
        share: the part of the peaks that the denoiser sustains unless a plan is told otherwise.
        decoder_share: the same for the picture decoder.
        source: where the figures stand.
    """

    name: str
    bits16: float
    bits16_quick: float
    bits8: float
    bits8_quick: float
    bandwidth: float
    memory_gib: float
    share: float
    source: str
    decoder_share: float = 0.46


USUAL_SHARE = 0.45
"""Part of its peak that a denoiser sustains on a GPU: 35 to 50 % is usual, 60 % a good day."""

TERA, GIGA = 1e12, 1e9


def _gpu(
    name: str, tera: tuple[float, float, float, float], gb_s: float, gib: float, source: str
) -> Chip:
    plain, quick, plain8, quick8 = (each * TERA for each in tera)
    return Chip(name, plain, quick, plain8, quick8, gb_s * GIGA, gib, USUAL_SHARE, source)


GPUS = {
    chip.name: chip
    for chip in (
        _gpu("rtx3090", (71.2, 142.3, 0, 0), 936, 24,
             "NVIDIA Ampere GA102 GPU architecture whitepaper"),
        _gpu("rtx4090", (165.2, 330.3, 330.3, 660.6), 1008, 24,
             "NVIDIA Ada GPU architecture whitepaper"),
        _gpu("rtx5090", (209.5, 419.0, 419.0, 838.0), 1792, 32,
             "NVIDIA RTX Blackwell GPU architecture whitepaper"),
        _gpu("a100", (312.0, 312.0, 0, 0), 2039, 80, "NVIDIA A100 80GB SXM datasheet"),
        _gpu("h100", (989.4, 989.4, 1978.9, 1978.9), 3350, 80, "NVIDIA H100 SXM datasheet"),
        _gpu("h200", (989.4, 989.4, 1978.9, 1978.9), 4800, 140, "NVIDIA H200 SXM datasheet"),
        _gpu("b200", (2250.0, 2250.0, 4500.0, 4500.0), 8000, 178,
             "NVIDIA HGX B200 datasheet, 1,000 W"),
    )
}  # fmt: skip
"""Known GPUs, smaller first."""

CPU = "cpu"
"""The processor of this machine, measured when it is asked for."""


@dataclass(frozen=True)
class Precision:
    """A way to compute the denoiser.

    Attributes:
        name: what users call it.
        products, attention: which peak of a :class:`Chip` holds for the products with weights and
            for attention.
        weight_bytes: of one number in the products of the middle layers.
        remark: what to know before relying on it, "" for nothing.
    """

    name: str
    products: str
    attention: str
    weight_bytes: int
    remark: str = ""

    @property
    def eight_bits(self) -> bool:
        """True when the middle layers' weights are FP8."""
        return self.weight_bytes == 1


PRECISIONS = {
    each.name: each
    for each in (
        Precision("bf16", "bits16", "bits16", 2),
        Precision("fp16-quick", "bits16_quick", "bits16_quick", 2,
                  "adds up in float16; pictures were never compared"),
        Precision("fp8", "bits8", "bits16", 1),
        Precision("fp8-attention", "bits8", "bits8", 1,
                  "needs FP8 attention; pictures were never compared"),
        Precision("fp8-quick", "bits8_quick", "bits8_quick", 1,
                  "adds up in float16, FP8 attention too: a ceiling, no executor reaches it"),
    )
}  # fmt: skip
"""Ways to compute, the safest first. FP8 leaves the first and the last layer in 16 bits."""


def gpu(name: str) -> Chip:
    """A known GPU; case, spaces and dashes do not matter.

    Raises:
        OptionError: it is unknown.
    """
    plain = "".join(c for c in name.lower() if c.isalnum()).removeprefix("nvidia")
    plain = plain.removeprefix("geforce")
    if plain.isdigit():
        plain = f"rtx{plain}"
    if plain in GPUS:
        return GPUS[plain]
    known = (*GPUS, CPU)
    near = get_close_matches(plain, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise OptionError(f"GPU {name!r} is unknown; {hint}", field="gpu")


def precisions_of(chip: Chip, *, proven: bool = False) -> list[Precision]:
    """The ways that a chip can compute and that are not just another name for a safer one.

    Args:
        proven: only those whose pictures are known to be good.
    """
    found: list[Precision] = []
    for each in PRECISIONS.values():
        peaks = [getattr(chip, each.products), getattr(chip, each.attention)]
        known = [[getattr(chip, p.products), getattr(chip, p.attention)] for p in found]
        if all(peaks) and peaks not in known:
            found.append(each)
    return [each for each in found if not (proven and each.remark)]


def precision(name: str, chip: Chip) -> Precision:
    """A way to compute by name.

    Raises:
        OptionError: it is unknown, or the chip cannot compute so.
    """
    if name not in PRECISIONS:
        raise OptionError(
            f"precision {name!r} is unknown; there are {', '.join(PRECISIONS)}", field="precision"
        )
    found = PRECISIONS[name]
    if not (getattr(chip, found.products) and getattr(chip, found.attention)):
        able = ", ".join(each.name for each in precisions_of(chip))
        raise OptionError(
            f"{chip.name} has no 8-bit products, which {name} needs; use one of {able}",
            field="precision",
        )
    return found
