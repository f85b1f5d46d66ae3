"""Stability: the simulator's own film holds; emptied, flooded, blurred ones do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from magi_rt.errors import MediaError, OptionError
from magi_rt.evaluation.curves import Meter, sharpness
from magi_rt.evaluation.opened import Begin, Steered
from magi_rt.evaluation.stability import (
    HOLD,
    SHOWN,
    Script,
    Stream,
    draw_script,
    judge_streams,
    longest_run,
    run_stream,
    simulated,
)
from magi_rt.media.pictures import Pixels
from tests.evaluation.stub_worlds import FilmWorld

CHUNKS = 36
"""Twelve seconds."""


@pytest.fixture(scope="module")
def script() -> Script:
    return draw_script(CHUNKS, seed=1)


@pytest.fixture(scope="module")
def film(script: Script) -> list[Pixels]:
    return list(simulated(script))


def played(script: Script, film: list[Pixels]) -> Stream:
    begin: Begin = lambda video, seed: FilmWorld(film)  # noqa: E731
    return run_stream(script, begin, fps=24)


def spoilt(film: list[Pixels], from_chunk: int, spoil: Callable[[Pixels], Pixels]) -> list[Pixels]:
    return [*film[:from_chunk], *(spoil(chunk) for chunk in film[from_chunk:])]


def rules(stream: Stream) -> list[str]:
    return [collapse.rule for collapse in judge_streams([stream]).collapses[0]]


def test_the_simulators_own_film_holds(script: Script, film: list[Pixels]) -> None:
    stream = played(script, film)
    assert judge_streams([stream]).held == 1
    assert np.array_equal(stream.model.mass, stream.simulator.mass)
    assert stream.model.seconds == 12
    assert stream.model.border_ratio == stream.simulator.border_ratio


def test_a_film_whose_objects_vanish_is_empty(script: Script, film: list[Pixels]) -> None:
    stream = played(script, spoilt(film, 18, lambda chunk: np.full_like(chunk, 128)))
    found = judge_streams([stream]).collapses[0]
    assert {collapse.rule for collapse in found} == {"empty", "blurred"}
    assert all((collapse.from_s, collapse.seconds) == (6, 6) for collapse in found)


def test_a_film_that_fills_with_colour_is_flooded(script: Script, film: list[Pixels]) -> None:
    def red(chunk: Pixels) -> Pixels:
        tinted = chunk.copy()
        tinted[..., 1:] //= 8
        tinted[..., 0] = 220
        return tinted

    assert "flooded" in rules(played(script, spoilt(film, 18, red)))


def test_a_film_that_turns_to_noise_is_noisy(script: Script, film: list[Pixels]) -> None:
    random = np.random.default_rng(1)

    def noise(chunk: Pixels) -> Pixels:
        return random.integers(0, 256, chunk.shape, dtype=np.uint8)

    assert "noisy" in rules(played(script, spoilt(film, 18, noise)))


def test_two_bad_seconds_are_forgiven(script: Script, film: list[Pixels]) -> None:
    grey = [np.full_like(chunk, 128) for chunk in film]
    assert rules(played(script, [*film[:18], *grey[18:24], *film[24:]])) == []


def test_a_film_that_stands_still_is_frozen(script: Script, film: list[Pixels]) -> None:
    still = [np.repeat(film[0][:1], 8, axis=0)] * CHUNKS
    assert "frozen" in rules(played(script, still))


def test_streams_are_counted_one_by_one(script: Script, film: list[Pixels]) -> None:
    bad = played(script, [np.full_like(chunk, 128) for chunk in film])
    verdict = judge_streams([played(script, film), bad])
    assert verdict.held == 1
    assert verdict.collapses[0] == () and len(verdict.collapses[1]) > 0


def test_a_script_changes_its_prompt_every_few_chunks_and_is_repeatable(script: Script) -> None:
    again = draw_script(CHUNKS, seed=1)
    assert (again.prompts, again.seed) == (script.prompts, script.seed)
    assert draw_script(CHUNKS, seed=2).prompts != script.prompts
    changes = sum(a != b for a, b in zip(script.prompts[:-1], script.prompts[1:], strict=True))
    assert CHUNKS / HOLD[1] - 2 <= changes <= CHUNKS / HOLD[0]
    assert len(script.prompts) == len(script.meanings) == CHUNKS


def test_the_world_hears_the_scripts_prompts_and_seed(script: Script, film: list[Pixels]) -> None:
    begun: list[tuple[bool, int]] = []
    heard: list[str] = []

    def begin(video: Pixels | None, seed: int) -> Steered:
        begun.append((video is None, seed))
        return FilmWorld(film)

    stream = run_stream(script, begin, fps=24, tell=heard.append)
    assert begun == [(True, script.seed)]
    assert heard == list(script.prompts)
    assert len(stream.shown) == SHOWN
    assert [frame.prompt for frame in stream.shown][-1] == script.prompts[-1]


def test_no_chunks_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        draw_script(0, seed=0)


def test_jumps_at_chunk_borders_are_told_from_motion_within() -> None:
    meter = Meter(fps=24)
    for number in range(6):
        meter.add(np.full((8, 64, 64, 3), 10 * number, dtype=np.uint8))
    curves = meter.curves()
    assert curves.motion.tolist() == [0.0, 0.0]
    assert curves.jump.tolist() == [10.0, 10.0]


def test_pictures_of_other_sizes_are_measured_at_one_size(film: list[Pixels]) -> None:
    small, large = Meter(fps=24), Meter(fps=24)
    for chunk in film[:3]:
        small.add(chunk)
        large.add(chunk.repeat(2, axis=1).repeat(2, axis=2))
    one, two = small.curves(), large.curves()
    assert two.mass == pytest.approx(one.mass, rel=0.1)
    assert two.sharpness == pytest.approx(one.sharpness, rel=0.2)


def test_less_than_a_second_says_nothing() -> None:
    meter = Meter(fps=24)
    meter.add(np.zeros((8, 64, 64, 3), dtype=np.uint8))
    with pytest.raises(MediaError, match="8 frames are less than a second"):
        meter.curves()


def test_sharpness_is_the_mean_absolute_laplacian() -> None:
    picture = np.zeros((1, 5, 5, 3), dtype=np.uint8)
    picture[0, 2, 2] = 90
    assert sharpness(picture)[0] == pytest.approx((4 * 90 + 4 * 90) / 9, rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "run"),
    [
        ([], (0, 0)),
        ([False, False], (0, 0)),
        ([True, True], (0, 2)),
        ([True, False, True, True, False], (2, 2)),
        ([False, True, False, True], (1, 1)),
    ],
)
def test_the_longest_run_is_found(flags: list[bool], run: tuple[int, int]) -> None:
    assert longest_run(np.array(flags, dtype=bool)) == run
