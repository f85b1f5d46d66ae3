"""A folder of videos with captions of the same names, cut into training clips when asked for."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from magi_rt.errors import MagiError, MediaError, OptionError
from magi_rt.training.recordings.captions import TOLERANCE_S, Caption, clock, read_captions
from magi_rt.training.recordings.clip_file import ClipFile, index_clip
from magi_rt.training.recordings.sections import Section, sections
from magi_rt.training.recordings.source import (
    FRAME_RATE,
    FRAMES_PER_CHUNK,
    ClipBatch,
    first_only,
)

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".ts", ".gif")
"""Endings of what is taken for a clip; anything else in the folder is left alone."""
CAPTIONS = ".srt"
TRIES = 30  # windows drawn in a row, none of which can be decoded, until a folder is given up


@dataclass(frozen=True)
class Clip:
    """A video and what is asked for in it.

    ``starts`` are the captions' first frames, ``ends`` the frames after their last ones, both
    rising and at 24 per second; ``changes`` all of these.
    """

    file: ClipFile
    frames: int
    captions: tuple[Caption, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def changes(self) -> list[int]:
        return sorted({*self.starts, *self.ends})

    def prompt_at(self, frame: int) -> str:
        """The prompt that holds at a frame, at 24 per second; "" in a gap."""
        place = bisect_right(self.starts, frame) - 1
        held = place >= 0 and frame < self.ends[place]
        return self.captions[place].prompt if held else ""


@dataclass(frozen=True)
class Finding:
    """A file of a folder, and the clip it is or why it cannot be used."""

    path: Path
    clip: Clip | None
    problem: MagiError | None = None


class Recordings:
    """Training clips from a folder; the videos are indexed now and decoded when drawn from.

    Any number of files of any length: what stays in memory is the times of their frames and their
    captions, about 1 MB per hour.

    Args:
        folder: its clips, not those of its subfolders.
        size: height and width of the pictures.

    Raises:
        MediaError: no clip, or one that cannot be used; ``survey`` tells of all of them.
    """

    def __init__(self, folder: str | Path, size: int) -> None:
        self.folder, self._size = Path(folder), size
        found = survey(self.folder)
        problems = [finding.problem for finding in found if finding.problem]
        if problems:
            others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise MediaError(
                f"{problems[0].message}{others}; magi-rt record --check {self.folder} shows all",
                field="data",
            ) from problems[0]
        self.clips = tuple(finding.clip for finding in found if finding.clip)
        self._cut: dict[str, list[Section]] = {}
        self._told: set[Path] = set()

    @property
    def size(self) -> int:
        return self._size

    @property
    def identity(self) -> str:
        """Names, lengths and captions in short; other pictures of the same length go unnoticed."""
        digest = hashlib.sha256()
        for clip in self.clips:
            facts = (clip.file.path.name, clip.frames, clip.starts, clip.ends)
            digest.update(repr((facts, [one.prompt for one in clip.captions])).encode())
        return f"recordings {digest.hexdigest()[:12]}"

    def draw(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> ClipBatch:
        """``batch`` windows, any place equally likely; MediaError if the split has none so long.

        A window in which a prompt begins is laid so that a chunk begins there too, as in a world
        that is told something. One that cannot be decoded is left out for another, which stderr
        tells once per file; MediaError when that never ends.
        """
        windows = self._windows(batch, chunks, generator, split)
        frames = chunks * FRAMES_PER_CHUNK
        pixels = np.empty((batch, frames, self._size, self._size, 3), dtype=np.uint8)
        for row in range(batch):
            for left in reversed(range(TRIES)):
                clip, first = windows[row]
                try:
                    pixels[row] = clip.file.read(first, frames, fps=FRAME_RATE, size=self._size)
                    break
                except MediaError as damage:
                    if not left:
                        raise
                    self._tell(clip, damage)
                    (windows[row],) = self._windows(1, chunks, generator, split)
        prompts = _prompts(windows, chunks)
        return ClipBatch(torch.from_numpy(pixels), prompts, first_only(prompts))

    def _tell(self, clip: Clip, damage: MediaError) -> None:
        if clip.file.path not in self._told:
            self._told.add(clip.file.path)
            Console(stderr=True).print(
                f"{damage.message}. Training goes on without such places; mend the file when the "
                "run has ended, as a run that goes on must find its data unchanged",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def prompts(
        self, batch: int, chunks: int, generator: torch.Generator, split: str = "train"
    ) -> list[list[str]]:
        """The prompts of the same draw; nothing is decoded, so damaged places are not left out."""
        return _prompts(self._windows(batch, chunks, generator, split), chunks)

    def windows_in(self, split: str, chunks: int) -> int:
        """How many different windows of so many chunks a split has."""
        return sum(_places(part, chunks) for part in self._sections(split))

    def _windows(
        self, batch: int, chunks: int, generator: torch.Generator, split: str
    ) -> list[tuple[Clip, int]]:
        if min(batch, chunks) < 1:
            raise OptionError(
                f"batch is {batch} and chunks {chunks}; each must be at least 1", field="batch"
            )
        parts = [part for part in self._sections(split) if _places(part, chunks) > 0]
        if not parts:
            raise self._too_short(split, chunks)
        bounds = np.cumsum([_places(part, chunks) for part in parts])
        drawn = torch.randint(int(bounds[-1]), (batch,), generator=generator).tolist()
        windows = []
        for place in drawn:
            number = int(np.searchsorted(bounds, place, side="right"))
            part = parts[number]
            first = part.first + place - int(bounds[number]) + _places(part, chunks)
            clip = self.clips[part.clip]
            windows.append((clip, _aligned(clip, part, first, chunks)))
        return windows

    def _sections(self, split: str) -> list[Section]:
        if split not in self._cut:
            self._cut[split] = sections([clip.frames for clip in self.clips], split)
        return self._cut[split]

    def _too_short(self, split: str, chunks: int) -> MediaError:
        seconds = chunks * FRAMES_PER_CHUNK / FRAME_RATE
        longest = max(clip.file.length_s for clip in self.clips)
        return MediaError(
            f"{self.folder} has no stretch of {seconds:.1f} s in its {split} split; the longest of "
            f"its {len(self.clips)} clips is {longest:.1f} s: record longer clips, or more of them",
            field="data",
        )


def survey(folder: str | Path) -> list[Finding]:
    """Every clip of a folder in the order of names, each usable or with its problem.

    Raises:
        MediaError: it is no folder, or has nothing in it that looks like a clip.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MediaError(f"{folder} is no folder; name one that holds clips", field="data")
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    if not videos:
        raise MediaError(
            f"{folder} has no clips; it needs videos ({', '.join(VIDEOS)}) with captions of the "
            "same names, as in run-1.mp4 and run-1.srt",
            field="data",
        )
    stems = Counter(path.stem for path in videos)
    orphans = [path for path in files if path.suffix.lower() == CAPTIONS and path.stem not in stems]
    found = [_finding(path, stems[path.stem]) for path in videos]
    for path in orphans:
        missing = MediaError(
            f"{path} belongs to no video; give the video the same name, or remove the captions"
        )
        found.append(Finding(path, None, missing))
    return found


