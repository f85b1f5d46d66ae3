"""How long a chunk takes on a chip."""

from __future__ import annotations

from dataclasses import dataclass

from magi_rt.planner.chips import Chip, Precision
from magi_rt.planner.work import Subject, Work, chunk_work, decode_work, ramp_work

CALL_S = 0.0005
"""What a step costs besides the networks, at most: scheduling, bookkeeping, copies."""

READ_SHARE = 0.8
"""Part of the memory's bandwidth that reading weights reaches."""


@dataclass(frozen=True)
class Timing:
    """Seconds, with denoiser and decoder one after the other.

    Attributes:
        denoise, decode: of one chunk in a stream that has run for a while.
        delay: from a prompt at a chunk's border to its first picture, on a machine that does
            nothing else; a prompt in the middle of a chunk waits for its end first.
        first: from an empty world to its first picture.
    """

    denoise: float
    decode: float
    delay: float
    first: float

    @property
    def chunk(self) -> float:
        """From one chunk to the next."""
        return self.denoise + self.decode


def denoise_seconds(work: Work, chip: Chip, precision: Precision, layers: int) -> float:
    """Arithmetic at the chip's full peaks, seconds.

    With FP8 products the first and the last layer stay in 16 bits; where attention is in 8 bits
    too, everything is reckoned so, which flatters by a few percent.
    """
    edge = 2 / layers if precision.eight_bits and precision.attention == "bits16" else 0.0
    products: float = getattr(chip, precision.products)
    attention: float = getattr(chip, precision.attention)
    in_middle, at_ends = work.products * (1 - edge), work.products * edge
    return in_middle / products + (at_ends + work.attention) / attention


def timing(
    subject: Subject,
    size: tuple[int, int],
    *,
    steps: int,
    window: int,
    chip: Chip,
    precision: Precision,
    weight_bytes: float,
) -> Timing:
    """What a chunk and a prompt take.

    Args:
        weight_bytes: of the denoiser; every call reads them once.
    """
    tokens, layers = subject.tokens(*size), subject.config.model.num_layers
    calls = steps / window
    read = weight_bytes / (chip.bandwidth * READ_SHARE)

    def seconds(work: Work, calls: float) -> float:
        busy = denoise_seconds(work, chip, precision, layers) / chip.share
        return max(busy, calls * read) + calls * CALL_S

    denoise = seconds(chunk_work(subject, tokens, steps, window=window), calls)
    decode = decode_work(subject, *size) / (chip.bits16 * chip.decoder_share)
    ramp = seconds(ramp_work(subject, tokens, steps, window), steps)
    return Timing(denoise, decode, delay=window * (denoise + decode), first=ramp + decode)
