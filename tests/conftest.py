"""Fixtures and marks that the whole test-suite shares."""

from __future__ import annotations

from pathlib import Path

import pytest


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
