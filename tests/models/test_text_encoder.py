"""The text encoder read from a folder: tokens, cuts, and refusals with a way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from magi_rt.errors import CheckpointError
from magi_rt.models.text_encoder import T5TextEncoder, check_layers
from tests.support import CAPTION_CHANNELS, write_tiny_t5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_t5(tmp_path)
    return tmp_path


def read(folder: Path, max_length: int = 16) -> T5TextEncoder:
    return T5TextEncoder.from_folder(folder, max_length, CAPTION_CHANNELS)


def test_a_prompt_gives_one_row_per_token_and_one_for_its_end(folder: Path) -> None:
    rows = read(folder).encode("fox")
    assert rows.shape == (4, CAPTION_CHANNELS)
    assert rows.dtype == torch.float32
    assert not rows.requires_grad


def test_the_first_prompt_finds_everything_loaded(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.models.test_text_encoder import read\n"
        "encoder = read(Path(sys.argv[1])); loaded = set(sys.modules)\n"
        "encoder.encode('a fox'); print(sorted(set(sys.modules) - loaded))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_are_those_of_the_padded_reference(folder: Path) -> None:
    encoder = read(folder)
    batch = encoder.tokenizer(["fox"], padding="max_length", max_length=16, return_tensors="pt")
    padded = encoder.model(**batch).last_hidden_state[0, :4]
    torch.testing.assert_close(encoder.encode("fox"), padded, rtol=0, atol=1e-5)


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
        T5TextEncoder.from_folder(folder, 16, 64)
    assert caught.value.field == "d_model"


def test_pickled_weights_are_refused(folder: Path) -> None:
    os.replace(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"\.bin.*save_pretrained"):
        read(folder)


def test_a_missing_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
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
    with pytest.raises(CheckpointError, match="'bert'"):
        read(folder)


def test_weights_of_more_layers_than_the_configuration_says_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    again = {
        k.replace("block.0", "block.1"): v.clone() for k, v in tensors.items() if "block.0" in k
    }
    save_file(tensors | again, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="2 layers and a configuration of 1"):
        read(folder)


@pytest.mark.parametrize("layers", [0, 2, 10**30, "1"])
def test_a_configuration_of_other_layers_is_refused_before_weights_are_read(
    folder: Path, layers: object
) -> None:
    names = load_file(folder / "model.safetensors")
    check_layers(folder, names)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_layers": layers}))
    with pytest.raises(CheckpointError, match="1 layers and a configuration of"):
        check_layers(folder, names)


@pytest.mark.parametrize("rate", [float("nan"), -0.1, "0"])
def test_a_rate_of_dropout_that_is_none_is_refused(folder: Path, rate: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dropout_rate": rate}))
    with pytest.raises(CheckpointError, match=r"dropout_rate of .* must be from 0 to 1"):
        read(folder)


def test_missing_tensors_are_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors, encoder\.final_layer_norm"):
        read(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.final_layer_norm.weight"] = torch.ones(8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(folder)


def test_half_precision_weights_are_read_as_float32(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    halves = {name: value.to(torch.bfloat16) for name, value in tensors.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    assert read(folder).encode("fox").dtype == torch.float32


def test_reading_leaves_the_log_settings_alone_and_prints_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    read(folder)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
