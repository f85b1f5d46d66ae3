"""The way of pictures beside others: every way brings them, and the numbers are complete."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from magi_rt.bench import stream_transport
from magi_rt.bench.measure import Numbers
from magi_rt.bench.stream_peer import Reading, Sending
from magi_rt.bench.stream_run import run
from magi_rt.bench.stream_transport import (
    bench_transport,
    gaps_ms,
    growth_mb,
    in_turn,
    medians,
    pooled,
)
from magi_rt.bench.stream_ways import LENT, OURS, SHARED, WAYS
from magi_rt.cli.app import app
from magi_rt.errors import BackendError, OptionError

INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(way.missing, reason=f"{way.needs} is missing"))
    for name, way in WAYS.items()
]


@pytest.mark.parametrize("way", INSTALLED)
def test_every_way_brings_stamped_pictures_between_processes(way: str) -> None:
    done = run(Sending(way, "ipc", 30.0), [Reading(way, "", "", 0.5)])
    reader = done.readers[0]
    assert reader["frames"] == len(reader["age_ns"]) == len(reader["taken_ns"]) > 0
    assert all(0 < age < 60e9 for age in reader["age_ns"])
    assert done.sender["frames"] >= reader["frames"] and done.sender["cpu_s_per_frame"] > 0


def test_ways_turn_round_in_every_second_round() -> None:
    assert list(in_turn("abc", 3)) == list("abccbaabc")


def test_gaps_growth_and_medians_of_what_was_found() -> None:
    assert gaps_ms([1_000_000, 3_000_000, 8_000_000]) == [2.0, 5.0]
    assert gaps_ms([7]) == [0.0]
    assert growth_mb([5_000_000, 9_000_000, 6_000_000]) == 4.0
    assert medians([{"fps": 1.0}, {"fps": 9.0}, {"fps": 2.0}]) == {"fps": 2.0}


def test_latencies_are_percentiles_of_the_pictures_of_all_rounds() -> None:
    calm = {"ages_ms": [1.0] * 150, "cpu_ms_per_frame": 2.0}
    rough = {"ages_ms": [1.0] * 149 + [90.0], "cpu_ms_per_frame": 4.0}
    found = pooled([calm, rough, calm])
    assert found["latency_ms_p50"] == found["latency_ms_p99"] == 1.0
    assert (found["frames"], found["cpu_ms_per_frame"]) == (450, 2.0)
    assert pooled([rough, rough, rough, rough, rough])["latency_ms_p99"] == 1.0
    assert pooled([rough] * 3 + [{**rough, "ages_ms": [90.0] * 9}])["latency_ms_p99"] == 90.0


@pytest.mark.slow
def test_the_measurement_is_complete_and_says_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {name: WAYS[name] for name in (OURS, SHARED, LENT, "plain")}
    absent = replace(WAYS["plain"], needs="no_such_package")
    monkeypatch.setattr(stream_transport, "WAYS", {**ours, "rival": absent})
    told: list[float] = []
    numbers = bench_transport(rounds=1, seconds=0.5, slow_s=1.0, tell=told.append)
    assert numbers["not_installed"] == ["no_such_package"] and told[-1] == 1.0
    for stage in ("flat_tcp", "flat_ipc", "paced_tcp", "paced_ipc", "slow_reader"):
        assert {OURS, "plain"} <= numbers[stage].keys() <= set(ours)
        assert (LENT in numbers[stage]) == (stage in ("flat_tcp", "paced_tcp"))
        for way in numbers[stage].values():
            assert all(math.isfinite(value) for value in way.values())
    assert numbers["ratios"].keys() == {
        f"{way}_{share}_over_socket" for way in ("shared", "lent") for share in ("p50", "p99")
    }


def test_a_way_that_fails_is_told_with_its_reason() -> None:
    with pytest.raises(BackendError, match="unheard"):
        run(Sending(OURS, "ipc", 30.0), [Reading("unheard", "", "", 0.5)])


def test_nothing_cannot_be_measured() -> None:
    with pytest.raises(OptionError):
        bench_transport(rounds=0)


def test_the_command_shows_tables_and_ends_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Numbers = {
        "bench": "stream transport",
        "flat_tcp": {OURS: {"fps": 900.0}, "plain": {"fps": 901.0}},
        "ratios": {"tcp_fps_over_plain": 0.999},
        "not_installed": ["imagezmq"],
        "rounds": 2,
    }
    monkeypatch.setattr(stream_transport, "bench_transport", lambda **options: found)
    done = CliRunner().invoke(app, ["bench", "stream", "transport"])
    assert done.exit_code == 0, done.output
    assert "Not installed, so not measured: imagezmq." in done.stdout
    assert "flat tcp" in done.stdout and "901" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {"bench": "stream", "transport": found}


def test_the_command_refuses_a_part_that_is_none() -> None:
    done = CliRunner().invoke(app, ["bench", "stream", "speed"])
    assert done.exit_code == 2 and "take any of transport" in done.stderr
