"""A world's memory: what one step lay in serves the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PLAYER = """
import resource
from magi_rt import World

def pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

world = World.open("nano", backend="eager", dtype="float32")
for _ in range(5):
    list(world.advance("snow"))
before = pages()
for _ in range(5):
    list(world.advance("snow"))
print((pages() - before) / 5)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory anyhow")
def test_memory_of_a_step_is_not_fetched_anew_for_the_next() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PLAYER], capture_output=True, text=True, timeout=300, check=True
    )
    assert float(told.stdout) < 4000, "pages of 4 KiB for each chunk; given back, they were 20,000"
