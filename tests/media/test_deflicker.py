"""Small jumps between latents are spread, large ones stay, and nothing adds up."""

from __future__ import annotations

import numpy as np
import pytest

from magi_rt.media.deflicker import Pixels, deflickered


def grey(*levels: int) -> Pixels:
    """Pictures of 1x1 pixels."""
    return np.array(levels, np.uint8).repeat(3).reshape(-1, 1, 1, 3)


def shown(pixels: Pixels, before: int | None = None, levels: float = 12.0) -> list[int]:
    last = None if before is None else grey(before)[0]
    smooth = deflickered(pixels, last, levels, 4)
    assert (smooth == smooth[..., :1]).all()
    return [int(level) for level in smooth[:, 0, 0, 0]]


def test_a_small_jump_is_spread_over_the_pictures_of_the_latent_that_it_begins() -> None:
    assert shown(grey(100, 100, 100, 100, 108, 108, 108, 108))[4:] == [102, 104, 106, 108]
    assert shown(grey(100, 100, 100, 100), before=108) == [106, 104, 102, 100]


def test_what_happens_between_two_latents_stays_as_it_is() -> None:
    for far in (124, 160, 255):
        assert shown(grey(100, 100, 100, 100, far, far, far, far))[4:] == [far] * 4


def test_between_small_and_large_a_part_is_spread() -> None:
    assert shown(grey(100, 100, 100, 100, 118, 118, 118, 118))[4:] == [111, 114, 116, 118]


def test_the_colour_that_jumps_most_decides_for_all() -> None:
    pixels = grey(100, 100, 100, 100, 104, 104, 104, 104)
    pixels[4:, ..., 2] = 200
    assert np.array_equal(deflickered(pixels, None, 12.0, 4), pixels)


def test_the_beginning_and_the_last_picture_of_every_latent_are_what_they_were() -> None:
    pixels = np.random.default_rng(3).integers(90, 110, (12, 5, 7, 3), np.uint8)
    smooth = deflickered(pixels, None, 12.0, 4)
    assert np.array_equal(smooth[:4], pixels[:4])
    assert np.array_equal(smooth[3::4], pixels[3::4])
    assert not np.array_equal(smooth, pixels)


def test_chunks_one_by_one_are_what_they_are_together() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (24, 5, 7, 3), np.uint8)
    pixels[4:] = pixels[4:] // 16 + 100
    whole = deflickered(pixels, None, 12.0, 4)
    before, parts = None, []
    for chunk in np.split(pixels, 3):
        parts.append(deflickered(chunk, before, 12.0, 4))
        before = parts[-1][-1]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("frames", [1, 3, 6])
def test_a_latent_that_gives_fewer_pictures_ends_on_its_own_last_one(frames: int) -> None:
    pixels = np.full((frames, 2, 2, 3), 104, np.uint8)
    smooth = deflickered(pixels, np.full((2, 2, 3), 100, np.uint8), 12.0, 4)
    assert (smooth[-1] == 104).all()
    assert (np.diff(smooth[:, 0, 0, 0].astype(int)) >= 0).all()


def test_nothing_leaves_the_range_of_pixels() -> None:
    assert shown(grey(250, 250, 250, 250, 255, 255, 252, 255), levels=255.0)[4:7] == [251, 252, 251]
    assert min(shown(grey(0, 0, 0, 0, 9, 2, 0, 9), levels=255.0)) == 0
