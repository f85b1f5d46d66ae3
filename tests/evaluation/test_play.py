"""Play: the simulator keeps its things, colours and sharpness; spoilt films do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.evaluation.charts import play_chart
from magi_rt.evaluation.likeness import (
    Bank,
    Looks,
    as_usual,
    colour_histograms,
    count_things,
    sharpness,
)
from magi_rt.evaluation.opened import Steered
from magi_rt.evaluation.play import (
    HOLD,
    Play,
    PlayScore,
    Script,
    Track,
    draw_script,
    mean_score,
    play,
    simulated,
)
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.toybox import Toybox
from tests.evaluation.stub_worlds import FilmWorld

CHUNKS = 30


@pytest.fixture(scope="module")
def script() -> Script:
    return draw_script(CHUNKS, seed=1)


@pytest.fixture(scope="module")
def film(script: Script) -> list[Pixels]:
    return list(simulated(script))


def played(script: Script, film: list[Pixels]) -> Play:
    return play(script, lambda video, seed: FilmWorld(film))


def scored(script: Script, film: list[Pixels], spoil: Callable[[int, Pixels], Pixels]) -> PlayScore:
    found = played(script, [spoil(number, chunk) for number, chunk in enumerate(film)])
    return found.score(found.model)


def test_the_simulators_own_film_is_kept_in_every_way(script: Script, film: list[Pixels]) -> None:
    found = played(script, film)
    score = found.score(found.model)
    assert score == found.score(found.simulator)
    assert score.count_right >= 0.95 and score.count_kept >= 0.9
    assert score.colours >= 0.9 and score.sharp >= 0.9
    assert 0.6 < score.border_ratio < 1.7
    assert play_chart(found).shape[2] == 3


def test_one_seed_gives_as_many_scripts_as_are_asked_for() -> None:
    first, again, second = (draw_script(6, seed=1, number=number) for number in (0, 0, 1))
    assert first.prompts == again.prompts and np.array_equal(first.given, again.given)
    assert draw_script(6, seed=1).prompts == first.prompts
    assert first.prompts != second.prompts and not np.array_equal(first.given, second.given)


def test_a_mean_is_over_the_plays_that_have_the_number() -> None:
    none = float("nan")
    one = PlayScore(1.0, none, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, none)
    two = PlayScore(0.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.0, 1.0, none)
    mean = mean_score([one, two])
    assert (mean.count_right, mean.count_kept, mean.sharp) == (0.5, 0.5, 0.75)
    assert math.isnan(mean.border_ratio)


def test_a_film_whose_things_vanish_has_wrong_counts(script: Script, film: list[Pixels]) -> None:
    wall = np.full((8, 64, 64, 3), 190, np.uint8)
    score = scored(script, film, lambda number, chunk: chunk if number < 15 else wall)
    assert score.count_right < 0.7 and score.sharp < 0.7


def test_a_world_that_shows_nothing_keeps_nothing(script: Script, film: list[Pixels]) -> None:
    score = scored(script, film, lambda number, chunk: np.zeros_like(chunk))
    assert score.count_right < 0.1 and score.count_kept < 0.1


def test_a_world_that_does_what_it_is_told_as_late_as_it_must_is_right(script: Script) -> None:
    shown = script.late(3)
    assert shown.prompts == script.prompts[:1] * 3 + script.prompts[:-3]
    found = play(script, lambda video, seed: FilmWorld(simulated(shown)), delay=3)
    score = found.score(found.model)
    assert score == found.score(found.simulator)
    assert score.count_right >= 0.95 and score.count_kept >= 0.9
    early = play(script, lambda video, seed: FilmWorld(simulated(script)), delay=3)
    assert early.score(early.model).count_right < score.count_right


def test_a_film_that_blurs_slowly_fades(script: Script, film: list[Pixels]) -> None:
    def spoil(number: int, chunk: Pixels) -> Pixels:
        grey = chunk.mean((1, 2), keepdims=True)
        share = 0.8 * number / CHUNKS
        mixed = chunk * (1 - share) + grey * share
        return np.asarray(mixed, dtype=np.uint8)

    score = scored(script, film, spoil)
    assert score.sharp_fade < 0.7 and score.chroma_fade < 0.7


def test_a_film_that_jumps_at_chunk_borders_is_told(script: Script, film: list[Pixels]) -> None:
    def spoil(number: int, chunk: Pixels) -> Pixels:
        return np.minimum(chunk, 235) + np.uint8(20 * (number % 2))

    before = played(script, film)
    score = scored(script, film, spoil)
    assert score.border_ratio > 2 * before.score(before.simulator).border_ratio


def test_a_script_changes_its_prompt_every_few_chunks_and_is_repeatable(script: Script) -> None:
    again = draw_script(CHUNKS, seed=1)
    assert (again.prompts, again.seed) == (script.prompts, script.seed)
    assert draw_script(CHUNKS, seed=2).prompts != script.prompts
    changes = sum(a != b for a, b in zip(script.prompts[:-1], script.prompts[1:], strict=True))
    assert CHUNKS / HOLD[1] - 2 <= changes <= CHUNKS / HOLD[0]
    assert len(script.things) == len(script.meanings) == CHUNKS
    assert len(script.given) == 32


def test_the_world_hears_the_scripts_prompts_video_and_seed(
    script: Script, film: list[Pixels]
) -> None:
    begun: list[tuple[bool, int]] = []
    heard: list[str] = []

    def begin(video: Pixels | None, seed: int) -> Steered:
        begun.append((video is script.given, seed))
        return FilmWorld(film)

    found = play(script, begin, tell=heard.append)
    assert begun == [(True, script.seed)]
    assert heard == list(script.prompts)
    assert [frame.prompt for frame in found.shown][-1] == script.prompts[-1]


def test_a_long_play_is_counted_once_it_has_settled_and_borders_where_a_prompt_goes_on() -> None:
    minutes = 3 * 180  # chunks of a third of a second
    things = np.full(minutes, 4)
    counts = np.where(np.arange(minutes) < 180, 2, 4)
    counts[-90:] = 0  # a quarter of what counts
    prompts = tuple(str(chunk // 4) for chunk in range(minutes))
    jump = np.where(np.arange(minutes) % 4 == 0, 9.0, 2.0)  # cuts where the prompt is new
    jump[0] = math.nan
    looks = Looks(*(np.ones(minutes) for _ in range(3)))
    track = Track(counts, looks, np.ones(minutes), jump)
    long = replace(draw_script(1, seed=0), prompts=prompts, things=tuple(things.tolist()))
    found = Play(long, looks, track, track, 8, ()).score(track)
    assert (found.count_right, found.count_kept) == (270 / 360, 269 / 359)
    assert (found.lost, found.gained) == (4 / 539, 2 / 539), "over the whole play"
    assert found.border_ratio == 2.0


def test_no_chunks_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        draw_script(0, seed=0)


def test_a_single_chunk_has_no_borders() -> None:
    short = draw_script(1, seed=0)
    found = play(short, lambda video, seed: FilmWorld(simulated(short)))
    assert math.isnan(found.score(found.model).border_ratio)


def test_things_are_counted_as_the_truth_has_them() -> None:
    for size in (64, 128):
        rooms = Toybox(size).sample(64, torch.Generator().manual_seed(5))
        counts = count_things(Toybox(size).render(rooms).numpy())
        assert (counts == rooms.alive.sum(1).numpy()).mean() >= 0.99


def test_two_things_of_one_colour_are_two() -> None:
    picture = np.full((1, 64, 64, 3), 190, np.uint8)
    picture[0, 10:20, 10:20] = picture[0, 10:20, 40:50] = (216, 30, 48)
    assert count_things(picture).tolist() == [2]
    picture[0, 14:16, 20:40] = (216, 30, 48)
    assert count_things(picture).tolist() == [1]


def test_drawn_rooms_look_as_usual_and_blurred_or_tinted_ones_do_not() -> None:
    bank, usual = Bank.drawn(64)
    rooms = Toybox(64).sample(100, torch.Generator().manual_seed(77))
    pictures = Toybox(64).render(rooms).numpy()
    colours, sharp = as_usual(bank.looks(pictures), usual)
    assert colours.mean() > 0.9 and sharp.mean() > 0.9
    flat = np.broadcast_to(pictures.mean((1, 2), keepdims=True), pictures.shape).astype(np.uint8)
    assert as_usual(bank.looks(flat), usual)[1].mean() < 0.1
    tinted = pictures.copy()
    tinted[..., 1] //= 2
    assert as_usual(bank.looks(tinted), usual)[0].mean() < 0.3


def test_histograms_are_shares_and_sharpness_the_mean_absolute_laplacian() -> None:
    picture = np.zeros((1, 5, 5, 3), dtype=np.uint8)
    picture[0, 2, 2] = 90
    assert colour_histograms(picture).sum() == pytest.approx(3)
    assert sharpness(picture)[0] == pytest.approx((4 * 90 + 4 * 90) / 9, rel=1e-5)
