"""How much a chunk costs: FLOPs of the denoiser and of the picture decoder.

One multiplication with its addition counts as two. Text encoding, colour conversion, transport
and the time between two kernels are not in here.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from magi_rt.config import MagiConfig, ModelConfig, RuntimeConfig

TEXT_TOKENS = 100
"""Length of a prompt in tokens that a plan reckons with."""

NULL_TOKENS = 50
"""Tokens of "no text", under which finished chunks are read into the memory."""

THRESHOLD_ROOM = 1e-6
"""Puts times that sit on a threshold of the guidance into the interval above it."""

TILE_SIDE, TILE_OVERLAP = 256, 0.25
"""The published decoder works on tiles of this many pixels that overlap by this share."""


@dataclass(frozen=True)
class VaeShape:
    """Sizes of an auto-encoder that time and memory follow from.

    Attributes:
        width, depth: channels and blocks of the decoder.
        patch, length: pixels along a side and pictures of one token.
        inner: width of a block's hidden layer as a multiple of ``width``.
        cells: rows of its position table.
    """

    width: int
    depth: int
    patch: int
    length: int
    inner: float = 4.0
    cells: int = 0

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> VaeShape:
        """From the ``ddconfig`` of a published ``vae/config.json``; checked where it is opened."""
        return cls(
            width=int(card["embed_dim"]),
            depth=int(card["depth"]),
            patch=int(card["patch_size"]),
            length=int(card["patch_length"]),
            inner=float(card["mlp_ratio"]),
            cells=1
            + int(card["video_length"])
            // int(card["patch_length"])
            * (int(card["video_size"]) // int(card["patch_size"])) ** 2,
        )

    @property
    def block(self) -> float:
        """Weights of one block."""
        return (4 + 2 * self.inner) * self.width**2


PUBLISHED_SHAPES = {34: 3072, 48: 6144}
"""Layers of the published denoisers -> their width."""


def is_published_shape(model: ModelConfig) -> bool:
    """True for a denoiser of a published size."""
    return PUBLISHED_SHAPES.get(model.num_layers) == model.hidden_size


PUBLISHED_VAE = VaeShape(width=1024, depth=24, patch=8, length=4, cells=4097)
PUBLISHED_TEXT_BYTES = 4 * 4_762_310_656
"""The T5 v1.1 XXL encoder in float32, which runs on the CPU."""


@dataclass(frozen=True)
class Subject:
    """A model as a plan sees it.

    Attributes:
        text_bytes: of the text encoder, which runs on the CPU whatever runs the rest.
    """

    name: str
    config: MagiConfig
    vae: VaeShape = PUBLISHED_VAE
    text_bytes: float = PUBLISHED_TEXT_BYTES

    @property
    def multiple(self) -> int:
        """Picture sides are multiples of this many pixels."""
        return self.vae.patch * self.config.model.patch_size

    def tokens(self, height: int, width: int) -> int:
        """Tokens of one chunk of pictures of height x width pixels."""
        side = self.multiple
        return self.config.runtime.chunk_width * (height // side) * (width // side)


@dataclass(frozen=True)
class Work:
    """FLOPs in products with weights, and in attention."""

    products: float = 0.0
    attention: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.attention + other.attention)

    def __mul__(self, times: float) -> Work:
        return Work(self.products * times, self.attention * times)

    @property
    def total(self) -> float:
        """Both."""
        return self.products + self.attention


def weights_per_token(model: ModelConfig) -> int:
    """Weights of one layer that every token is multiplied with."""
    queries = model.num_attention_heads * model.head_dim
    groups = model.num_query_groups * model.head_dim
    attention = model.hidden_size * (4 * queries + 2 * groups)
    return attention + model.hidden_size * model.ffn_hidden_size * (
        3 if model.gated_linear_unit else 2
    )


def text_weights(model: ModelConfig) -> int:
    """Weights of one layer that make keys and values of the prompt."""
    return model.hidden_size * 2 * model.num_query_groups * model.head_dim


def forward(model: ModelConfig, tokens: int, visible: int, text: int = TEXT_TOKENS) -> Work:
    """One call of the denoiser for one chunk that sees ``visible`` chunks, itself included."""
    ends = 2 * model.patch_size**2 * model.in_channels * model.hidden_size * tokens
    layer = weights_per_token(model) * tokens + text_weights(model) * text
    seen = visible * tokens + text
    wide = model.num_attention_heads * model.head_dim
    return Work(
        products=2 * (model.num_layers * layer + ends),
        attention=4 * model.num_layers * tokens * seen * wide,
    )


def nearly_clean_share(threshold: float) -> float:
    """The part of the steps in which a chunk is later than a time, on the published grid."""
    if threshold >= 1:
        return 0.0
    return 1 - math.sqrt(3 * threshold / (1 + 2 * threshold))


def _time(share: float) -> float:
    """The time, 0 is noise and 1 is clean, after a share of the steps, on the published grid."""
    return share**2 / (3 - 2 * share**2)


def views_asked(runtime: RuntimeConfig, times: Sequence[float], *, reads: bool) -> tuple[int, int]:
    """What the guidance asks for in one call of the chunks in flight at some times.

    Args:
        reads: a finished chunk is read into the memory in the view without a prompt.

    Returns:
        Views with history, which all chunks of the call run in, and chunks seen without history.
    """
    if runtime.cfg_number == 1:
        return 1, 0
    starts = [start - THRESHOLD_ROOM for start in runtime.cfg_t_range]
    places = [bisect_left(starts, time) - 1 for time in times]
    scales = [(runtime.prev_chunk_scales[each], runtime.text_scales[each]) for each in places]
    prompted = any(text for _, text in scales)
    history = reads or any(previous != text for previous, text in scales)
    alone = [place for place, (previous, _) in enumerate(scales) if previous != 1]
    return prompted + history, alone[-1] - alone[0] + 1 if alone else 0


def chunk_work(
    subject: Subject,
    tokens: int,
    steps: int,
    *,
    window: int | None = None,
    extras: bool = True,
) -> Work:
    """The denoiser's work for one chunk of a stream that has run for a while.

    Args:
        window: chunks in flight, the model's own if left out. What guidance asks for one of them is
            computed for all.
        extras: with the reading of the finished chunk into the memory and, in distilled models,
            the second look without history at nearly clean chunks; without, the steps alone.
    """
    config = subject.config
    runtime = config.runtime
    stages = runtime.noise2clean_kvrange or (1,)
    calls = steps // (window or runtime.window_size)
    work = Work()
    for step in range(calls):
        done, reads = range(step, steps, calls), extras and step == 0
        times = [_time(each / steps) for each in done]
        views, alone = views_asked(runtime, times, reads=reads)
        for each in done:
            work += forward(config.model, tokens, stages[each * len(stages) // steps]) * views
        work += forward(config.model, tokens, 1) * alone
        if reads:
            work += forward(config.model, tokens, 1, NULL_TOKENS) * views
    if extras and runtime.cfg_number == 1:
        share = nearly_clean_share(config.engine.distill_nearly_clean_chunk_threshold)
        work += forward(config.model, tokens, 1) * (steps * share)
    return work


def ramp_work(subject: Subject, tokens: int, steps: int, window: int) -> Work:
    """The steps from an empty world to its first finished chunk: 1, 2, ... chunks in flight."""
    config = subject.config
    stages = config.runtime.noise2clean_kvrange or (1,)
    calls = steps // window
    work = Work()
    for stage in range(window):
        for step in range(calls):
            done = [(stage - chunk) * calls + step for chunk in range(stage + 1)]
            times = [_time(each / steps) for each in done]
            views, alone = views_asked(config.runtime, times, reads=False)
            for chunk, each in enumerate(done):
                visible = min(stages[each * len(stages) // steps], chunk + 1)
                work += forward(config.model, tokens, visible) * views
            work += forward(config.model, tokens, 1) * alone
    return work


def decode_work(subject: Subject, height: int, width: int, *, cut: str = "published") -> float:
    """FLOPs of turning one chunk into pictures.

    Args:
        cut: "published" cuts as the runtime does, with a narrow tile at the border where a side
            is not a whole number of strides; "fewest" with as few whole tiles as cover the
            picture; "whole" leaves it in one piece.
    """
    vae, runtime = subject.vae, subject.config.runtime
    frames = max(1, runtime.fps // 2 // vae.length)
    times = [min(frames, left) for left in range(runtime.chunk_width, 0, -frames)]
    sides = [side // vae.patch for side in (height, width)]
    if cut == "whole":
        times, pieces = [runtime.chunk_width], [[side] for side in sides]
    else:
        pieces = [_cut(side, TILE_SIDE // vae.patch, cut) for side in sides]
    return sum(_tile_work(vae, time * tall * wide) for time, tall, wide in product(times, *pieces))


def _tile_work(vae: VaeShape, cells: int) -> float:
    return vae.depth * (2 * vae.block * cells + 4 * cells**2 * vae.width)


def _cut(side: int, tile: int, cut: str) -> list[int]:
    """Lengths of the tiles along one side, in latent cells."""
    stride = int(tile * (1 - TILE_OVERLAP))
    if side <= stride:
        return [side]
    if cut == "published":
        return [min(tile, side - start) for start in range(0, side, stride)]
    return [min(tile, side)] * (1 + math.ceil(max(0, side - tile) / stride))
