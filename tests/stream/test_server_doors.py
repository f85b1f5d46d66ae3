"""A server takes the address it was given, nobody else's, and lets go of it when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from magi_rt.errors import ClosedWorldError, OptionError
from magi_rt.stream.client import WorldClient
from magi_rt.stream.server import WorldServer
from tests.stream.serving_kit import LIMIT_S, served
from tests.world.kit import dummy_world


@pytest.mark.parametrize("taken", ["world", "world.control"])
def test_a_path_at_which_a_server_listens_is_not_taken_from_it(tmp_path: Path, taken: str) -> None:
    address = f"ipc://{tmp_path}/world"
    other = {"world": address, "world.control": f"{address}.control"}[taken]
    with served(address=address) as first:
        with pytest.raises(OptionError, match="taken"):
            WorldServer(dummy_world(), other, control=f"ipc://{tmp_path}/other.control")
        with WorldClient(address, timeout_s=LIMIT_S) as client:
            assert client.stream == first.stream
    with served(address=address) as second:
        assert second.address == address, "a path that a server has left is free"


@pytest.mark.parametrize("prompt", ["", "rain"])
def test_a_closed_world_is_refused_and_takes_no_address(prompt: str) -> None:
    with served() as server:
        address = server.address
    closed = dummy_world()
    closed.close()
    with pytest.raises(ClosedWorldError) as refused:
        WorldServer(closed, address, prompt=prompt)
    assert refused.value, "kept, as somebody does who shows it"
    with served(address=address) as server:
        assert server.address == address
