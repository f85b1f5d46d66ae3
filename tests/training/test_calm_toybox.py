"""The toybox at the pace of play: rooms at rest, prompts that hold, and the same rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import torch

from magi_rt.training.recordings.source import open_source
from magi_rt.training.worlds import open_world
from magi_rt.training.worlds.calm_toybox import BRISK, KINDS, CalmToybox
from magi_rt.training.worlds.film import film
from magi_rt.training.worlds.toybox import Toybox
from magi_rt.training.worlds.toybox_physics import step
from magi_rt.training.worlds.toybox_scene import DIRECTIONS, State
from magi_rt.training.worlds.toybox_script import KINDS as LIVELY
from tests.training.toybox_kit import seeded

ROOMS = 200


def still(state: State) -> float:
    """Share of rooms in which nothing moves."""
    fastest = (state.velocity.norm(dim=-1) * state.alive).amax(1)
    return float((fastest < 1).float().mean())


def spans(prompts: list[list[str]]) -> list[int]:
    """Chunks for which prompts hold, without those that a clip's end cuts off."""
    found = []
    for row in prompts:
        changes = [chunk for chunk in range(1, len(row)) if row[chunk] != row[chunk - 1]]
        found += [after - before for before, after in pairwise(changes)]
    return found


def test_most_rooms_have_come_to_rest_on_any_wall() -> None:
    calm, lively = (world(16).sample(ROOMS, seeded(1)) for world in (CalmToybox, Toybox))
    assert still(calm) > still(lively) + 0.15
    pulls = Counter(facts.gravity for facts in calm.facts)
    assert all(pulls[way] > ROOMS / 15 for way in DIRECTIONS)
    assert {facts.pace for facts in calm.facts} == {"normal", "slow", "freeze"}


def test_rooms_that_stand_still_were_caught_in_motion() -> None:
    state = CalmToybox(16).sample(ROOMS, seeded(7))
    frozen = torch.tensor([facts.pace == "freeze" for facts in state.facts])
    going = state
    for _ in range(16):
        going = step(replace(going, pace=torch.ones(ROOMS)))
    went = ((going.position - state.position).norm(dim=-1) * state.alive).amax(1)
    assert int(frozen.sum()) > ROOMS / 8
    assert float((went[frozen] > 4).float().mean()) > 0.4
    assert float((state.velocity[frozen] == 0).float().mean()) == 1


def test_prompts_hold_longer_than_in_the_toybox() -> None:
    held = {
        name: spans(open_source(name, 16).prompts(ROOMS, 24, seeded(2)))
        for name in ("calm-toybox", "toybox")
    }
    calm, lively = (sum(spans) / len(spans) for spans in held.values())
    assert calm > 1.2 * lively


def test_it_asks_for_all_that_the_toybox_asks_for_and_for_pulls_most() -> None:
    assert set(KINDS) == set(LIVELY)
    world, random = CalmToybox(16), Random(3)
    state = world.sample(ROOMS, seeded(3))
    clauses = [c for row in range(ROOMS) for c in world.prompt(state, row, random).meaning]
    asked = Counter(clause.kind for clause in clauses)
    assert set(asked) == set(KINDS)
    assert asked.most_common(1)[0][0] == "gravity"


def test_some_prompts_say_what_holds_already_and_nothing_follows_from_them() -> None:
    world, random, rooms = CalmToybox(16), Random(6), 4 * ROOMS
    state = world.sample(rooms, seeded(6))
    asked = [world.prompt(state, row, random).meaning for row in range(rooms)]
    after = world.apply(state, asked).facts
    passing = {"wind", "jump", "push"}
    idle = [
        not any(clause.kind in passing for clause in clauses) and now == before
        for clauses, now, before in zip(asked, after, state.facts, strict=True)
    ]
    assert 0.06 < sum(idle) / rooms < 0.2
    for kind in ("gravity", "light", "weather", "pace", "appear", "vanish", "colour"):
        assert any(c.kind == kind for some, no in zip(asked, idle, strict=True) if no for c in some)


def test_time_is_slowed_most_where_nothing_else_holds_things_up() -> None:
    world, random, rooms = CalmToybox(16), Random(8), 6 * ROOMS
    state = world.sample(rooms, seeded(8))
    fastest = (state.velocity.norm(dim=-1) * state.alive).amax(1)
    slowed: dict[bool, list[bool]] = {True: [], False: []}
    for row, facts in enumerate(state.facts):
        if facts.pace == "normal":
            brisk = facts.gravity == "none" and float(fastest[row]) > BRISK
            clauses = world.prompt(state, row, random).meaning
            slowed[brisk].append(any(clause.value == "slow" for clause in clauses))
    shares = {brisk: sum(some) / len(some) for brisk, some in slowed.items()}
    assert len(slowed[True]) > ROOMS / 4 and 0.3 < shares[True] < 0.5 and shares[False] < 0.1


def test_pulls_end_more_often_than_chance_would_have_it() -> None:
    world, random, rooms = CalmToybox(16), Random(9), 3 * ROOMS
    state = world.sample(rooms, seeded(9))
    pulled = [row for row, facts in enumerate(state.facts) if facts.gravity != "none"]
    prompts = (world.prompt(state, row, random).meaning for row in pulled)
    ended = sum(any(c.kind == "gravity" and c.value == "none" for c in some) for some in prompts)
    assert 0.15 < ended / len(pulled) < 0.35


def test_what_floats_has_not_lost_its_speed_before_a_clip_begins() -> None:
    state = CalmToybox(16).sample(3 * ROOMS, seeded(10))
    floating = torch.tensor(
        [facts.gravity == "none" and facts.pace == "normal" for facts in state.facts]
    )
    fastest = (state.velocity.norm(dim=-1) * state.alive).amax(1)[floating]
    assert float((fastest > BRISK).float().mean()) > 0.6


def test_the_same_generator_gives_the_same_film() -> None:
    world = open_world("calm-toybox", 16)
    one, same, other = (film(world, 4, 3, seeded(seed)) for seed in (4, 4, 5))
    assert torch.equal(one.pixels, same.pixels) and one.prompts == same.prompts
    assert not torch.equal(one.pixels, other.pixels)
