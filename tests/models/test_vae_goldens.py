"""The auto-encoder gives the published numbers: blocks, latents, pixels, tiles, bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.verify.goldens import GoldenCase
from magi_rt.verify.vae_cases import check_vae, check_vae_block

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
CASES = sorted(path.stem for path in GOLDENS.glob("vae_*.json"))


@pytest.mark.parametrize("name", CASES)
def test_the_golden_case_reproduces(name: str) -> None:
    case = GoldenCase.read(GOLDENS / f"{name}.json")
    results = list((check_vae_block if name == "vae_block" else check_vae)(case))
    assert results
    assert [each for each in results if not each.passed] == []


def test_all_kinds_of_cases_are_there() -> None:
    assert len(CASES) == 17
