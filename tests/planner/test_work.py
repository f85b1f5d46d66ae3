"""The planner's arithmetic against figures worked out by hand from the published layer shapes."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from magi_rt.models.inputs import DenoiseInputs
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.planner.chips import GPUS, PRECISIONS
from magi_rt.planner.memory import world_memory
from magi_rt.planner.speed import denoise_seconds, timing
from magi_rt.planner.work import (
    NULL_TOKENS,
    TEXT_TOKENS,
    Subject,
    Work,
    chunk_work,
    decode_work,
    forward,
    nearly_clean_share,
    ramp_work,
    weights_per_token,
)
from magi_rt.presets import PRESETS
from magi_rt.sampling.pipeline import ChunkPipeline
from magi_rt.sampling.rehearsal import Understudy
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.sampling.stream_state import ChunkText

SMALL = Subject("4.5B-distill", PRESETS["4.5B-distill"])
LARGE = Subject("24B-distill", PRESETS["24B-distill"])
BASE = Subject("4.5B-base", PRESETS["4.5B-base"])

CALLS = [
    # model, height, width, tokens, TFLOP: products, attention to 5 chunks, all with 5 and with 2
    (SMALL, 256, 256, 1536, 12.5, 4.9, 17.5, 14.6),
    (SMALL, 480, 480, 5400, 43.9, 60.9, 105.1, 68.5),
    (SMALL, 720, 1280, 21600, 175.6, 974.6, 1151.2, 566.4),
    (LARGE, 256, 256, 1536, 68.8, 13.9, 82.9, 74.5),
    (LARGE, 480, 832, 9360, 418.5, 516.7, 936.3, 626.3),
]


@pytest.mark.parametrize(("subject", "h", "w", "tokens", "products", "seen", "kv5", "kv2"), CALLS)
def test_a_call_costs_what_the_layer_shapes_say(
    subject: Subject, h: int, w: int, tokens: int,
    products: float, seen: float, kv5: float, kv2: float,
) -> None:  # fmt: skip
    model = subject.config.model
    assert subject.tokens(h, w) == tokens
    five, two = forward(model, tokens, 5), forward(model, tokens, 2)
    assert five.products / 1e12 == pytest.approx(products, abs=0.051)
    assert forward(model, tokens, 5, text=0).attention / 1e12 == pytest.approx(seen, abs=0.051)
    assert five.total / 1e12 == pytest.approx(kv5, abs=0.051)
    assert two.total / 1e12 == pytest.approx(kv2, abs=0.051)


@pytest.mark.parametrize(
    ("subject", "size", "steps", "bare", "whole"),
    [
        (SMALL, (256, 256), 8, 0.13, 0.17),
        (SMALL, (480, 480), 16, 1.39, 1.67),
        (SMALL, (720, 720), 8, 2.52, 3.00),
        (LARGE, (480, 832), 16, 12.50, 15.12),
        (LARGE, (720, 1280), 8, 23.16, 27.71),
    ],
)
def test_a_chunk_costs_its_steps_and_what_comes_with_them(
    subject: Subject, size: tuple[int, int], steps: int, bare: float, whole: float
) -> None:
    tokens = subject.tokens(*size)
    assert chunk_work(subject, tokens, steps, extras=False).total / 1e15 == pytest.approx(
        bare, abs=0.0051
    )
    assert chunk_work(subject, tokens, steps).total / 1e15 == pytest.approx(whole, abs=0.0051)


FPS = [
    # size, steps, extras, GPU, precision, pictures per second at 60 % of the peaks, denoiser only
    ((256, 256), 8, False, "rtx4090", "bf16", 18.5),
    ((256, 256), 8, False, "rtx4090", "fp16-quick", 37.1),
    ((384, 384), 8, False, "rtx4090", "fp8", 9.1),
    ((384, 384), 8, False, "rtx4090", "fp8-quick", 26.0),
    ((480, 480), 8, False, "h100", "bf16", 20.5),
    ((480, 480), 8, False, "h200", "fp8", 26.9),
    ((720, 720), 16, False, "h100", "fp8-attention", 5.6),
    ((256, 256), 8, True, "rtx4090", "fp8", 22.83),
    ((480, 480), 12, True, "h100", "bf16", 11.25),
    ((480, 832), 64, True, "h100", "fp8-attention", 1.90),
    ((720, 1280), 16, True, "rtx4090", "fp8-quick", 0.61),
]


@pytest.mark.parametrize(("size", "steps", "extras", "gpu", "way", "fps"), FPS)
def test_pictures_per_second_follow_from_the_peaks(
    size: tuple[int, int], steps: int, extras: bool, gpu: str, way: str, fps: float
) -> None:
    work = chunk_work(SMALL, SMALL.tokens(*size), steps, extras=extras)
    seconds = denoise_seconds(work, GPUS[gpu], PRECISIONS[way], 34) / 0.6
    # the figures were rounded to what is written, and to one decimal from larger ones
    assert 24 / seconds == pytest.approx(fps, rel=0.006, abs=0.051)


@pytest.mark.parametrize(
    ("side", "gpu", "way", "chunk_ms", "first_ms"),
    [
        (256, "rtx4090", "fp8", 819, 1750),
        (384, "h100", "fp8", 438, 843),
        (480, "rtx4090", "fp8-quick", 1752, 3458),
        (720, "h100", "fp8", 3621, 5935),
    ],
)
def test_the_first_chunk_of_a_full_window_comes_after_its_ramp(
    side: int, gpu: str, way: str, chunk_ms: float, first_ms: float
) -> None:
    tokens = SMALL.tokens(side, side)

    def ms(work: object) -> float:
        return 1e3 * denoise_seconds(work, GPUS[gpu], PRECISIONS[way], 34) / 0.6  # type: ignore[arg-type]

    assert ms(chunk_work(SMALL, tokens, 8, extras=False)) == pytest.approx(chunk_ms, abs=0.51)
    assert ms(ramp_work(SMALL, tokens, 8, 4)) == pytest.approx(first_ms, abs=0.51)


@pytest.mark.parametrize(
    ("steps", "extras", "gpu", "way", "side"),
    [
        (8, False, "rtx4090", "bf16", 224),
        (8, True, "rtx4090", "fp8-quick", 352),
        (8, False, "h100", "bf16", 448),
        (8, True, "h100", "fp8", 464),
        (12, True, "h100", "fp8-attention", 464),
        (16, False, "rtx4090", "fp8", 208),
    ],
)
def test_the_largest_square_that_keeps_24_is_found(
    steps: int, extras: bool, gpu: str, way: str, side: int
) -> None:
    def keeps_up(side: int) -> bool:
        work = chunk_work(SMALL, SMALL.tokens(side, side), steps, extras=extras)
        return 24 * 0.6 / denoise_seconds(work, GPUS[gpu], PRECISIONS[way], 34) >= 24

    assert max(each for each in range(64, 1025, 16) if keeps_up(each)) == side


@pytest.mark.parametrize(
    ("size", "tiled", "whole"),
    [((256, 256), 5.6, 7.4), ((480, 480), 50.1, 58.9), ((720, 1280), 155.9, 786.0)],
)
def test_decoding_costs_what_its_blocks_say(
    size: tuple[int, int], tiled: float, whole: float
) -> None:
    assert decode_work(SMALL, *size, cut="fewest") / 1e12 == pytest.approx(tiled, abs=0.051)
    assert decode_work(SMALL, *size, cut="whole") / 1e12 == pytest.approx(whole, abs=0.051)


def test_the_published_cut_pays_for_its_narrow_tiles_at_the_border() -> None:
    # 256 pixels are 32 cells: a tile of 32 and one of 8 along each side, three latents at a time
    cells = [tall * wide * 3 for tall in (32, 8) for wide in (32, 8)]
    expected = 2 * sum(24 * (24 * 1024**2 * n + 4 * n**2 * 1024) for n in cells)
    assert decode_work(SMALL, 256, 256) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "extras", "gpu", "way", "fps"),
    [
        (8, False, "rtx4090", "fp8", 26.9),
        (8, True, "h100", "fp8", 127.8),
        (16, True, "h100", "bf16", 42.9),
        (16, False, "rtx4090", "fp8-quick", 33.3),
    ],
)
def test_denoiser_and_decoder_one_after_the_other(
    steps: int, extras: bool, gpu: str, way: str, fps: float
) -> None:
    chip = GPUS[gpu]
    work = chunk_work(SMALL, SMALL.tokens(256, 256), steps, extras=extras)
    denoise = denoise_seconds(work, chip, PRECISIONS[way], 34) / 0.6
    decode = decode_work(SMALL, 256, 256, cut="fewest") / (chip.bits16 * 0.46)
    assert 24 / (denoise + decode) == pytest.approx(fps, rel=0.004)


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("bandwidth", [1e9, 1e18])
def test_a_chunk_takes_its_arithmetic_or_the_reading_of_the_weights_and_the_calls(
    window: int, bandwidth: float
) -> None:
    chip = replace(GPUS["h100"], share=0.5, decoder_share=0.25, bandwidth=bandwidth)
    way, tokens, calls = PRECISIONS["bf16"], SMALL.tokens(256, 256), 8 / window
    found = timing(
        SMALL, (256, 256), steps=8, window=window, chip=chip, precision=way, weight_bytes=9e9
    )
    read = 9e9 / (0.8 * bandwidth)
    busy, filling = (
        denoise_seconds(work, chip, way, 34) / 0.5
        for work in (
            chunk_work(SMALL, tokens, 8, window=window),
            ramp_work(SMALL, tokens, 8, window),
        )
    )
    decode = decode_work(SMALL, 256, 256) / (0.25 * chip.bits16)
    chunk = (calls * read if bandwidth == 1e9 else busy) + calls * 0.0005
    first = (8 * read if bandwidth == 1e9 else filling) + 8 * 0.0005
    assert (found.denoise, found.decode) == pytest.approx((chunk, decode))
    assert found.delay == pytest.approx(window * (chunk + decode))
    assert found.first == pytest.approx(first + decode)


@pytest.mark.parametrize(("subject", "billions"), [(SMALL, 4.06), (LARGE, 22.35)])
def test_the_weights_of_a_token_are_those_of_the_layers(subject: Subject, billions: float) -> None:
    model = subject.config.model
    assert model.num_layers * weights_per_token(model) / 1e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.parametrize(
    ("subject", "size", "gib"),
    [
        (SMALL, (256, 256), 0.20), (SMALL, (480, 832), 1.21), (SMALL, (720, 1280), 2.80),
        (LARGE, (384, 384), 0.63), (LARGE, (720, 720), 2.22),
    ],
)  # fmt: skip
def test_a_finished_chunk_takes_its_keys_and_values(
    subject: Subject, size: tuple[int, int], gib: float
) -> None:
    ring = [
        world_memory(subject, size, steps=16, window=4, precision=PRECISIONS["bf16"], rewind=kept)
        for kept in (0, 1)
    ]
    copy = ring[1].rewind - ring[0].rewind  # two slots of the ring and the latents
    latents = 2 * 4 * 16 * 30 * (size[0] // 8) * (size[1] // 8)
    assert (copy - latents) / 2 / 2**30 == pytest.approx(gib, abs=0.0051)


def test_a_guided_model_costs_the_views_that_its_guidance_weighs() -> None:
    model, tokens = BASE.config.model, 1536
    stages = [forward(model, tokens, k).total * 16 for k in (5, 4, 3, 2)]
    # from time 0.3 on, the last stage, the scales are 1 (previous chunks) and 0 (text)
    alone = forward(model, tokens, 1).total * 48
    in_one, in_four = (
        chunk_work(BASE, tokens, 64, window=window, extras=False).total for window in (1, 4)
    )
    assert in_one == pytest.approx(sum(stages) + sum(stages[:3]) + alone)
    assert in_four == pytest.approx(2 * sum(stages) + alone)


@pytest.mark.parametrize("window", [1, 4])
def test_a_guided_chunk_costs_what_the_sampler_asks_the_executor_for(window: int) -> None:
    model, side, work = BASE.config.model, 32, Work()

    def noted(inputs: DenoiseInputs, _: RollingKVCache) -> None:
        nonlocal work
        for branch in inputs.branches:
            for place, width in enumerate(branch.visible):
                finished = inputs.times[place] > 0.999
                text = NULL_TOKENS if finished else TEXT_TOKENS
                seen = min(width, inputs.first_chunk + place + 1)
                work += forward(model, BASE.tokens(8 * side, 8 * side), seen, text)

    nothing: Any = SimpleNamespace(
        config=BASE.config, info=None, picture_multiple=16, special_tokens=None,
        null_text=lambda: torch.zeros(50, 4096),
    )  # fmt: skip
    sampler = SamplerConfig.from_config(BASE.config, window=window)
    pipeline = ChunkPipeline(
        Understudy(nothing, noted),
        sampler,
        noise=lambda _, __, size: torch.empty(size, device="meta"),
    )
    state = pipeline.new_state(seed=0, latent_height=side, latent_width=side)
    text = ChunkText("", pipeline.executor.prepare_text(torch.empty(50, 4096)))
    for _ in range(6):
        work = Work()
        pipeline.advance(state, lambda _: text)
    asked = chunk_work(BASE, BASE.tokens(8 * side, 8 * side), 64, window=window)
    assert asked.total == pytest.approx(work.total, rel=1e-9)


def test_the_last_quarter_of_the_steps_is_nearly_clean() -> None:
    assert nearly_clean_share(0.3) == pytest.approx(0.25)
    assert nearly_clean_share(1.0) == 0
    assert math.isclose(nearly_clean_share(0.1), 0.5)


def test_a_model_that_never_looks_twice_is_cheaper() -> None:
    engine = replace(SMALL.config.engine, distill_nearly_clean_chunk_threshold=1.0)
    never = replace(SMALL, config=replace(SMALL.config, engine=engine))
    saved = chunk_work(SMALL, 1536, 8).total - chunk_work(never, 1536, 8).total
    assert saved == pytest.approx(2 * forward(SMALL.config.model, 1536, 1).total)
