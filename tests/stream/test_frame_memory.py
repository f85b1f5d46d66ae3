"""A reader's memory: what one frame lay in serves the next."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from magi_rt.stream.publisher import FramePublisher
from tests.stream.support import publish

READER = """
import resource, sys
from magi_rt.stream.subscriber import FrameSubscriber

def pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with FrameSubscriber(sys.argv[1], layout="parts") as subscriber:
    for _ in range(100):
        assert subscriber.next(60.0) is not None
    before = pages()
    for _ in range(200):
        assert subscriber.next(60.0) is not None
    print((pages() - before) / 200)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory anyhow")
def test_memory_of_a_frame_is_not_fetched_anew_for_the_next(tmp_path: Path) -> None:
    picture = np.zeros((720, 1280, 3), np.uint8)
    ended = threading.Event()
    with FramePublisher(f"ipc://{tmp_path}/frames", size=(720, 1280)) as publisher:

        def send() -> None:
            while not ended.wait(0.0005):
                publish(publisher, picture)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            told = subprocess.run(
                [sys.executable, "-c", READER, publisher.address],
                capture_output=True, text=True, timeout=120, check=True,
            )  # fmt: skip
        finally:
            ended.set()
            sender.join()
    assert float(told.stdout) < 30, "pages of 4 KiB for each frame of 675"
