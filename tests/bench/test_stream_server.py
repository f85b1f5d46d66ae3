"""The measurements of a server's promises measure, and say when they cannot."""

from __future__ import annotations

import pytest

from magi_rt.bench.served import ServedProcess
from magi_rt.bench.stream_server import bench_flush, bench_kill, bench_soak
from magi_rt.errors import BackendError, OptionError


def test_prompts_with_flush_show_without_a_stale_frame() -> None:
    told: list[float] = []
    numbers = bench_flush(trials=3, tell=told.append)
    assert (numbers["trials"], numbers["stale_after_applied"]) == (3, 0)
    assert 0 < numbers["flush_to_applied_ms_p50"] <= numbers["flush_to_applied_ms_p95"]
    assert told[-1] == 1.0


def test_a_killed_server_is_noticed_and_no_dead_frame_is_seen() -> None:
    numbers = bench_kill(trials=1)
    assert numbers["dead_frames"] == 0
    assert numbers["loss_noticed_s_max"] > 0 and numbers["first_new_frame_after_start_s_max"] > 0


@pytest.mark.slow
def test_a_soak_counts_readers_receipts_and_memory() -> None:
    numbers = bench_soak(seconds=10, readers=2)
    assert numbers["receipts"] > 3 and numbers["receipts_lost"] == 0
    assert numbers["readers_joined"] >= 2 and numbers["frames_received"] > 0
    assert numbers["memory_mb_early"] > 1


def test_measurements_that_would_say_nothing_are_refused() -> None:
    with pytest.raises(OptionError):
        bench_flush(trials=0)
    with pytest.raises(OptionError):
        bench_kill(trials=0)
    with pytest.raises(OptionError):
        bench_soak(seconds=5)


def test_a_server_that_does_not_start_is_told_with_its_reason() -> None:
    with pytest.raises(BackendError, match="500"):
        ServedProcess(options=("--fps", "500"))
