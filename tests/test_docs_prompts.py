"""What pages, samples and examples say to nano are prompts that it knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from magi_rt.training.worlds import toybox_phrases as known

ROOT = Path(__file__).parent.parent
LEFT_OPEN = {
    "way": "|".join(way for ways in known.WAYS.values() for way in ways),
    "thing": r"the \w+ (?:ball|box)",
    "new": r"an? \w+ (?:ball|box)",
    "name": r"\w+ (?:ball|box)",
    "colour": r"\w+",
    "things": r"an? \w+ (?:ball|box)(?: and an? \w+ (?:ball|box))*",
    "time": "|".join(time for times in known.TIMES.values() for time in times),
    "rest": "",
}
PHRASES = [
    *known.PULL, *known.NO_PULL, *known.WIND, *known.JUMP, *known.PUSH, *known.TURN, *known.APPEAR,
    *known.VANISH, *known.CAPTIONS,
    *(p for kind in (known.LIGHT, known.WEATHER, known.PACE) for ps in kind.values() for p in ps),
]  # fmt: skip
SAID = re.compile(
    r"""(?:SendPrompt\((?:TEXT\()?|send_prompt\((?:client,\ )?|send_reset\(|RESET,\ |\.prompt\(
    |advance\(|magi-rt\ prompt\ |--prompt\ |--then\ )"(?:\d+:\d+\ )?([^"]+)\"""",
    re.X,
)
LISTED = re.compile(r"(?:prompts|Prompts|STORY)\b[^=\n]*= \{([^}]*)\}")
SPEAKERS = {
    "README.md": 6,
    "docs/unity.md": 1,
    "docs/unreal.md": 1,
    "docs/csharp.md": 1,
    "docs/native.md": 2,
    "docs/streaming.md": 4,
    "docs/steering.md": 4,
    "docs/index.md": 2,
    "examples/01_first_frames.py": 2,
    "examples/02_steer_from_code.py": 4,
    "examples/03_snapshot_and_fork.py": 5,
    "examples/06_publish_and_watch.py": 2,
    "examples/08_unity/Weather.cs": 3,
    "examples/09_unreal/WeatherComponent.h": 3,
    "examples/godot/README.md": 2,
    "bindings/unity/package/Samples~/Steer/Steer.cs": 3,
}
"""Files that speak to nano, and how many prompts at least are to be found there."""


def pattern(phrase: str) -> str:
    """A phrasing as a regular expression."""
    parts = re.split(r"\{(\w+)\}", phrase)
    return "".join(
        f"(?:{LEFT_OPEN[part]})" if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    )


KNOWN = re.compile("|".join(f"(?:{pattern(phrase)})" for phrase in PHRASES))


def knows(prompt: str) -> bool:
    """True when a prompt is a phrasing of the toybox, or two of them joined."""
    return any(
        all(KNOWN.fullmatch(clause) for clause in (prompt[: joint.start()], prompt[joint.end() :]))
        for joint in re.finditer(" and |, ", prompt)
    ) or bool(KNOWN.fullmatch(prompt))


def prompts_of(text: str) -> list[str]:
    """Every prompt that a text says in code or on a command line."""
    listed = [said for body in LISTED.findall(text) for said in re.findall(r'"([^"]+)"', body)]
    return SAID.findall(text) + listed


@pytest.mark.parametrize("name", SPEAKERS)
def test_every_prompt_that_is_said_to_nano_is_in_its_words(name: str) -> None:
    said = prompts_of((ROOT / name).read_text("utf-8"))
    assert len(said) >= SPEAKERS[name], said
    assert [prompt for prompt in said if not knows(prompt)] == []


def test_words_that_nano_never_read_are_told_from_its_own() -> None:
    assert knows("night falls and it snows") and knows("the red ball turns green")
    strange = ["turn left", "a storm comes up", "the sun comes out", "a sunny meadow"]
    assert [prompt for prompt in strange if knows(prompt)] == []
