"""What tests of frames are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from magi_rt.stream.publisher import FramePublisher


@pytest.fixture
def publisher() -> Iterator[FramePublisher]:
    """Of small pictures, on a free port."""
    with FramePublisher("tcp://127.0.0.1:*", size=(3, 4)) as made:
        yield made
