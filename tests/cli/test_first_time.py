"""Who waits for a conversion is told so, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from magi_rt.cli.first_time import CONVERSIONS, EXECUTORS, FirstTime, tell_of_conversions


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leaves the logger as it was."""
    logger = logging.getLogger(EXECUTORS)
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_a_conversion_is_told_in_one_line_on_stderr_however_many_graphs_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_of_conversions()
    for graph in ("denoiser", "decoder"):
        logging.getLogger(CONVERSIONS).info("%s is converted", graph)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and "converted" in said.err


def test_warnings_still_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell_of_conversions()
    logging.getLogger(CONVERSIONS).warning("plans cannot be kept")
    assert "plans cannot be kept" in capsys.readouterr().err


def test_what_other_executors_build_is_told_as_they_say_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_of_conversions()
    logging.getLogger("magi_rt.backends.tensorrt").info(
        "%s builds %s, once", "tensorrt", "denoiser"
    )
    assert capsys.readouterr().err == "magi-rt: tensorrt builds denoiser, once\n"


def test_the_logger_that_is_listened_to_is_the_one_that_tells() -> None:
    from magi_rt.backends import graph_runner

    assert graph_runner.logger.name == CONVERSIONS


def test_asking_twice_tells_no_more_often() -> None:
    tell_of_conversions()
    tell_of_conversions()
    listening = [h for h in logging.getLogger(EXECUTORS).handlers if isinstance(h, FirstTime)]
    assert len(listening) == 1
