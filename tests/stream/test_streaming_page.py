"""The programs of docs/streaming.md run, one after the other, beside a served world."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.stream.serving_kit import served, wait_for
from tests.test_docs import blocks

PAGE = Path(__file__).parent.parent.parent / "docs" / "streaming.md"
ADDRESS = "tcp://127.0.0.1:5590"


def test_the_programs_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[Any] = []
    turns = itertools.count()

    def playing() -> bool:
        if next(turns) == 0:
            return True
        wait_for(lambda: names["frames"].latest(), "a frame")
        return not drawn

    names: dict[str, Any] = {"draw": drawn.append, "playing": playing}
    loop, recorder, steering, serving = blocks(PAGE, "python")
    with served(fps=60) as server:
        wait_for(lambda: server.stats()["frames_shown"] > 20, "some chunks")
        for program in (loop, recorder, steering):
            exec(compile(program.replace(ADDRESS, server.address), PAGE.name, "exec"), names)
    assert drawn[0].shape == (32, 32, 4)
    assert len(drawn) == 1 + 20 + 1
    exec(compile(serving, PAGE.name, "exec"), names)
    told = capsys.readouterr().out
    assert "prompt 1 shows from frame" in told and "frames on tcp://127.0.0.1:" in told
