"""Which prompt holds when: the story told by default, and `--then "0:03 wind blows left"`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from magi_rt.errors import OptionError
from magi_rt.world.prompt_text import checked_prompt

_THEN = re.compile(
    r"\s*(?P<minutes>\d{1,4}):(?P<seconds>\d\d(?:\.\d+)?)(?:\s+(?P<prompt>.*))?", re.S
)
_EXAMPLE = 'write minutes:seconds and a prompt, as in --then "0:03 wind blows left"'

DEFAULT_STORY = (
    (0.0, "a red ball and a blue box in a room by day, gravity points down"),
    (0.2, "gravity points left"),
    (0.4, "gravity points up"),
    (0.6, "night falls"),
    (0.72, "it snows"),
    (0.86, "everything falls down and day breaks"),
)
"""The default story, in words the built-in world learned: (share of the whole time, prompt)."""


@dataclass(frozen=True)
class Turn:
    """A prompt and the time in the video, in seconds, from which it should be seen."""

    time_s: float
    prompt: str


@dataclass(frozen=True)
class Story:
    """Turns in order of time; the first one begins at 0."""

    turns: tuple[Turn, ...]

    def at(self, time_s: float) -> Turn:
        """The turn that holds at a time in seconds."""
        # a chunk that starts a rounding error early still belongs to the new turn
        return [turn for turn in self.turns if turn.time_s <= time_s + 1e-6][-1]


def default_story(seconds: float) -> Story:
    """The default story, stretched over `seconds`."""
    return Story(tuple(Turn(share * seconds, prompt) for share, prompt in DEFAULT_STORY))


def told_story(prompt: str, thens: Sequence[str], seconds: float) -> Story:
    """`prompt` from the start, then each of `thens` ("M:SS prompt") from its time on.

    Raises OptionError for a text without a time, a time of 60 seconds or more in the seconds'
    place, a time at or after the end, or two prompts for one time; PromptError for a prompt
    that is too long.
    """
    turns = sorted(
        (parse_then(then, seconds) for then in thens),
        key=lambda turn: turn.time_s,
    )
    for earlier, later in pairwise(turns):
        if earlier.time_s == later.time_s:
            raise OptionError(
                f"two prompts are given for one time, {earlier.prompt!r} and {later.prompt!r}; "
                "join them into one --then or move one",
                field="then",
            )
    return Story((_turn(0.0, prompt), *turns))


def parse_then(then: str, seconds: float) -> Turn:
    """Read "M:SS prompt" (also "M:SS.s prompt") for a video of `seconds`."""
    found = _THEN.fullmatch(then)
    if found is None:
        raise OptionError(f"--then {then[:60]!r} has no time in front; {_EXAMPLE}", field="then")
    minutes, rest_s = int(found["minutes"]), float(found["seconds"])
    prompt = (found["prompt"] or "").strip()
    if rest_s >= 60:
        total = minutes * 60 + int(rest_s)
        raise OptionError(
            f"--then {then[:60]!r} says {found['seconds']} seconds, which must be below 60; "
            f"write {total // 60}:{total % 60:02d}",
            field="then",
        )
    if not prompt:
        raise OptionError(f"--then {then!r} has no prompt after the time; {_EXAMPLE}", field="then")
    time_s = minutes * 60 + rest_s
    if not 0 < time_s < seconds:
        way_out = "use --prompt for the start" if time_s == 0 else "make --seconds larger"
        raise OptionError(
            f"--then {then[:60]!r} is not inside the video, which lasts from 0 to {seconds:g} s; "
            f"{way_out}",
            field="then",
        )
    return _turn(time_s, prompt)


def _turn(time_s: float, prompt: str) -> Turn:
    return Turn(time_s, checked_prompt(prompt))
