"""The built-in world's own text encoder: built, saved, read back, and good for any text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magi_rt.checkpoints.text_encoder import load_text_encoder, save_text_encoder
from magi_rt.training.nano_text import (
    CHANNELS,
    VOCABULARY,
    build_text_encoder,
    build_tokenizer,
    encode_prompts,
    tokenize,
)

PROMPTS = [
    f"a {colour} {thing} moves {where}"
    for colour in ("red", "green", "blue")
    for thing in ("ball", "square", "star")
    for where in ("left", "right", "up")
] * 2


def test_every_word_of_the_grammar_is_one_token() -> None:
    ids, mask = tokenize(build_tokenizer(PROMPTS), ["A red ball moves left"], 40)
    assert ids.shape == (1, 6)
    assert mask.all()


def test_the_same_prompts_give_the_same_tokenizer() -> None:
    first, second = (build_tokenizer(PROMPTS).inner.to_str() for _ in range(2))
    assert first == second


def test_a_rich_language_is_cut_to_its_usual_words_and_all_others_are_spelled() -> None:
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    rare = [first + second + "x" for first in syllables for second in syllables][:1500]
    prompts = ["a red ball"] * 50 + [word for word in rare for _ in range(2)]
    tokenizer = build_tokenizer(prompts)
    assert len(tokenizer.vocabulary()) == VOCABULARY
    ids, mask = tokenize(tokenizer, ["a red ball", rare[-1]], 40)
    assert mask.sum(dim=1).tolist()[0] == 4
    assert tokenizer.inner.decode(ids[1].tolist()).strip() == rare[-1]


def test_saving_writes_no_bars_between_those_of_a_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = build_text_encoder(PROMPTS, seed=3)
    save_text_encoder(tmp_path, model, tokenizer)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["zwölf fuchs", "\U0001f98a fox", "привет", "xyzzy-42"])
def test_text_outside_the_grammar_has_tokens_and_is_not_lost(text: str) -> None:
    tokenizer = build_tokenizer(PROMPTS)
    ids, _ = tokenize(tokenizer, [text], 40)
    assert tokenizer.vocabulary()["<unk>"] not in ids
    assert tokenizer.inner.decode(ids[0].tolist()).strip() == text


def test_no_prompt_has_no_real_tokens() -> None:
    ids, mask = tokenize(build_tokenizer(PROMPTS), ["", "a red ball"], 40)
    assert ids.shape == mask.shape
    assert mask.sum(dim=1).tolist() == [0, 4]


def test_what_training_sees_is_what_a_saved_encoder_gives(tmp_path: Path) -> None:
    model, tokenizer = build_text_encoder(PROMPTS, seed=3)
    model.half().float()  # as files hold it
    prompts = ["A  RED ball", "a blue square moves right \U0001f98a"]
    rows, mask = encode_prompts(model, tokenizer, prompts, 40)
    assert rows.requires_grad
    save_text_encoder(tmp_path, model, tokenizer)
    encoder = load_text_encoder(tmp_path, 40, CHANNELS)
    for place, prompt in enumerate(prompts):
        expected = rows[place, mask[place]].detach()
        torch.testing.assert_close(encoder.encode(prompt), expected, rtol=0, atol=1e-5)


def test_weights_follow_from_the_seed_and_leave_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    weights = [build_text_encoder(PROMPTS, seed)[0].shared.weight for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
