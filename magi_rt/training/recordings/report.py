"""What is in a folder of recordings, in numbers, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from magi_rt.errors import MediaError
from magi_rt.training.recordings.folder import Clip, Finding, survey
from magi_rt.training.recordings.sections import SHORTEST, sections
from magi_rt.training.recordings.source import FRAME_RATE

PROBED = 8  # frames decoded at each of three places
WHOLE = 96  # frames decoded at a time where all are
PROBE_SIZE = 64


@dataclass(frozen=True)
class FolderReport:
    """A folder's clips, each decoded at its beginning, middle and end, or all through.

    ``windows``: places where a training clip of 8 chunks may begin, per split.
    ``prompts``: how many seconds each prompt holds, the longest first.
    """

    findings: list[Finding]
    windows: dict[str, int]
    prompts: list[tuple[str, float]]

    @property
    def clips(self) -> list[Clip]:
        return [finding.clip for finding in self.findings if finding.clip]

    @property
    def problems(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.problem]

    @property
    def seconds(self) -> float:
        return sum(clip.file.length_s for clip in self.clips)

    @property
    def silent_s(self) -> float:
        """Seconds under no prompt."""
        return max(0.0, self.seconds - sum(seconds for _, seconds in self.prompts))


def check_folder(folder: str | Path, full: bool = False) -> FolderReport:
    """Look at every clip of a folder, at every frame if ``full``.

    MediaError only when there is none to look at.
    """
    findings = [_decoded(finding, full) for finding in survey(folder)]
    clips = [finding.clip for finding in findings if finding.clip]
    windows = {
        split: sum(
            max(0, part.end - part.first - SHORTEST + 1)
            for part in sections([clip.frames for clip in clips], split)
        )
        for split in ("train", "held_out")
    }
    held: Counter[str] = Counter()
    for clip in clips:
        for start, end, caption in zip(clip.starts, clip.ends, clip.captions, strict=True):
            held[caption.prompt] += max(0, min(end, clip.frames) - start)
    prompts = [(prompt, frames / FRAME_RATE) for prompt, frames in held.most_common()]
    return FolderReport(findings, windows, prompts)


def _decoded(finding: Finding, full: bool) -> Finding:
    """The finding, with a problem if its video cannot be decoded where it is tried."""
    if finding.clip is None:
        return finding
    clip = finding.clip
    last = max(0, clip.frames - PROBED)
    count = WHOLE if full else PROBED
    places = range(0, clip.frames, WHOLE) if full else sorted({0, last // 2, last})
    try:
        for first in places:
            frames = min(count, clip.frames - first)
            clip.file.read(first, frames, fps=FRAME_RATE, size=PROBE_SIZE)
    except MediaError as problem:
        return replace(finding, clip=None, problem=problem)
    return finding
