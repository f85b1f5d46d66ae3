"""The text encoder read from a folder: tokens, cuts, and refusals with a way out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from magi_rt.checkpoints.headers import open_weights
from magi_rt.checkpoints.text_encoder import check_text_encoder, load_text_encoder
from magi_rt.errors import CheckpointError
from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.models.t5 import T5Config, T5Encoder
from magi_rt.models.text_encoder import T5TextEncoder
from magi_rt.models.tokenizer import read_tokenizer, token_ids
from magi_rt.planner.work import PUBLISHED_TEXT_BYTES
from tests.support import CAPTION_CHANNELS, write_tiny_t5

LINE = "a red ball and the blue box jump, gravity pulls left; it's snowing at night (softly)!"
ODD = ["zwölf Füchse", "\U0001f98a fox", "привет мир", "xyzzy-42", "a  b", "…", "ﬁne ½ ² ①"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_t5(tmp_path)
    return tmp_path


def read(folder: Path, max_length: int = 16) -> T5TextEncoder:
    return load_text_encoder(folder, max_length, CAPTION_CHANNELS)


def test_a_prompt_gives_one_row_per_token_and_one_for_its_end(folder: Path) -> None:
    rows = read(folder).encode("fox")
    assert rows.shape == (4, CAPTION_CHANNELS)
    assert rows.dtype == torch.float32
    assert not rows.requires_grad


def alone(script: str, folder: Path) -> str:
    """What a script says that a process of its own runs after the imports, given the folder."""
    head = "import sys; from pathlib import Path; from tests.models.test_text_encoder import read\n"
    command = [sys.executable, "-c", head + script, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_first_prompt_finds_everything_loaded(folder: Path) -> None:
    script = (
        "encoder = read(Path(sys.argv[1])); loaded = set(sys.modules)\n"
        "encoder.encode('a fox'); print(sorted(set(sys.modules) - loaded))"
    )
    assert alone(script, folder) == "[]"


def test_rows_are_those_of_the_padded_reference(folder: Path) -> None:
    encoder = read(folder)
    ids = token_ids(encoder.tokenizer, "fox", 16)
    padded = torch.tensor([ids + [0] * (16 - len(ids))])
    rows = encoder.model(padded, torch.arange(16)[None] < len(ids))
    torch.testing.assert_close(encoder.encode("fox"), rows[0, : len(ids)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 2, 9, 40, 300])
def test_rows_are_those_of_transformers(tmp_path: Path, tokens: int) -> None:
    from transformers import T5EncoderModel

    write_other_t5(tmp_path)
    reference: Any = T5EncoderModel.from_pretrained(tmp_path)
    files, ours = open_weights(tmp_path), T5Encoder(T5Config.from_file(tmp_path / "config.json"))
    ours.load_state_dict(load_file(files.files[0]))
    ids = torch.randint(99, (3, tokens), generator=torch.Generator().manual_seed(tokens))
    real = torch.arange(tokens) < torch.tensor([[tokens], [(tokens + 1) // 2], [1]])
    with torch.inference_mode():
        wanted = reference(input_ids=ids, attention_mask=real.long()).last_hidden_state
        torch.testing.assert_close(ours(ids, real)[real], wanted[real], rtol=0, atol=2e-5)
        alone = reference(input_ids=ids).last_hidden_state
        torch.testing.assert_close(ours(ids), alone, rtol=0, atol=2e-5)


def test_the_published_encoder_has_as_many_parameters_as_plans_count() -> None:
    with torch.device("meta"):
        published = T5Encoder(
            T5Config(32128, 4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=24)
        )
    held = sum(4 * parameter.numel() for parameter in published.parameters())
    assert held == PUBLISHED_TEXT_BYTES


def test_transformers_reads_what_is_written(folder: Path) -> None:
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = read(folder)
    reference: Any = T5EncoderModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["a red fox"], return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        rows = reference(**batch).last_hidden_state[0]
    torch.testing.assert_close(encoder.encode("a red fox"), rows, rtol=0, atol=2e-5)


def test_the_word_embeddings_are_found_under_either_name(folder: Path) -> None:
    expected = read(folder).encode("fox")
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.final_layer_norm.weight"] = torch.ones(4)
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert torch.equal(read(folder).encode("fox"), expected)
    del tensors["shared.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert torch.equal(read(folder).encode("fox"), expected)


def test_a_sentencepiece_model_cuts_words_as_transformers_does(folder: Path) -> None:
    from transformers import T5Tokenizer

    write_sentencepiece(folder)
    reference: Any = T5Tokenizer.from_pretrained(folder)
    (folder / "tokenizer.json").unlink(missing_ok=True)
    ours, dice = read_tokenizer(folder), random.Random(4)
    texts = [" ".join(dice.choices(LINE.split(), k=dice.randint(1, 30))) for _ in range(200)] + ODD
    for text in texts:
        cleaned = clean_prompt(text)
        assert token_ids(ours, cleaned, 800) == reference(cleaned)["input_ids"], text
        assert token_ids(ours, cleaned, 6)[-1] == reference.eos_token_id
    assert ours.vocabulary()["</s>"] == reference.eos_token_id


def write_sentencepiece(folder: Path) -> None:
    """A small tokenizer of the kind that T5 was published with, in place of the other one."""
    import sentencepiece

    dice = random.Random(3)
    lines = [" ".join(dice.choices(LINE.split(), k=12)) for _ in range(400)]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"),
        model_prefix=str(folder / "spiece"),
        model_type="unigram",
        vocab_size=45,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def write_other_t5(folder: Path) -> None:
    """A T5 of three layers that transformers made and wrote; its heads are wider than its rows."""
    from transformers import T5Config as Config
    from transformers import T5EncoderModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = Config(
            vocab_size=99, d_model=24, d_kv=12, d_ff=40, num_layers=3, num_heads=4,
            feed_forward_proj="gated-gelu",
        )  # fmt: skip
        T5EncoderModel(config).save_pretrained(folder)


def test_a_long_prompt_is_cut_and_still_ends(folder: Path) -> None:
    encoder = read(folder, max_length=8)
    text = "abcdefghijklmnop"
    assert encoder.encode(text).shape == (8, CAPTION_CHANNELS)
    kept = encoder.encode(text[:7])
    torch.testing.assert_close(encoder.encode(text), kept)


def test_text_is_cleaned_before_it_is_read(folder: Path) -> None:
    encoder = read(folder)
    assert torch.equal(encoder.encode("  A   <b>FOX</b> "), encoder.encode("a fox"))


@pytest.mark.parametrize("text", ["", "   ", "()", "中文"])
def test_text_of_which_nothing_is_left_has_no_rows(folder: Path, text: str) -> None:
    assert read(folder).encode(text).shape == (0, CAPTION_CHANNELS)


def test_emoji_are_read(folder: Path) -> None:
    assert read(folder).encode("\U0001f98a").shape[0] > 1


def test_another_width_is_refused_with_both_numbers(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"width 32, but the denoiser expects 64") as caught:
        load_text_encoder(folder, 16, 64)
    assert caught.value.field == "d_model"


def test_pickled_weights_are_refused(folder: Path) -> None:
    os.replace(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"\.bin.*save_pretrained"):
        read(folder)


def test_a_missing_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        read(folder)


def test_a_tokenizer_of_more_words_than_the_weights_have_is_refused(folder: Path) -> None:
    words = json.loads((folder / "tokenizer.json").read_text())
    words["model"]["vocab"]["fox"] = 259
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(CheckpointError, match=r"a token 259, but the weights have rows for 259"):
        read(folder)


def test_a_damaged_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer in .* cannot be read"):
        read(folder)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model_type": "t5"}'])
def test_a_missing_or_damaged_configuration_is_refused(folder: Path, content: str | None) -> None:
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json is not a readable T5 configuration"):
        read(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="model_type is 'bert'"):
        read(folder)


def test_weights_of_more_layers_than_the_configuration_says_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    again = {
        k.replace("block.0", "block.1"): v.clone() for k, v in tensors.items() if "block.0" in k
    }
    save_file(tensors | again, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="tensors this model does not have"):
        check_text_encoder(folder, CAPTION_CHANNELS)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("num_layers", 2, "lacks 9 tensors"),
        ("num_layers", 0, "num_layers of 0"),
        ("num_layers", 10**30, "at most 1000"),
        ("num_layers", "1", "num_layers of '1'"),
        ("d_kv", True, "d_kv of True"),
        ("layer_norm_epsilon", float("nan"), "layer_norm_epsilon of nan"),
        ("relative_attention_num_buckets", 31, "31 buckets"),
        ("relative_attention_max_distance", 8, "max_distance of 8"),
        ("feed_forward_proj", "relu", r"'relu'.*T5 v1\.1, with 'gated-gelu'"),
    ],
)
def test_a_configuration_of_other_sizes_is_refused_before_weights_are_read(
    folder: Path, key: str, value: object, words: str
) -> None:
    check_text_encoder(folder, CAPTION_CHANNELS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError, match=words):
        check_text_encoder(folder, CAPTION_CHANNELS)


def test_missing_tensors_are_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors: encoder\.final_layer_norm"):
        read(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.final_layer_norm.weight"] = torch.ones(8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"final_layer_norm.weight is \[8\], not \[32\]"):
        read(folder)


def test_half_precision_weights_are_read_as_float32(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    halves = {name: value.to(torch.bfloat16) for name, value in tensors.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    assert read(folder).encode("fox").dtype == torch.float32


def test_reading_imports_neither_transformers_nor_pytorchs_compiler(folder: Path) -> None:
    script = (
        "read(Path(sys.argv[1])).encode('a fox')\n"
        "print(sorted({'transformers', 'torch._dynamo', 'sentencepiece'} & set(sys.modules)))"
    )
    assert alone(script, folder) == "[]"
