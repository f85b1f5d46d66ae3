"""A video is there whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magi_rt.demo.recorder import Recorder
from magi_rt.errors import MediaError
from magi_rt.media.video_writer import VideoWriter
from magi_rt.stream.received import Received
from tests.stream.support import HEADER

SHOWN = Received(
    replace(HEADER, width=16, height=16, stride=48, size=768), np.zeros(768, np.uint8), 0, 0
)


def test_whatever_fails_while_it_is_written_leaves_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(writer: VideoWriter, pixels: object) -> None:
        raise RuntimeError("no such colour")

    monkeypatch.setattr(VideoWriter, "write", broken)
    recorder = Recorder(tmp_path / "seen.mp4", fps=24, height=16, width=16)
    recorder.take(SHOWN, 24)
    with pytest.raises(MediaError, match=r"seen.mp4 could not be written .*no such colour"):
        recorder.finish()
    assert not list(tmp_path.iterdir())
