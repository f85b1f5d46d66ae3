"""The sampler gives the published numbers: grids, call plans, guided steps and whole walks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from magi_rt.verify.goldens import Check, GoldenCase
from magi_rt.verify.sampling_cases import (
    check_cfg_scales,
    check_schedule_time,
    check_sequences,
    check_walk_plans,
)
from magi_rt.verify.walk_cases import check_dispatch, check_walk

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
KINDS: dict[str, Callable[[GoldenCase], Iterator[Check]]] = {
    "schedule_time": check_schedule_time,
    "schedule_sequences": check_sequences,
    "schedule_walk_plans": check_walk_plans,
    "cfg_scales": check_cfg_scales,
    "cfg_dispatch": check_dispatch,
    "walk": check_walk,
}
CASES = [
    pytest.param(path, check, id=path.stem)
    for kind, check in KINDS.items()
    for path in sorted(GOLDENS.glob(f"{kind}*.json"))
]


@pytest.mark.parametrize(("path", "check"), CASES)
def test_the_golden_case_reproduces(
    path: Path, check: Callable[[GoldenCase], Iterator[Check]]
) -> None:
    results = list(check(GoldenCase.read(path)))
    assert results
    assert [each for each in results if not each.passed] == []


def test_all_kinds_of_cases_are_there() -> None:
    assert len(CASES) == 30
