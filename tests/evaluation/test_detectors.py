"""Detectors against the truth behind drawn frames, sharp and as soft as decoded ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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


def test_larger_pictures_read_the_same() -> None:
    state = toybox.Toybox(128).sample(4, torch.Generator().manual_seed(3))
    large, exact = read(toybox.Toybox(128).render(state)), read(toybox.Toybox(64).render(state))
    assert np.array_equal(large.present, exact.present)
    assert np.nanmax(np.abs(large.centre - exact.centre)) < 0.5
    assert np.array_equal(large.weather, exact.weather)


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(ShapeError, match="float32"):
        detectors.brightness(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(ShapeError, match=r"\[8, 8, 3\]"):
        read(np.zeros((8, 8, 3), np.uint8))
