"""Fixtures and marks that the whole test-suite shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Most tests open many models of random weights, none of which is worth converting to graphs; the
# tests of the other executors name them.
os.environ.setdefault("MAGI_RT_BACKEND", "eager")

# Processes that share the tests leave each other the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell has jobs in its background ignore Ctrl-C, and their children too; tests of it send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped, with the reason, where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A fresh small 4.5B-type model folder, to be damaged at will; without a text encoder."""
    from tests.support import write_model

    return write_model(tmp_path / "model")


@pytest.fixture(scope="session")
def talking_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small 4.5B-type model folder with a text encoder, shared: do not write into it."""
    from tests.support import write_model

    return write_model(tmp_path_factory.mktemp("models") / "talking", text=True)


@pytest.fixture(scope="session", autouse=True)
def own_plans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plans of these tests lie in a folder of their own, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAGI_RT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """A closed terminal counts, also where nohup runs the tests: children ignore what we do."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
