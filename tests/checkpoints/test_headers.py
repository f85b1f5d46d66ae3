"""Damaged and hostile weight files end as a sentence before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from magi_rt.checkpoints.headers import open_weights, read_header
from magi_rt.checkpoints.save import write_weights
from magi_rt.errors import CheckpointError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


def raw_file(path: Path, header: Any, payload: bytes = b"", length: int | None = None) -> Path:
    """A file in the format with a header of our choice."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + payload)
    return path


def entry(begin: int, end: int, shape: list[int] | None = None, dtype: str = "U8") -> Any:
    return {"dtype": dtype, "shape": shape or [end - begin], "data_offsets": [begin, end]}


def refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    return caught.value


def test_a_sound_file_is_described(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    files = open_weights(tmp_path)
    assert {name: (t.dtype, t.shape) for name, t in files.tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("BF16", (4,)),
    }
    assert (files.parameters, files.total_bytes) == (10, 32)


@pytest.mark.parametrize("kept", [0, 5, 8, 20, -1])
def test_a_file_cut_short_anywhere_is_refused(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "cut short" in refusal(path).message or "only" in refusal(path).message


def test_bytes_that_belong_to_no_tensor_are_refused(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "x.safetensors", {"a": entry(0, 4)}, b"12345")
    assert "belong to no tensor" in refusal(path).message


def test_an_oversized_header_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "x.safetensors", b"{}", length=2**62)
    assert "header of" in refusal(path).message


@pytest.mark.parametrize(
    "text", [b"{", b"\xff\xfe", b"[]", b'{"a": 1, "a": 2}', b"[" * 100_000, b"null"]
)
def test_a_header_that_is_no_json_object_is_refused(text: bytes, tmp_path: Path) -> None:
    assert "header" in refusal(raw_file(tmp_path / "x.safetensors", text)).message


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        {"dtype": "U8", "shape": [4]},
        {"dtype": "Q4", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": ["U8"], "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "U8", "shape": [-4], "data_offsets": [0, 4]},
        {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": "4", "data_offsets": [0, 4]},
        {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]},
        {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 8]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 4]},
    ],
)
def test_an_impossible_entry_is_refused_by_name(bad: Any, tmp_path: Path) -> None:
    error = refusal(raw_file(tmp_path / "x.safetensors", {"first.weight": bad}, b"1234"))
    assert error.field == "first.weight"


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({"a": entry(0, 4), "b": entry(2, 6)}, "overlaps"),
        ({"a": entry(0, 2), "b": entry(4, 6)}, "gap"),
        ({"a": entry(0, 4), "b": entry(4, 4_000_000_000)}, "cut short"),
    ],
)
def test_byte_ranges_must_tile_the_file(header: Any, word: str, tmp_path: Path) -> None:
    assert word in refusal(raw_file(tmp_path / "x.safetensors", header, b"123456")).message


def sharded(folder: Path) -> Path:
    write_weights(folder, TENSORS, shard_bytes=24)
    return folder / "model.safetensors.index.json"


def edit_index(index: Path, **weight_map: Any) -> None:
    data = json.loads(index.read_text(encoding="utf-8"))
    data["weight_map"] |= weight_map
    index.write_text(json.dumps(data), encoding="utf-8")


def folder_refusal(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_weights(folder)
    return caught.value


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    files = open_weights(tmp_path)
    assert [file.name for file in files.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert set(files.tensors) == {"a", "b"}


@pytest.mark.parametrize(
    "target",
    ["../secret.safetensors", "/etc/x.safetensors", "..\\x.safetensors", "sub/x.safetensors",
     "..", "", "weights.bin", 7, None],
)  # fmt: skip
def test_an_index_cannot_point_outside_its_folder(target: Any, tmp_path: Path) -> None:
    edit_index(sharded(tmp_path), a=target)
    error = folder_refusal(tmp_path)
    assert error.field == "a"
    assert "same folder" in error.message


def test_an_absent_shard_is_named(tmp_path: Path) -> None:
    edit_index(sharded(tmp_path), a="model-00009-of-00009.safetensors")
    assert "model-00009-of-00009.safetensors does not exist" in folder_refusal(tmp_path).message


def test_shards_without_their_index_are_told_from_an_absent_file(tmp_path: Path) -> None:
    sharded(tmp_path).unlink()
    told = "holds 2 shards but not model.safetensors.index.json"
    assert told in folder_refusal(tmp_path).message


def test_index_and_shards_must_agree(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    edit_index(index, ghost="model-00001-of-00002.safetensors")
    assert folder_refusal(tmp_path).field == "ghost"
    edit_index(index, a="model-00002-of-00002.safetensors")
    assert folder_refusal(tmp_path).field == "a"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_a_broken_index_is_refused(text: str, tmp_path: Path) -> None:
    sharded(tmp_path).write_text(text, encoding="utf-8")
    assert "index" in folder_refusal(tmp_path).message


def test_pickles_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    message = folder_refusal(tmp_path).message
    assert "pytorch_model.bin" in message
    assert "only safetensors" in message


def test_a_compressed_file_says_how_to_unpack_it(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.zst").write_bytes(b"")
    assert "zstd -d model.safetensors.zst" in folder_refusal(tmp_path).message


def test_an_empty_or_absent_folder_is_named(tmp_path: Path) -> None:
    assert "model.safetensors does not exist" in folder_refusal(tmp_path).message
    assert "does not exist" in folder_refusal(tmp_path / "none").message
