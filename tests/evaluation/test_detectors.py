"""Detectors against the truth behind drawn frames, sharp and as soft as decoded ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from magi_rt.errors import ShapeError
from magi_rt.evaluation import detectors
from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clips
from magi_rt.training.worlds.toybox_scene import COLOURS, WEATHERS

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
    return toybox.clips(48, 4, torch.Generator().manual_seed(21), split="all")


@pytest.fixture(scope="module", params=["sharp", "soft"])
def frames(request: pytest.FixtureRequest, clips: Clips) -> Tensor:
    flat = clips.pixels.flatten(0, 1)
    return flat if request.param == "sharp" else softened(flat)


def unchanged(values: Tensor) -> NDArray[np.bool_]:
    """[B * F]: whether [B, F, ...] is what it was in all of the last frames."""
    flat = values.reshape(*values.shape[:2], -1)
    same = torch.zeros(flat.shape[:2], dtype=torch.bool)
    for frame in range(SETTLED, flat.shape[1]):
        now, past = flat[:, frame], flat[:, frame - SETTLED : frame].unbind(1)
        same[:, frame] = torch.stack([(now == before).all(-1) for before in past]).all(0)
    return same.flatten().numpy()


def test_the_names_are_those_of_the_toybox() -> None:
    assert tuple(detectors.HUES) == COLOURS
    assert detectors.WEATHERS == WEATHERS


def test_day_and_night_are_told_apart(clips: Clips, frames: Tensor) -> None:
    light = clips.truth.light.flatten().numpy()
    settled = (light == 0) | (light == 1)
    right = detectors.is_day(frames)[settled] == (light[settled] == 1)
    assert right.mean() >= 0.99


def test_rain_and_snow_are_told_from_clear_skies(clips: Clips, frames: Tensor) -> None:
    settled = unchanged(clips.truth.weather) & unchanged(clips.truth.light)
    truth = clips.truth.weather.flatten().numpy()
    seen = detectors.weather(frames)
    for kind in range(3):
        chosen = settled & (truth == kind)
        assert chosen.sum() > 50
        assert (seen[chosen] == kind).mean() > 0.95, WEATHERS[kind]


def test_named_colours_are_found_where_they_are_and_nowhere_else(
    clips: Clips, frames: Tensor
) -> None:
    colours = clips.truth.colour.flatten(0, 1).numpy()
    position = clips.truth.position.flatten(0, 1).numpy()
    alive = clips.truth.alive.repeat_interleave(32, 0).numpy()
    found = detectors.colour_centres(frames)
    near: list[bool] = []
    absent: list[bool] = []
    for moment in np.flatnonzero(unchanged(clips.truth.colour)):
        places = {int(colours[moment, p]): p for p in np.flatnonzero(alive[moment])}
        for colour in range(len(COLOURS)):
            centre = found[moment, colour]
            if colour in places:
                away = np.abs(centre - position[moment, places[colour]]).max()
                near.append(bool(away < 1.5))
            else:
                absent.append(bool(np.isnan(centre).all()))
    assert np.mean(near) > 0.95
    assert np.mean(absent) > 0.95


def test_motion_over_a_chunk_has_the_true_direction_and_length(
    clips: Clips, frames: Tensor
) -> None:
    sizes = clips.truth.extent**2 * torch.where(clips.truth.box, 4.0, torch.pi) * clips.truth.alive
    weights = (sizes / sizes.sum(1, keepdim=True))[:, None, :, None]
    centre = (clips.truth.position * weights).sum(2)
    stable = unchanged(clips.truth.colour).reshape(48, 32)
    errors = [
        np.abs(detectors.motion(clip, start, start + 8) - (now[start + 8] - now[start])).max()
        for clip, now, still in zip(
            frames.unflatten(0, (48, 32)).numpy(), centre.numpy(), stable, strict=True
        )
        for start in (6, 14, 22)
        if still[start] and still[start + 8]
    ]
    assert np.mean(np.array(errors) < 1.5) > 0.95


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(ShapeError, match="float32"):
        detectors.brightness(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(ShapeError, match=r"\[8, 8, 3\]"):
        detectors.weather(np.zeros((8, 8, 3), np.uint8))
