"""Captions as SRT files: which prompt holds from when to when; a gap is the empty prompt.

The reader is our own and strict, because a caption that is read wrongly is trained on. Readers
made for players mend what they meet: they take a caption with a mistyped time for more text of the
one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from magi_rt.errors import MediaError, PromptError
from magi_rt.media.pictures import check_readable
from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.world.prompt_text import plain_prompt

MAX_BYTES = 16 * 2**20
TOLERANCE_S = 0.005
"""Times are written in whole milliseconds; a frame this little before a caption belongs to it."""

_TIME = r"(\d{1,3}):([0-5]\d):([0-5]\d)[,.](\d{3})"
_SPAN = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_TIME_LIKE = re.compile(r"\d\s*-->\s*\d")
_TAGS = re.compile(r"</?(?:b|i|u|s|font)\b[^>]*>|\{\\[^}]*\}", re.IGNORECASE)


@dataclass(frozen=True)
class Caption:
    """A prompt that holds from ``start_s`` until just before ``end_s``; ``line`` says where."""

    start_s: float
    end_s: float
    prompt: str
    line: int


def read_captions(path: str | Path) -> list[Caption]:
    """The captions of an SRT file (UTF-8), in the order of time; an empty file has none.

    Lines of one caption are joined with blanks, and marks such as ``<i>`` are dropped.

    Raises:
        MediaError: the file cannot be read, or a caption is odd: a time that is none, an end
            before its start, two at the same time, words of which no encoder reads any. It names
            file and line.
    """
    path = Path(path)
    check_readable(path, "caption file")
    if path.stat().st_size > MAX_BYTES:
        raise MediaError(
            f"{path} has more than {MAX_BYTES >> 20} MiB; captions are text", field="captions"
        )
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MediaError(
            f"{path} line {line} is not UTF-8 text; save the captions as UTF-8", field="captions"
        ) from error
    captions = [_caption(path, number, block) for number, block in _blocks(lines)]
    _check_order(path, captions)
    return [caption for caption in captions if caption.prompt]


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines that are not blank, each with the number of its first line."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _caption(path: Path, number: int, block: Sequence[str]) -> Caption:
    if block[0].strip().isdecimal() and len(block) > 1:
        number, block = number + 1, block[1:]
    span = _SPAN.match(block[0])
    if span is None:
        raise _odd(
            path, number, f"{block[0].strip()[:60]!r} is no time such as "
            "00:00:01,000 --> 00:00:02,500; a caption is a number, a time and its text, and an "
            "empty line ends it",
        )  # fmt: skip
    for further, line in enumerate(block[1:], number + 1):
        if _TIME_LIKE.search(line):
            raise _odd(path, further, "a time stands within a text; put an empty line before it")
    start_s, end_s = _seconds(span.groups()[:4]), _seconds(span.groups()[4:])
    if end_s <= start_s:
        raise _odd(
            path, number, f"the caption ends at {clock(end_s)} and starts at {clock(start_s)}; "
            "it must end later than it starts",
        )  # fmt: skip
    try:
        prompt = _said(" ".join(block[1:]))
    except PromptError as error:
        raise _odd(path, number, error.message) from error
    return Caption(start_s, end_s, prompt, number)


def caption_prompt(text: str) -> str:
    """The prompt as a caption holds it and as it is read from there.

    Raises:
        PromptError: it is none, or would be read otherwise: encoders read nothing of it, it has
            marks such as ``<i>``, or looks like the times of a caption.
    """
    prompt = plain_prompt(text)
    if _TIME_LIKE.search(prompt) or _said(prompt) != prompt:
        raise PromptError(
            f"captions cannot hold {prompt[:60]!r}: what looks like a time (1 --> 2) or a mark "
            "(<i>) is one there; say it in other words",
            field="prompt",
        )
    return prompt


def _said(text: str) -> str:
    """The prompt of a caption's text; PromptError where no encoder reads any of it."""
    prompt = plain_prompt(_TAGS.sub("", text))
    if any(map(str.isalnum, prompt)) and not clean_prompt(prompt):
        raise PromptError(
            f"text encoders read nothing of {prompt[:60]!r} (no Chinese characters, addresses or "
            "file names); say it in other words, or leave it out",
            field="prompt",
        )
    return prompt


def _check_order(path: Path, captions: Sequence[Caption]) -> None:
    for before, after in pairwise(captions):
        if after.start_s < before.end_s - TOLERANCE_S:
            raise _odd(
                path, after.line, f"the caption starts at {clock(after.start_s)}, before the one "
                f"of line {before.line} ends at {clock(before.end_s)}; only one prompt holds at a "
                "time: end the earlier one there, or join both into one",
            )  # fmt: skip


def captions_text(captions: Sequence[Caption]) -> str:
    """The text of an SRT file; times are cut to whole milliseconds."""
    parts = [
        f"{number}\n{clock(caption.start_s)} --> {clock(caption.end_s)}\n{caption.prompt}\n"
        for number, caption in enumerate(captions, 1)
    ]
    return "\n".join(parts)


def clock(time_s: float) -> str:
    """A time as SRT writes it: 00:00:01,500."""
    millis = int(time_s * 1000 + 1e-6)
    minutes, rest = divmod(millis, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def _seconds(parts: Sequence[str]) -> float:
    hours, minutes, seconds, millis = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _odd(path: Path, line: int, problem: str) -> MediaError:
    return MediaError(f"{path} line {line}: {problem}", field="captions")
