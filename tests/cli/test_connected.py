"""What demo and view refuse, with a world of their own and with one that runs elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_served import refusal

OWN = [
    ["dummy"], ["--prompt", "a green ball"], ["--seed", "5"], ["--fps", "12"], ["--steps", "4"],
    ["--window", "2"], ["--size", "64x64"], ["--backend", "eager"], ["--device", "cpu"],
    ["--dtype", "float32"],
]  # fmt: skip


@pytest.mark.parametrize("verb", ["demo", "view"])
def test_an_option_that_a_connected_world_cannot_heed_is_refused(verb: str) -> None:
    for given in OWN:
        told = refusal(verb, "--connect", "tcp://127.0.0.1:9", "--keys", "studio", *given)
        name = given[0] if given[0].startswith("-") else "MODEL"
        assert told == (
            f"magi-rt: {name} is for a world of one's own; with --connect leave it out\n"
        )
    assert "--keys is for the server that --connect names" in refusal(verb, "--keys", "studio")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["dummy", "--fps", "500"], "1 to 240"),
        (["dummy", "--seconds", "nan"], "more than 0 and at most 86400"),
        (["dummy", "--saved", "nowhere"], "make it first"),
        (["dummy", "--host", "0.0.0.0"], "--token"),
        (["dummy", "--actions", "none.toml"], "none.toml"),
        (["dummy", "--prompt", "x" * 4001], "4,001"),
        (["dummy", "--size", "13x17"], "multiples"),
        (["--connect", "here"], "cannot be used"),
        (["--connect", "tcp://127.0.0.1:9", "--keys", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_a_demo_cannot_use_is_refused_before_the_page_opens(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refusal("demo", "--no-browser", "--port", "0", *arguments)
