"""Detectors against the truth behind drawn frames, sharp and as soft as decoded ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from magi_rt.errors import ShapeError
from magi_rt.evaluation import detectors
from magi_rt.evaluation.readings import Reading, read, true_reading
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clips
from magi_rt.training.worlds.toybox_scene import COLOURS, WEATHERS

CLIPS = 32
SETTLED = 6
"""Frames after which changes of light, weather and colour are over."""


def softened(pixels: Tensor) -> Tensor:
    """Frames as a small auto-encoder might return them: blurred, with a little noise."""
    planes = pixels.permute(0, 3, 1, 2).float()
    wide = torch.nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    planes = 0.5 * planes + 0.5 * torch.nn.functional.avg_pool2d(wide, 3, 1)
    noise = torch.randn(planes.shape, generator=torch.Generator().manual_seed(1)) * 4
    return (planes + noise).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="module")
def clips() -> Clips:
    return toybox.clips(CLIPS, 3, torch.Generator().manual_seed(21), split="all")


@pytest.fixture(scope="module", params=["sharp", "soft"])
def readings(request: pytest.FixtureRequest, clips: Clips) -> list[tuple[Reading, Reading]]:
    """What was read off every clip, and the truth."""
    soft = request.param == "soft"
    seen = [softened(clip) if soft else clip for clip in clips.pixels]
    return [(read(clip), true_reading(clips.frames, row)) for row, clip in enumerate(seen)]


def settled_frames(truth: Reading) -> list[int]:
    """Frames before which nothing has changed for a while but places."""
    kept = []
    for frame in range(SETTLED, len(truth)):
        past = truth.part(frame - SETTLED, frame + 1)
        facts = (past.light, past.weather, past.mass)
        if all((values == values[-1]).all() for values in facts):
            kept.append(frame)
    return kept


def test_the_names_are_those_of_the_toybox() -> None:
    assert tuple(detectors.HUES) == COLOURS
    assert detectors.WEATHERS == WEATHERS


def test_light_and_weather_are_what_they_are(readings: list[tuple[Reading, Reading]]) -> None:
    light, weather = [], []
    for seen, truth in readings:
        frames = settled_frames(truth)
        light += list(np.abs(seen.light - truth.light)[frames] < 0.25)
        weather += list((seen.weather == truth.weather)[frames])
    assert len(light) > 300
    assert np.mean(light) >= 0.99
    assert np.mean(weather) >= 0.99


def test_every_colour_is_found_where_it_is_and_nowhere_else(
    readings: list[tuple[Reading, Reading]],
) -> None:
    there, near = [], []
    for seen, truth in readings:
        for frame in settled_frames(truth):
            there += list(seen.present[frame] == truth.present[frame])
            away = np.abs(seen.centre[frame] - truth.centre[frame]).max(-1)
            near += list(away[~np.isnan(away)] < 1)
    assert np.mean(there) >= 0.99
    assert np.mean(near) >= 0.99


def test_balls_and_boxes_are_told_apart_and_seldom_not_seen_whole(
    readings: list[tuple[Reading, Reading]],
) -> None:
    seen = np.concatenate([seen.shape[settled_frames(truth)] for seen, truth in readings])
    true = np.concatenate([truth.shape[settled_frames(truth)] for _, truth in readings])
    there, whole = true >= 0, (true >= 0) & (seen >= 0)
    assert (seen == true)[whole].mean() >= 0.99
    assert whole.sum() >= 0.9 * there.sum() > 500


def test_larger_pictures_read_the_same() -> None:
    state = toybox.Toybox(128).sample(4, torch.Generator().manual_seed(3))
    large, exact = read(toybox.Toybox(128).render(state)), read(toybox.Toybox(64).render(state))
    assert np.array_equal(large.present, exact.present)
    assert np.nanmax(np.abs(large.centre - exact.centre)) < 0.5
    assert np.array_equal(large.weather, exact.weather)


def plain(*colour: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """One frame of one colour."""
    return np.full((1, height, width, 3), colour, dtype=np.uint8)


def test_larger_pictures_are_measured_by_the_rounded_means_of_their_blocks() -> None:
    large = np.random.default_rng(5).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8)
    blocks = large.reshape(2, 64, 2, 64, 3, 3).astype(np.float64).mean((2, 4))
    assert np.array_equal(detectors.small(large), np.floor(blocks + 0.5).astype(np.uint8))


@pytest.mark.parametrize(("height", "width"), [(128, 96), (96, 128), (50, 50)])
def test_pictures_of_other_sizes_are_stretched(height: int, width: int) -> None:
    picture = detectors.small(plain(200, 30, 30, height=height, width=width))
    assert np.array_equal(picture, plain(200, 30, 30))


@pytest.mark.parametrize(
    ("colour", "named"),
    [
        ((120, 60, 60), "red"),
        ((60, 70, 140), "blue"),
        ((60, 70, 120), None),  # as bluish as rain
        ((200, 150, 140), None),  # pale, as walls at dusk
        ((100, 60, 60), None),  # dull
        ((90, 170, 60), "green"),
        ((200, 190, 40), "yellow"),
        ((160, 60, 200), "purple"),
        ((220, 120, 30), "orange"),
        ((60, 170, 170), None),  # between green and blue
    ],
)
def test_a_pixel_has_the_colour_of_its_hue_where_it_is_vivid(
    colour: tuple[int, int, int], named: str | None
) -> None:
    masks = detectors.colour_masks(plain(*colour))[0]
    seen = [name for name, mask in zip(detectors.HUES, masks, strict=True) if mask.any()]
    assert seen == ([named] if named else [])


def test_the_centre_of_a_mask_is_the_mean_of_its_pixels_middles_and_of_few_there_is_none() -> None:
    masks = np.zeros((3, 64, 64), dtype=np.bool_)
    masks[0, 30:40, 10:20] = True
    masks[1, 5:11, 50:55] = True  # 30 pixels
    masks[2, 5, :29] = True
    centres = detectors.centres(masks)
    assert centres[:2].tolist() == [[15, 35], [52.5, 8]]
    assert np.isnan(centres[2]).all()


def test_brightness_is_the_luminance_of_most_of_a_picture() -> None:
    frame = plain(0, 255, 0)
    frame[:, :31] = 255
    assert detectors.brightness(frame) == pytest.approx(149.7, abs=0.1)


def test_the_common_middle_of_things_weighs_them_by_what_they_cover() -> None:
    mass, centre = np.zeros((1, 6), np.float32), np.full((1, 6, 2), np.nan, np.float32)
    mass[0, :3] = 300, 100, detectors.LEAST_OBJECT - 1
    centre[0, :2] = (10, 20), (50, 40)
    shape = np.full((1, 6), -1)
    seen = Reading(mass, centre, shape, np.ones(1, np.float32), np.zeros(1, np.int64))
    assert np.array_equal(seen.middle, [[20, 25]])


def test_of_a_picture_without_the_rooms_walls_light_and_weather_are_not_known() -> None:
    seen = read(np.concatenate([plain(255, 255, 255), plain(0, 0, 0)]))
    assert np.isnan(seen.light).all() and (seen.weather == -1).all()


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(ShapeError, match="float32"):
        detectors.brightness(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(ShapeError, match=r"\[8, 8, 3\]"):
        read(np.zeros((8, 8, 3), np.uint8))
