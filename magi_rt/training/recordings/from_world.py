"""A made-up world recorded into a folder of clips, as a game would record itself."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path

from magi_rt.errors import MediaError, OptionError
from magi_rt.free_memory import free_in_main
from magi_rt.training.recordings.recorder import Recorder
from magi_rt.training.recordings.source import FRAME_RATE, FRAMES_PER_CHUNK, ClipSource
from magi_rt.training.seeds import seeded
from magi_rt.training.sole_run import sole_run

MAX_CLIP_S = 120
"""Longest clip in seconds: a clip is made in memory as a whole."""


def record_clips(
    source: ClipSource, folder: str | Path, *, clips: int, seconds: float, seed: int = 1
) -> Iterator[Path]:
    """Record clip-0001.mp4, clip-0002.mp4 ... with captions; yields each when it is there.

    Clip k follows from (seed, k) alone. A clip that is there already is left as it is, so that a
    recording that was stopped goes on.

    Args:
        seconds: of each clip, rounded up to whole chunks; at most ``MAX_CLIP_S``.

    Raises:
        OptionError: clips or seconds are outside their limits, a clip has no room in memory, the
            seed is negative, or another recording is at work in the folder.
        MediaError: the folder cannot be written to.
    """
    if clips < 1 or seed < 0:
        raise OptionError(f"clips is {clips} and seed {seed}; record 1 or more, from seed 0 on")
    if not 0 < seconds <= MAX_CLIP_S:
        raise OptionError(
            f"clips of {seconds:g} s cannot be recorded; give more than 0 and at most "
            f"{MAX_CLIP_S}, and more clips for more",
            field="seconds",
        )
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise MediaError(f"{folder} is a file; name a folder for the clips", field="path")
    chunks = ceil(seconds * FRAME_RATE / FRAMES_PER_CHUNK)
    _check_room(source.size, chunks * FRAMES_PER_CHUNK, seconds)
    with sole_run(folder, "recording"):
        for number in range(1, clips + 1):
            path = folder / f"clip-{number:04}.mp4"
            if not path.exists():
                _record_one(source, path, chunks, seed, number)
            yield path


def _check_room(size: int, frames: int, seconds: float) -> None:
    """Raise OptionError where a clip surely has no room: bytes, and a few frames as numbers."""
    free, needed = free_in_main(), size * size * 3 * (frames + 16)
    if free is not None and needed > free:
        raise OptionError(
            f"a clip of {seconds:g} s of {size}x{size} pixels takes {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free; record smaller pictures or shorter clips",
            field="size",
        )


def _record_one(source: ClipSource, path: Path, chunks: int, seed: int, number: int) -> None:
    pixels, (prompts,), _ = source.draw(1, chunks, seeded(seed, 5, number))
    path.with_suffix(".srt").unlink(missing_ok=True)  # left alone when a recording was killed
    with Recorder(path, size=None, fps=FRAME_RATE) as recorder:
        held = ""
        for chunk, prompt in enumerate(prompts):
            if prompt != held:
                recorder.prompt(prompt)
                held = prompt
            first = chunk * FRAMES_PER_CHUNK
            for picture in pixels[0, first : first + FRAMES_PER_CHUNK].cpu().numpy():
                recorder.frame(picture)
