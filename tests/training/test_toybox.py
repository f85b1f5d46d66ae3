"""The toybox: what its clips promise, and that its rooms behave as their prompts say."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
import torch

from magi_rt.errors import OptionError
from magi_rt.training.worlds import open_world, toybox
from magi_rt.training.worlds.base import Clauses, Clips, Meaning
from magi_rt.training.worlds.toybox_scene import HIGH, LIGHTS, LOW, PLACES
from tests.training.toybox_kit import SOME, seeded, shift


@pytest.fixture(scope="module")
def some() -> Clips:
    return toybox.clips(SOME, 5, seeded())


def test_a_clip_has_one_prompt_and_one_meaning_per_chunk(some: Clips) -> None:
    assert some.pixels.shape == (SOME, 40, 64, 64, 3)
    assert some.pixels.dtype == torch.uint8
    assert {len(row) for row in some.prompts} == {5}
    assert {len(row) for row in some.truth.meanings} == {5}
    assert len(some.states) == 6


def test_the_same_seed_makes_the_same_clips(some: Clips) -> None:
    again = toybox.clips(SOME, 5, seeded())
    assert torch.equal(again.pixels, some.pixels)
    assert again.prompts == some.prompts
    assert not torch.equal(toybox.clips(64, 5, seeded(1)).pixels, some.pixels)


def test_a_generator_goes_on_with_other_clips() -> None:
    generator = seeded()
    first, second = (toybox.clips(4, 2, generator).pixels for _ in range(2))
    assert not torch.equal(first, second)


def test_playing_a_clips_script_again_makes_the_same_clip(some: Clips) -> None:
    again = toybox.play(some.states[0], some.truth.meanings)
    assert torch.equal(again.pixels, some.pixels)


def test_a_clip_continued_under_its_own_prompt_is_the_clip(some: Clips) -> None:
    held = [row for row, prompts in enumerate(some.prompts) if len(set(prompts[2:])) == 1]
    assert held
    script = [meanings[2:] for meanings in some.truth.meanings]
    later = toybox.play(some.states[2], script)
    assert torch.equal(later.pixels, some.pixels[:, 16:])
    night = toybox.continue_under(some.states[2], Meaning("light", "night"), 3)
    assert not torch.equal(night.pixels, later.pixels)


def test_objects_never_leave_the_room_and_hardly_overlap(some: Clips) -> None:
    position, extent = some.truth.position, some.truth.extent.unsqueeze(-1)
    assert (position - extent >= torch.tensor(LOW) - 1e-3).all()
    assert (position + extent <= torch.tensor(HIGH) + 1e-3).all()
    for first, second in combinations(range(PLACES), 2):
        balls = (some.truth.alive & ~some.truth.box)[..., [first, second]].all(-1)
        apart = (position[..., first, :] - position[..., second, :]).norm(dim=-1)
        reach = some.truth.extent[..., first] + some.truth.extent[..., second]
        assert ((apart > reach - 2.0) | ~balls).float().mean() > 0.995


@pytest.mark.parametrize(
    ("way", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)]
)
def test_gravity_moves_everything_its_way_within_two_chunks(way: str, axis: int, sign: int) -> None:
    start = toybox.clips(64, 2, seeded(2), size=16).states[-1]
    fresh = torch.tensor([r.gravity != way and r.pace == "normal" for r in start.facts])
    moved = shift(start, Meaning("gravity", way), 2)[fresh, axis] * sign
    calm = shift(start, (), 2)[fresh, axis] * sign
    assert moved.mean() > 5
    assert ((moved - calm) > 0.5).float().mean() > 0.9


def test_things_come_to_rest_and_stay_without_jitter(some: Clips) -> None:
    for way in ("down", "left"):
        long = toybox.continue_under(some.states[0], Meaning("gravity", way), 17, size=16)
        steps = long.truth.position.diff(dim=1)[:, -8:].abs().amax((1, 2, 3)) * 4
        assert (steps < 0.02).float().mean() > 0.9


def test_things_float_off_their_wall_once_gravity_is_off() -> None:
    start = toybox.continue_under(
        toybox.Toybox().sample(32, seeded(3)), Meaning("gravity", "down"), 15, size=16
    ).states[-1]
    still = (start.velocity.norm(dim=-1) * start.alive).amax(1) < 1
    assert still.float().mean() > 0.8
    assert (shift(start, Meaning("gravity", "none"), 3)[still, 1] < -3).all()


@pytest.mark.parametrize("light", LIGHTS)
def test_a_room_that_stands_still_shows_what_will_pull_when_time_goes_on(light: str) -> None:
    world = toybox.Toybox()
    start = world.sample(SOME, seeded(3))
    still = (Meaning("pace", "freeze"), Meaning("light", light))
    walls = {
        "down": (slice(62, 64), slice(None)),
        "up": (slice(0, 2), slice(None)),
        "left": (slice(None), slice(0, 2)),
        "right": (slice(None), slice(62, 64)),
    }
    pictures = {
        way: toybox.continue_under(start, (*still, Meaning("gravity", way)), 1).pixels[:, -1].int()
        for way in (*walls, "none")
    }
    for way, (rows, columns) in walls.items():
        apart = (pictures[way] - pictures["none"]).abs().amax(-1)
        assert bool((apart[:, rows, columns].float().mean((1, 2)) >= 20).all())
        apart[:, rows, columns] = 0
        assert not apart.any()


def test_only_the_named_object_jumps() -> None:
    world = toybox.Toybox()
    start = toybox.continue_under(
        world.sample(64, seeded(4)), Meaning("gravity", "down"), 8, size=16
    )
    state = start.states[-1]
    script: list[list[Clauses]] = [
        [(Meaning("jump", "", room.things[0].colour, room.things[0].shape),)]
        for room in state.facts
    ]
    rise = (state.position - toybox.play(state, script, size=16).states[-1].position)[..., 1]
    free = torch.ones(64, dtype=torch.bool)
    for row in range(64):  # Objects stacked on the jumping one rise with it.
        others = state.position[row, 1:, 1] < state.position[row, 0, 1] - 3
        free[row] = not bool((others & state.alive[row, 1:]).any())
    assert (rise[free, 0] > 8).float().mean() > 0.9
    still = rise[free, 1:][state.alive[free, 1:]].abs() < 2
    assert still.float().mean() > 0.85


def test_wind_and_pushes_act_only_while_their_prompt_holds() -> None:
    world = toybox.Toybox()
    rest = toybox.continue_under(
        world.sample(32, seeded(5)), Meaning("gravity", "down"), 6, size=16
    )
    windy = toybox.continue_under(rest.states[-1], Meaning("wind", "right"), 1, size=16).states[-1]
    assert (windy.velocity[..., 0] >= -1e-3).float().mean() > 0.8
    assert windy.wind.abs().sum() > 0
    assert world.apply(windy, [()] * 32).wind.abs().sum() == 0


def test_light_weather_and_colours_stay_after_their_prompt() -> None:
    start = toybox.Toybox().sample(16, seeded(6))
    for clause in (Meaning("light", "night"), Meaning("weather", "snow")):
        start = toybox.continue_under(start, clause, 1).states[-1]
    later = toybox.continue_under(start, (), 2)
    assert (later.truth.light == 0).all()
    assert (later.truth.weather == 2).all()
    room = start.facts[0]
    colour = next(c for c in ("red", "green") if c not in {t.colour for t in room.things})
    paint = Meaning("colour", colour, room.things[0].colour, room.things[0].shape)
    painted = toybox.continue_under(start, paint, 1).states[-1]
    assert painted.facts[0].things[0].colour == colour


def test_light_and_weather_change_smoothly() -> None:
    start = toybox.Toybox().sample(32, seeded(7))
    dusk = toybox.continue_under(start, Meaning("light", "night"), 1).truth.light
    assert (dusk.diff(dim=1).abs() <= 0.201).all()
    assert (dusk[:, -1] == 0).all()


def test_no_two_objects_ever_share_a_colour(some: Clips) -> None:
    for row in range(SOME):
        for colours, alive in zip(some.truth.colour[row], some.truth.alive[row], strict=True):
            assert len(set(colours[alive].tolist())) == int(alive.sum())


def test_most_clips_change_their_prompt_and_some_prompts_are_empty() -> None:
    prompts = toybox.clips(400, 5, seeded(8), size=16).prompts
    changed = sum(len(set(row)) > 1 for row in prompts) / 400
    assert 0.6 < changed < 0.8
    first_empty = sum(row[0] == "" for row in prompts) / 400
    assert 0.05 < first_empty < 0.15


def test_pictures_of_any_size_show_the_same_room() -> None:
    small, large = (toybox.clips(8, 1, seeded(9), size=size).pixels for size in (64, 128))
    halved = torch.nn.functional.avg_pool2d(large.flatten(0, 1).permute(0, 3, 1, 2).float(), 2)
    apart = halved - small.flatten(0, 1).permute(0, 3, 1, 2)
    assert apart.abs().mean() < 2


def test_a_world_renders_the_frames_of_its_clips() -> None:
    world = open_world("toybox")
    state = world.step(world.apply(world.sample(3, seeded(10)), [()] * 3))
    drawn = world.render(state)
    assert drawn.shape == (3, 64, 64, 3)
    assert drawn.dtype == torch.uint8
    assert all("room" in world.caption(state, r, Random(r), "train").words for r in range(3))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(OptionError, match="'test'"):
        toybox.clips(1, 1, seeded(), split="test")
    with pytest.raises(OptionError, match="chunks 0"):
        toybox.clips(1, 0, seeded())
    with pytest.raises(OptionError, match="size is 8"):
        toybox.clips(1, 1, seeded(), size=8)