def _finding(path: Path, namesakes: int) -> Finding:
    try:
        if namesakes > 1:
            raise MediaError(f"{path} shares its captions with another video; rename one of them")
        return Finding(path, open_clip(path))
    except MagiError as problem:
        return Finding(path, None, problem)


def _captions_of(path: Path) -> Path:
    """The captions beside a video, whatever the case of their ending, there or not."""
    usual = path.with_suffix(CAPTIONS)
    if usual.exists():
        return usual
    others = (each for each in path.parent.iterdir() if each.stem == path.stem)
    return min((each for each in others if each.suffix.lower() == CAPTIONS), default=usual)


def open_clip(path: str | Path) -> Clip:
    """A video with the captions beside it. MediaError for either that cannot be used."""
    path = Path(path)
    beside = _captions_of(path)
    if not beside.exists():
        raise MediaError(
            f"{path} has no captions; write {beside.name}, an empty file if nothing is asked for",
            field="captions",
        )
    file, captions = index_clip(path), tuple(read_captions(beside))
    for caption in captions:
        if caption.start_s > file.length_s:
            raise MediaError(
                f"{beside} line {caption.line}: the caption starts at {clock(caption.start_s)}, "
                f"after the end of {path.name} at {clock(file.length_s)}; are these the captions "
                "of another video?",
                field="captions",
            )
    return Clip(
        file,
        file.frames_at(FRAME_RATE),
        captions,
        tuple(_frame(caption.start_s) for caption in captions),
        tuple(_frame(caption.end_s) for caption in captions),
    )


def _frame(time_s: float) -> int:
    """The first frame, at 24 per second, that a time in the captions reaches."""
    return max(0, ceil((time_s - TOLERANCE_S) * FRAME_RATE))


def _places(part: Section, chunks: int) -> int:
    """How many windows of so many chunks fit into a section."""
    return max(0, part.end - part.first - chunks * FRAMES_PER_CHUNK + 1)


def _aligned(clip: Clip, part: Section, first: int, chunks: int) -> int:
    """The window moved by less than a chunk, so that one begins where the next prompt does."""
    end, changes = first + chunks * FRAMES_PER_CHUNK, clip.changes
    place = bisect_right(changes, first)
    if place == len(changes) or changes[place] >= end:
        return first
    later = (changes[place] - first) % FRAMES_PER_CHUNK
    if end + later <= part.end:
        return first + later
    earlier = later - FRAMES_PER_CHUNK
    return first + earlier if first + earlier >= part.first else first


def _prompts(windows: Sequence[tuple[Clip, int]], chunks: int) -> list[list[str]]:
    return [
        [clip.prompt_at(first + FRAMES_PER_CHUNK * chunk) for chunk in range(chunks)]
        for clip, first in windows
    ]
