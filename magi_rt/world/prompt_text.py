"""Which texts are prompts, and how they are read; no model is needed to tell."""

from __future__ import annotations

import unicodedata

from magi_rt.errors import PromptError

CHARACTER_LIMIT = 4000
"""Longest prompt, in characters."""


def plain_prompt(text: object) -> str:
    """The prompt as encoders get it: control characters dropped, whitespace as single blanks.

    Emoji, accents and every script stay. T5 encoders clean it further, as in training
    (``models/caption_cleaning.py``): no Chinese characters, addresses, file names, long numbers.

    Raises:
        PromptError: it is not a str, or has more than ``CHARACTER_LIMIT`` characters.
    """
    return " ".join("".join(filter(_readable, checked_prompt(text))).split())


def checked_prompt(prompt: object) -> str:
    """The prompt itself, as it was given; errors as in :func:`plain_prompt`."""
    if not isinstance(prompt, str):
        raise PromptError(
            f"a prompt must be a str, not {type(prompt).__name__}; pass the words themselves",
            field="prompt",
        )
    if len(prompt) > CHARACTER_LIMIT:
        raise PromptError(
            f"the prompt has {len(prompt):,} characters and the limit is {CHARACTER_LIMIT:,}; "
            "shorten it to what the next seconds should show",
            field="prompt",
        )
    return prompt


def shortened(prompt: str, most: int = 60) -> str:
    """The beginning of a prompt, for sentences."""
    return prompt if len(prompt) <= most else prompt[: most - 3] + "..."


def sendable_prompt(prompt: object) -> str:
    """The prompt without halves of surrogate pairs, which no message can hold and no world reads.

    Errors as in :func:`plain_prompt`.
    """
    return checked_prompt(prompt).encode("utf-8", "ignore").decode("utf-8")


def _readable(character: str) -> bool:
    """False for control characters that are no whitespace, and for halves of surrogate pairs."""
    return character.isspace() or unicodedata.category(character) not in ("Cc", "Cs")
