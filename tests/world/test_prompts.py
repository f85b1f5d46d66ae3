"""Prompts: what is refused, what counts as no text, and what is remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from magi_rt.backends.dummy import DummyExecutor
from magi_rt.demo.messages import REQUESTS
from magi_rt.errors import ConfigError, OptionError, PromptError
from magi_rt.models.inputs import TextContext
from magi_rt.models.special_tokens import SPECIAL_ROWS, SpecialTokens
from magi_rt.stream.requests import Prompt
from magi_rt.world.actions import ActionMap
from magi_rt.world.prompt_text import CHARACTER_LIMIT, plain_prompt
from magi_rt.world.prompts import PromptBook
from tests.world.kit import dummy_world, story


class CountingExecutor(DummyExecutor):
    """The dummy executor, which also says what it was asked and hands text rows through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []
        self.prepared = 0

    def encode_text(self, prompt: str) -> Tensor:
        self.encoded.append(prompt)
        return super().encode_text(prompt) if prompt != "()" else super().encode_text("")

    def null_text(self) -> Tensor:
        return super().null_text() - 1

    def prepare_text(self, rows: Tensor) -> TextContext:
        self.prepared += 1
        return TextContext(rows[None, None].clone(), rows[None, None].clone())


@pytest.fixture
def executor() -> CountingExecutor:
    return CountingExecutor()


def special_tokens() -> SpecialTokens:
    chance = np.random.default_rng(1)
    return SpecialTokens.from_arrays(
        {name: chance.normal(size=(rows, 8)) for name, rows in SPECIAL_ROWS.items()}
    )


def rows_of(book: PromptBook, prompt: str, chunk: int = 0, total: int | None = None) -> Tensor:
    return book.text_for(prompt, chunk, total).context.keys[0, 0]


def test_a_prompt_becomes_its_rows_and_keeps_its_words(executor: CountingExecutor) -> None:
    text = PromptBook(executor).text("  A red\tfox ")
    assert text.prompt == "  A red\tfox "
    assert torch.equal(text.context.keys[0, 0], DummyExecutor().encode_text("A red fox"))


def test_a_repeated_prompt_costs_nothing(executor: CountingExecutor) -> None:
    book = PromptBook(executor)
    first = book.text("fox")
    assert book.text("fox").context is first.context
    assert book.text_for(" fox ", 5, 9).context is first.context
    assert executor.encoded == ["fox"]
    assert executor.prepared == 1


def test_only_the_latest_prompts_are_remembered(executor: CountingExecutor) -> None:
    book = PromptBook(executor, kept=2)
    prepared = []
    for prompt in ("a", "b", "a", "c", "a", "b"):
        before = executor.prepared
        book.text(prompt)
        prepared.append(executor.prepared > before)
    assert prepared == [True, True, False, True, False, True]


def test_memory_is_bounded_in_bytes_too(executor: CountingExecutor) -> None:
    book = PromptBook(executor, kept_bytes=100)  # one row of 8 takes 64 bytes as context
    for prompt in ("a", "b", "a"):
        book.text(prompt)
    assert executor.prepared == 3


def test_what_is_forgotten_makes_room(executor: CountingExecutor) -> None:
    book = PromptBook(executor, kept_bytes=130)  # two of them
    for prompt in ("a", "b", "c", "d", "c"):
        book.text(prompt)
    assert executor.prepared == 4


def test_one_prompt_larger_than_the_memory_is_still_kept(executor: CountingExecutor) -> None:
    book = PromptBook(executor, kept_bytes=1)
    assert book.text("a b c").context is book.text("a b c").context


def test_a_memory_of_nothing_is_refused(executor: CountingExecutor) -> None:
    with pytest.raises(OptionError, match="keep 1 or more"):
        PromptBook(executor, kept=0)


@pytest.mark.parametrize("prompt", ["", "  \n\t ", "\0\x07", "()"])
@pytest.mark.parametrize("tokens", [None, special_tokens()])
def test_a_prompt_of_nothing_is_no_text(
    executor: CountingExecutor, prompt: str, tokens: SpecialTokens | None
) -> None:
    executor.special_tokens = tokens
    assert torch.equal(rows_of(PromptBook(executor), prompt), executor.null_text())


