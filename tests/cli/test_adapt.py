"""`magi-rt serve --adapt`: a served world keeps its pace by its step counts."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from magi_rt.cli import serve
from magi_rt.cli.app import app
from magi_rt.stream.server import WorldServer


def test_a_served_world_keeps_the_frames_per_second_that_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def look(server: WorldServer, seconds: float | None) -> None:
        seen["told"] = server._steered.world.adaptation
        server.close()

    monkeypatch.setattr(serve, "_serve", look)
    arguments = ["serve", "nano", "--port", "0", "--adapt", "--fps", "12", "--steps", "16"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert seen["told"].allowed == (4, 8, 12, 16)
    assert seen["told"].target_s == pytest.approx(8 / 12)


def test_a_model_of_one_step_count_is_refused_in_one_sentence() -> None:
    result = CliRunner().invoke(app, ["serve", "dummy", "--port", "0", "--adapt"])
    assert result.exit_code == 2
    assert "distilled" in result.stderr and result.stderr.count("\n") == 1
