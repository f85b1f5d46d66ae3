"""The toybox's changes: time that stops and slows, things that come and go."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from magi_rt.training.worlds import toybox
from magi_rt.training.worlds.base import Clauses, Clips, Meaning
from magi_rt.training.worlds.toybox_scene import PLACES, State, perturbed
from tests.training.toybox_kit import SOME, heaps, seeded, shift


def test_a_freeze_stops_everything_dead_and_things_start_again_from_rest() -> None:
    start = toybox.clips(SOME, 1, seeded(12), size=16).states[-1]
    frozen = toybox.continue_under(start, Meaning("pace", "freeze"), 2, size=16)
    assert (frozen.truth.position.diff(dim=1) == 0).all()
    assert (frozen.truth.pace == 0).all()
    end = frozen.states[-1]
    assert (end.clock == start.clock).all()
    assert (toybox.continue_under(end, Meaning("weather", "snow"), 1).truth.pace == 0).all()
    first = toybox.continue_under(end, Meaning("pace", "normal"), 1, frames_per_chunk=1, size=16)
    assert (first.states[-1].velocity * start.alive.unsqueeze(-1)).abs().max() < 15
    fallen = toybox.continue_under(end, Meaning("pace", "normal"), 6, size=16).states[-1]
    pulled = start.gravity.abs().sum(1) > 0
    assert not torch.equal(fallen.position[pulled], end.position[pulled])


def test_no_push_gets_through_to_frozen_things() -> None:
    frozen = toybox.continue_under(heaps(13), Meaning("pace", "freeze"), 1, size=16).states[-1]
    for clause in (Meaning("wind", "left"), Meaning("gravity", "up"), Meaning("gravity", "none")):
        assert shift(frozen, clause).abs().max() == 0


def test_slow_motion_takes_three_times_as_long() -> None:
    start = toybox.continue_under(heaps(14), Meaning("gravity", "none"), 1, size=16).states[-1]
    slow = shift(start, Meaning("pace", "slow"), 3)
    normal = shift(start, (), 1)
    assert (slow - normal).abs().mean() < 0.2 < normal.abs().mean()


def appearing(state: State, chunks: int = 1) -> tuple[Clips, Tensor]:
    """A blue ball, or one of another colour, appears where a place is free: clips and rows."""
    script: list[list[Clauses]] = []
    for room in state.facts:
        used = {thing.colour for thing in room.things}
        colour = next(c for c in ("blue", "red", "green", "yellow", "purple") if c not in used)
        script.append([(Meaning("appear", colour, "", "ball"),)] * chunks)
    free = torch.tensor([len(room.things) < PLACES for room in state.facts])
    return toybox.play(state, script), free


def test_a_new_thing_comes_in_opposite_to_the_pull_and_falls() -> None:
    start = heaps(15)
    clips, free = appearing(start, 4)
    there = clips.truth.alive.sum(-1)
    assert (there[free] == start.alive[free].sum(-1, keepdim=True) + 1).all()
    assert (there[~free] == PLACES).all()
    rows = free.nonzero().squeeze(1)
    place = torch.tensor([clips.states[-1].facts[row].things[-1].place for row in rows])
    path = clips.truth.position[rows, :, place]
    assert (path[:, 0, 1] < 20).all()
    assert (path[:, -1, 1] > path[:, 0, 1] + 10).all()
    early = toybox.play(start, clips.truth.meanings, frames_per_chunk=1).states
    assert early[1].opacity[rows, place].sub(1 / 3).abs().max() < 1e-6
    assert (early[3].opacity[rows, place] == 1).all()


def vanishing(state: State) -> Clips:
    """The first thing of every room vanishes."""
    script: list[list[Clauses]] = [
        [(Meaning("vanish", "", room.things[0].colour, room.things[0].shape),)]
        for room in state.facts
    ]
    return toybox.play(state, script)


def test_what_vanishes_is_out_of_the_way_at_once_and_out_of_sight_soon() -> None:
    start = heaps(16)
    gone = vanishing(start)
    assert not gone.truth.alive[:, :, 0].any()
    assert (gone.truth.position[:, :, 0] == gone.truth.position[:, :1, 0]).all()
    end = gone.states[-1]
    assert (end.opacity[:, 0] == 0).all()
    assert [len(room.things) for room in end.facts] == [len(r.things) - 1 for r in start.facts]
    bare = replace(start, alive=end.alive, opacity=end.opacity, facts=end.facts)
    calm = toybox.continue_under(bare, (), 1)
    assert not torch.equal(calm.pixels[:, 1], gone.pixels[:, 1])
    assert torch.equal(calm.pixels[:, -1], gone.pixels[:, -1])


def test_a_place_that_was_left_is_taken_by_the_next_thing() -> None:
    end = vanishing(heaps(17)).states[-1]
    clips, free = appearing(end)
    assert free.all()
    last = clips.states[-1]
    for row, room in enumerate(last.facts):
        new = room.things[-1]
        assert new.place == 0
        assert bool(last.alive[row, 0]) and last.half[row, 0] == 0
        assert len({thing.place for thing in room.things}) == len(room.things)


def test_rooms_a_little_elsewhere_are_still_the_same_rooms() -> None:
    start = toybox.clips(SOME, 1, seeded(18), size=16).states[-1]
    other = perturbed(start, seeded(1), 0.1)
    apart = (other.position - start.position).norm(dim=-1)[start.alive]
    assert 0 < apart.mean() < 0.3
    assert apart.max() < 1
    assert other.facts == start.facts
    assert torch.equal(perturbed(start, seeded(1), 0.0).position, start.position)