def test_a_prompt_of_which_cleaning_leaves_nothing_is_told_to_the_caller(
    executor: CountingExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.backends.dummy.DummyExecutor", lambda: executor)
    world, silent = dummy_world(), dummy_world()
    before = world.notes.copy()
    story(world, "fox", "", None)
    assert world.notes == before
    for _ in range(3):
        world.prompt("()")
        told = world.advance()
    assert world.notes[: len(before)] == before
    (note,) = world.notes[len(before) :]
    assert note.startswith("'()' counts as no prompt") and told[0].prompt == "()"
    story(silent, "fox", "", None, "", None)
    assert np.array_equal(told[0].pixels, silent.advance()[0].pixels)


def test_a_prompt_that_is_longer_than_is_read_is_told_to_the_caller() -> None:
    world = dummy_world()
    before = len(world.notes)
    world.advance("fox " * 63)
    assert len(world.notes) == before
    world.advance("fox " * 100)
    (note,) = world.notes[before:]
    assert note.startswith("'fox fox") and note.endswith("the model takes 64 tokens")


def test_special_tokens_stand_before_the_prompt(executor: CountingExecutor) -> None:
    tokens = executor.special_tokens = special_tokens()
    rows = rows_of(PromptBook(executor), "red fox", chunk=2, total=5)
    expected = (tokens.row("DURATION_TOKEN", 3), tokens.row("HQ_TOKEN"))
    assert torch.equal(rows[:2], torch.stack(expected))
    assert torch.equal(rows[2:], DummyExecutor().encode_text("red fox"))


def test_a_stream_without_end_always_announces_eight_more_chunks(
    executor: CountingExecutor,
) -> None:
    tokens = executor.special_tokens = special_tokens()
    book = PromptBook(executor)
    assert torch.equal(rows_of(book, "fox", 1000)[0], tokens.row("DURATION_TOKEN", 8))
    assert executor.prepared == 1
    rows_of(book, "fox", 0)
    assert executor.prepared == 1


def test_a_text_is_encoded_once_whatever_chunks_remain(executor: CountingExecutor) -> None:
    executor.special_tokens = special_tokens()
    book = PromptBook(executor)
    seen = [rows_of(book, "fox", chunk, 3) for chunk in range(3)]
    assert executor.encoded == ["fox"]
    assert not torch.equal(seen[0], seen[1])


def test_rows_are_cut_to_the_length_the_model_takes(executor: CountingExecutor) -> None:
    executor.special_tokens = special_tokens()
    limit = executor.config.model.caption_max_length
    long = " ".join(f"w{place}" for place in range(limit + 9))
    assert rows_of(PromptBook(executor), long).shape == (limit, 8)


def test_a_failed_encoding_is_not_remembered(executor: CountingExecutor) -> None:
    book = PromptBook(executor)
    with pytest.raises(PromptError):
        book.text("x" * (CHARACTER_LIMIT + 1))
    assert book.text("fox").context.tokens == 1


def test_a_long_prompt_is_refused_with_both_numbers_and_a_way_out() -> None:
    assert plain_prompt("x" * CHARACTER_LIMIT)
    with pytest.raises(PromptError, match=r"4,001 characters.*4,000; shorten") as caught:
        plain_prompt("x" * (CHARACTER_LIMIT + 1))
    assert caught.value.field == "prompt"


@pytest.mark.parametrize("text", [None, 7, b"fox", ["fox"]])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(PromptError, match="must be a str"):
        plain_prompt(text)


def test_control_characters_go_and_everything_readable_stays() -> None:
    assert plain_prompt("a\0b\x1b[31m\u0085c\td\r\ne\ud800") == "ab[31m c d e"
    family = "\U0001f469\u200d\U0001f467 ünï 中文"
    assert plain_prompt(family) == family


def test_every_door_for_prompts_is_as_wide_as_the_worlds() -> None:
    root = Path(__file__).parents[2]
    page = (root / "magi_rt/demo/static/index.html").read_text("utf-8")
    example = (root / "examples/11_asyncio_server.py").read_text("utf-8")
    header = (root / "bindings/c/include/magi_rt.h").read_text("utf-8")
    assert f'<input type="text" maxlength="{CHARACTER_LIMIT}"' in page
    assert f'maxlength="{CHARACTER_LIMIT}"' in example and f"said[:{CHARACTER_LIMIT}]" in example
    assert f"prompt: at most {CHARACTER_LIMIT:,} characters" in header
    assert REQUESTS["prompt"]["text"].most == CHARACTER_LIMIT
    longest = ActionMap.from_table({"start": "x" * CHARACTER_LIMIT})
    assert Prompt.rules["text"].check("text", longest.start) == longest.start
    with pytest.raises(ConfigError, match="at most 4000"):
        ActionMap.from_table({"start": "x" * (CHARACTER_LIMIT + 1)})
