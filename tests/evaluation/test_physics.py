"""Physics: the simulator scores 100, a still world does not, and the metrics are the published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from magi_rt.errors import OptionError, ShapeError
from magi_rt.evaluation.physics import PhysicsRow, physics_rows, run_scenes
from magi_rt.evaluation.physics_scenes import (
    GIVEN,
    PREDICTED,
    STARTS,
    Scene,
    draw_scenes,
    straight_on,
)
from magi_rt.evaluation.physics_scores import (
    Closeness,
    Mask,
    closeness,
    motion_mask,
    physics_score,
)
from magi_rt.media.pictures import Pixels
from magi_rt.training.worlds.base import Meaning
from magi_rt.training.worlds.film import run_chunk
from magi_rt.training.worlds.toybox import Toybox
from tests.evaluation.stub_worlds import frozen_scene, perfect_scenes


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(draw_scenes(4, seed=1))


def by_take(rows: list[PhysicsRow], start: str) -> dict[str, PhysicsRow]:
    return {row.take: row for row in rows if row.start == start}


def moving_square(step: int, frames: int = 12) -> Pixels:
    """A white square of 16 pixels that moves so many pixels a frame over black."""
    video = np.zeros((frames, 64, 64, 3), np.uint8)
    for frame in range(frames):
        video[frame, 24:40, step * frame : step * frame + 16] = 255
    return video


def test_a_world_that_is_the_simulator_scores_100(scenes: list[Scene]) -> None:
    rows = physics_rows(run_scenes(scenes, perfect_scenes(scenes)))
    for start in STARTS:
        found = by_take(rows, start)["model"]
        assert found.score == 100 and found.scenes == 4
        assert found.mean == Closeness(1.0, 1.0, 1.0, 0.0)


def test_a_still_world_scores_as_the_frozen_baseline_does(scenes: list[Scene]) -> None:
    rows = physics_rows(run_scenes(scenes, frozen_scene))
    for start in STARTS:
        takes = by_take(rows, start)
        assert takes["model"].mean == takes["freeze"].mean
        assert takes["model"].score < 50
        assert takes["second take"].score == 100


def test_without_walls_and_others_straight_on_is_where_the_simulator_goes() -> None:
    world = Toybox(64)
    rooms = world.sample(24, torch.Generator().manual_seed(5))
    alone = rooms.alive & (torch.arange(rooms.alive.shape[1]) == 0)
    middle = torch.full_like(rooms.position, 32.0)
    speed = torch.full_like(rooms.velocity, 20.0)
    rooms = replace(rooms, alive=alone, position=middle, velocity=speed)
    rooms = world.apply(rooms, [(Meaning("gravity", "none"),)] * 24)
    states = run_chunk(world, replace(rooms, velocity=speed), [()] * 24, 8)
    for true, straight in zip(states, straight_on(replace(rooms, velocity=speed), 8), strict=True):
        torch.testing.assert_close(true.position[alone], straight.position[alone])


def test_straight_lines_are_worse_than_a_second_take(scenes: list[Scene]) -> None:
    takes = by_take(physics_rows(run_scenes(scenes, frozen_scene)), "video")
    assert takes["straight line"].score < 75
    assert takes["straight line"].mean.how_much < takes["second take"].mean.how_much


def test_scenes_give_a_second_or_a_picture_and_ask_for_three(scenes: list[Scene]) -> None:
    assert [scene.start for scene in scenes] == ["video"] * 4 + ["image"] * 4
    for scene in scenes:
        assert len(scene.given) == (GIVEN if scene.start == "video" else 1)
        assert len(scene.true) == len(scene.again) == len(scene.straight) == PREDICTED
        assert not np.array_equal(scene.true, scene.again)


def test_the_same_seed_draws_the_same_scenes(scenes: list[Scene]) -> None:
    again = next(draw_scenes(1, seed=1))
    assert np.array_equal(again.true, scenes[0].true) and again.prompt == scenes[0].prompt


def test_no_scenes_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        next(draw_scenes(0, seed=0))


def test_the_first_frame_moves_nowhere_and_later_ones_where_things_go() -> None:
    mask = motion_mask(moving_square(4))
    assert mask.shape == (12, 16, 16)
    assert not mask[0].any()
    assert mask[5, 6:10].any() and not mask[5, :5].any() and not mask[5, 11:].any()


def block(mask: Mask, frame: int) -> list[bool]:
    """What the mask says along the row of blocks through the middle of the picture."""
    found: list[bool] = mask[frame, 8].tolist()
    return found


def test_what_came_to_rest_moves_until_the_running_mean_has_learned_it() -> None:
    video = np.zeros((16, 64, 64, 3), np.uint8)
    video[1:, 24:40, 24:40] = 255
    moving = [block(motion_mask(video), frame)[8] for frame in range(16)]
    left = [255 * 0.7**frame for frame in range(16)]
    assert moving == [frame > 0 and left[frame] > 10 for frame in range(16)]


def test_a_change_of_a_few_grey_levels_is_no_motion() -> None:
    for level, moves in ((14, False), (15, True)):  # 0.7 of it lies beyond the new mean
        video = np.zeros((2, 64, 64, 3), np.uint8)
        video[1] = level
        assert motion_mask(video)[1].any() == moves


def test_specks_and_the_grain_of_a_picture_are_no_motion_and_gaps_in_a_thing_are_closed() -> None:
    speck = np.zeros((2, 64, 64, 3), np.uint8)
    speck[1, 33, 33] = 255
    assert not motion_mask(speck).any()
    grain = np.zeros((2, 64, 64, 3), np.uint8)
    grain[0, ::2, ::2] = grain[0, 1::2, 1::2] = grain[1, ::2, 1::2] = grain[1, 1::2, ::2] = 40
    assert not motion_mask(grain).any()
    halves = np.zeros((2, 64, 64, 3), np.uint8)
    halves[1, 24:40, 6:14] = halves[1, 24:40, 22:30] = 255
    assert block(motion_mask(halves), 1)[:9] == [False, *[True] * 7, False]


def test_a_still_video_has_no_motion_and_equals_another_still_one() -> None:
    still = moving_square(0)
    assert not motion_mask(still).any()
    assert closeness(still, np.zeros_like(still)).where == 1.0


def test_overlaps_and_errors_are_those_of_the_definition() -> None:
    video = moving_square(4)
    assert closeness(video, video) == Closeness(1.0, 1.0, 1.0, 0.0)
    dark = closeness(np.zeros_like(video), video)
    assert dark.where == dark.how_much == 0.0
    assert dark.when == pytest.approx(1 / 12)  # the first frame is empty in both
    assert dark.error == pytest.approx(1 / 16, rel=0.05)


def test_the_score_weighs_overlaps_against_a_second_take() -> None:
    take = Closeness(0.6, 0.5, 0.4, 0.01)
    assert physics_score(take, take) == 100
    assert physics_score(Closeness(0.3, 0.25, 0.2, 0.01), take) == pytest.approx(50)
    assert physics_score(Closeness(0.3, 0.25, 0.2, 0.11), take) == pytest.approx(40)
    assert physics_score(Closeness(0.9, 0.25, 0.2, 0.01), take) == pytest.approx(100 * 2.5 / 3)
    assert physics_score(Closeness(0, 0, 0, 1), take) == 0
    still = Closeness(0.0, 0.0, 0.0, 0.01)  # of a second take without motion, a hundredth counts
    assert physics_score(Closeness(0.005, 0.005, 0.005, 0.01), still) == pytest.approx(50)
    assert physics_score(Closeness(1, 1, 1, 0), take) == 100


def test_videos_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="11"):
        closeness(moving_square(1, 11), moving_square(1))
