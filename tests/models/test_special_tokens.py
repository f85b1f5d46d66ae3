"""Special tokens: the published rows and masks exactly, and refusals of unusable files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from magi_rt.errors import CheckpointError, OptionError
from magi_rt.models.special_tokens import (
    SPECIAL_ROWS,
    SpecialTokens,
    caption_rows_for_chunk,
    chunks_remaining,
    conditioning,
    token_names,
)
from magi_rt.verify.goldens import GoldenCase

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
CASES = (
    "prompt_all_flags",
    "prompt_default_hq_duration",
    "prompt_empty_mask",
    "prompt_full_length_crop",
    "prompt_i2v",
    "prompt_long_duration",
    "prompt_negative",
    "prompt_no_tokens",
    "prompt_prefix",
)


def golden(name: str) -> GoldenCase:
    return GoldenCase.read(GOLDENS / f"{name}.json")


@pytest.fixture(scope="module")
def tokens() -> SpecialTokens:
    arrays = {name: t.numpy() for name, t in golden("prompt_special_tokens").tensors.items()}
    return SpecialTokens.from_arrays(arrays, 32)


def arrays(channels: int = 8, **changed: Any) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    made = {name: chance.normal(size=(rows, channels)) for name, rows in SPECIAL_ROWS.items()}
    return made | changed


@pytest.mark.parametrize("name", CASES)
def test_rows_and_masks_are_the_published_ones(name: str, tokens: SpecialTokens) -> None:
    case = golden(name)
    null = case.weight_case().tensors["y_embedder.null_caption_embedding"]
    y, mask = conditioning(
        case.tensors["caption"][0, 0],
        case.tensors["caption_mask"][0],
        null,
        tokens=tokens,
        flags=case.meta["flags"],
        chunks=case.meta["chunk_num"],
        clean_chunks=case.meta["clean_chunk_num"],
    )
    assert torch.equal(y, case.tensors["y"])
    assert torch.equal(mask, case.tensors["y_mask"])


@pytest.mark.parametrize("name", [name for name in CASES if name != "prompt_empty_mask"])
def test_a_chunk_reads_the_rows_whose_mask_is_set(name: str, tokens: SpecialTokens) -> None:
    case = golden(name)
    clean = case.meta["clean_chunk_num"]
    total = case.meta["chunk_num"] - clean
    caption, real = case.tensors["caption"][0, 0], case.tensors["caption_mask"][0]
    spoken: list[tuple[Tensor, Tensor | None]] = [(caption, real), (caption[real == 1], None)]
    for chunk in range(total):
        row, mask = (case.tensors[key][0, clean + chunk] for key in ("y", "y_mask"))
        for given, given_mask in spoken:
            packed = caption_rows_for_chunk(
                given, given_mask, tokens=tokens, flags=case.meta["flags"], chunk=chunk,
                total=total, max_length=len(caption),
            )  # fmt: skip
            assert torch.equal(packed, row[mask == 1])


def test_token_names_follow_the_published_order_whatever_is_given_first() -> None:
    assert token_names(["PAD_DURATION", "PAD_HQ"]) == ("HQ_TOKEN", "DURATION_TOKEN")
    assert token_names(golden("prompt_all_flags").meta["flags"]) == tuple(
        golden("prompt_all_flags").meta["special_token_keys"]
    )


def test_an_unknown_switch_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"'PAD_MAGIC' is unknown; use PAD_STATIC"):
        token_names(["PAD_MAGIC"])


def test_an_endless_stream_always_has_eight_chunks_left() -> None:
    assert {chunks_remaining(chunk, None) for chunk in (0, 7, 1000)} == {8}
    assert [chunks_remaining(chunk, 10) for chunk in range(10)] == [8, 8, 8, 7, 6, 5, 4, 3, 2, 1]


def test_without_special_tokens_only_the_prompt_is_read() -> None:
    rows = torch.randn(5, 8)
    assert torch.equal(caption_rows_for_chunk(rows, tokens=None), rows)
    assert torch.equal(caption_rows_for_chunk(rows, tokens=None, max_length=3), rows[:3])


def test_a_file_is_read_and_rounded_to_float16(tmp_path: Path) -> None:
    path, made = tmp_path / "special_tokens.npz", arrays()
    np.savez(path, **made)
    read = SpecialTokens.read(path, 8)
    expected = torch.from_numpy(made["other_tokens"].astype(np.float16).astype(np.float32))
    assert torch.equal(read.other, expected)
    assert torch.equal(read.row("DURATION_TOKEN", 3), expected[9])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"logo_token": np.zeros((2, 8))}, r"'logo_token' has shape \[2, 8\].*\[1, 8\]"),
        ({"logo_token": np.zeros(8)}, r"has shape \[8\]"),
        ({"other_tokens": np.zeros((100, 4))}, r"has shape \[100, 4\].*\[100, 8\]"),
        ({"other_tokens": np.zeros((100, 8), int)}, "holds int64"),
        ({"caption_token": np.full((1, 8), np.nan)}, "NaN"),
        ({"caption_token": np.full((1, 8), 1e9)}, "beyond float16"),
    ],
)
def test_an_unusable_array_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        SpecialTokens.from_arrays(arrays(**changed))


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path, made = tmp_path / "special_tokens.npz", arrays()
    del made["logo_token"]
    np.savez(path, **made)
    with pytest.raises(CheckpointError, match="lack the array 'logo_token'") as caught:
        SpecialTokens.read(path)
    assert caught.value.field == "logo_token"


def test_another_width_than_the_models_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"\[1, 16\]"):
        SpecialTokens.from_arrays(arrays(), channels=16)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "special_tokens.npz"
    np.savez(path, **arrays(caption_token=np.array([[{"a": 1}]], dtype=object)))
    with pytest.raises(CheckpointError, match="not a readable special token file"):
        SpecialTokens.read(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "special_tokens.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable special token file"):
        SpecialTokens.read(path)


def test_a_single_array_file_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("one.npy", "absent.npz"):
        with pytest.raises(CheckpointError, match="not a readable special token file"):
            SpecialTokens.read(tmp_path / name)
