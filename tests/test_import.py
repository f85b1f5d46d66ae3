"""Importing the package is free: no torch, no device, no side effects."""

from __future__ import annotations

import subprocess
import sys

import pytest

import magi_rt
from magi_rt import errors

HEAVY = ("torch", "zmq", "transformers", "av", "safetensors", "typer", "rich", "PIL")


def loaded_by(statement: str) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after a statement."""
    check = f"import sys; {statement}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return list(filter(None, done.stdout.strip().strip("[]").replace("'", "").split(", ")))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import magi_rt") == []


def test_configurations_presets_errors_and_frames_need_no_torch() -> None:
    statement = "import magi_rt.presets; from magi_rt import CheckpointError, Frame"
    assert loaded_by(statement) == []


def test_every_public_name_can_be_imported() -> None:
    for name in magi_rt.__all__:
        assert getattr(magi_rt, name) is not None
    assert set(magi_rt.__all__) <= set(dir(magi_rt))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Wrold"):
        _ = magi_rt.Wrold


def test_every_error_is_a_magi_error_with_message_and_field() -> None:
    error = magi_rt.ConfigError("num_steps is 7; it must divide by 4", field="num_steps")
    assert isinstance(error, magi_rt.MagiError)
    assert (error.message, error.field) == (str(error), "num_steps")


def test_all_errors_stand_in_the_package_itself() -> None:
    own = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert own <= set(magi_rt.__all__)


def test_errors_of_a_server_need_no_sockets() -> None:
    assert loaded_by("from magi_rt import RemoteError, ServerLostError") == []
