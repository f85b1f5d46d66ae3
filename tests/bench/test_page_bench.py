"""The measurement of the demo's page: what it says of trials, and that it sees what is there."""

from __future__ import annotations

import sys

import pytest

from magi_rt.bench.page import Memory, Trial, bench_page, browser_path, memory_summary, summary
from magi_rt.errors import OptionError

NOTHING = Trial(typed=10.0, sent=12.0, arrived=0.0, drawn=0.0)


def test_a_prompt_that_never_showed_counts_in_no_time() -> None:
    found = summary([Trial(typed=100.0, sent=103.0, arrived=290.0, drawn=300.0), NOTHING])
    assert (found["prompts"], found["prompts_that_showed"]) == (2, 1)
    assert found["prompt_to_pixels_ms_p50"] == found["prompt_to_pixels_ms_p95"] == 200.0


def test_the_page_answers_for_what_comes_before_sending_and_after_receiving() -> None:
    found = summary([Trial(typed=100.0, sent=103.0, arrived=290.0, drawn=300.0)])
    assert found["page_adds_ms_p50"] == 3.0 + 10.0


def test_without_any_picture_that_shows_a_prompt_no_time_is_told() -> None:
    assert summary([NOTHING]) == {"prompts": 1, "prompts_that_showed": 0}


def test_growth_is_told_from_the_first_third_on() -> None:
    settling = [Memory(1, 1, 1), Memory(50, 400, 70), Memory(100, 500, 80)]
    found = memory_summary(
        [*settling, Memory(100, 500, 80), Memory(110, 490, 80), Memory(110, 505, 80)]
    )
    assert found["page_objects_growth_pct"] == pytest.approx(10.0)
    assert found["page_process_growth_pct"] == pytest.approx(1.0)
    assert found["page_minutes"] == 1.5


def test_a_system_that_tells_no_memory_of_processes_is_said_to() -> None:
    found = memory_summary([Memory(100, 0, 80), Memory(110, 0, 80)])
    assert found["page_process_growth_pct"] is None
    assert found["page_objects_growth_pct"] == pytest.approx(10.0)


def test_a_page_that_was_not_left_running_tells_no_memory() -> None:
    assert memory_summary([]) == {}


def test_without_a_browser_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAGI_RT_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OptionError, match="apt-get install chromium"):
        browser_path()


@pytest.mark.slow
def test_typed_prompts_are_seen_on_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    try:
        browser_path()
    except OptionError as missing:
        pytest.skip(str(missing))
    monkeypatch.setattr("magi_rt.bench.page.READING_S", 0.5)
    found = bench_page("dummy", prompts=2, minutes=1 / 60)
    assert found["prompts_that_showed"] == 2
    assert 0 < found["page_adds_ms_p50"] < found["prompt_to_pixels_ms_p50"]
    assert found["page_fps"] > 1
    assert min(found["page_objects_mb_late"], found["page_nodes_late"]) > 0
    if sys.platform == "linux":
        assert found["page_process_mb_late"] > 20
