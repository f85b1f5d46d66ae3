"""What a weight folder says it holds, read and checked without touching a single weight.

The format: 8 bytes little-endian header length, a JSON header (tensor name -> dtype, shape, byte
range), then the bytes. Everything a header claims is checked against the file before any reader
maps it, so a damaged or hostile file ends as a sentence, not as a crash.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magi_rt.errors import CheckpointError

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_JSON_BYTES = 64 * 2**20
"""Largest header or index that is read; the largest published one is below 1 MiB."""

DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """One entry of a header.

    Attributes:
        dtype: the format's word for the element type, for example "BF16".
        shape: sizes of the dimensions.
        begin, end: byte range behind the header.
        file: the file that holds it.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    file: Path

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightFiles:
    """The checked headers of all files of one network.

    Attributes:
        folder: where the files lie.
        files: the files, sorted by name.
        tensors: tensor name -> where and what it is.
    """

    folder: Path
    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors, headers not counted."""
        return sum(tensor.end - tensor.begin for tensor in self.tensors.values())

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.elements for tensor in self.tensors.values())


def open_weights(folder: str | Path, single_name: str = SINGLE_NAME) -> WeightFiles:
    """Finds the weight files of a folder and checks their headers; reads no weights.

    Args:
        folder: holds either an index with its shards or one file.
        single_name: name of that one file.

    Raises:
        CheckpointError: the folder, index or a file is absent, damaged or not readable safely.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"weight folder {folder} does not exist")
    index = folder / (single_name + ".index.json")
    if index.is_file():
        return _open_sharded(folder, _read_weight_map(index))
    single = folder / single_name
    shards = len(list(folder.glob(f"{single.stem}-*-of-*{single.suffix}")))
    if shards and not single.is_file():
        raise CheckpointError(
            f"{folder} holds {shards} shards but not {index.name}, which says what is in them; "
            "fetch it too"
        )
    _refuse_absent(single)
    return WeightFiles(folder, (single,), read_header(single))


def read_header(path: str | Path) -> dict[str, StoredTensor]:
    """Reads and checks one file's header.

    Raises:
        CheckpointError: the file is cut short, its header is no JSON, or it claims impossible
            types, shapes or byte ranges.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8:
                raise CheckpointError(f"{path} has only {size} bytes; it is no safetensors file")
            if length > MAX_JSON_BYTES:
                raise CheckpointError(
                    f"{path} claims a header of {length} bytes (at most {MAX_JSON_BYTES} are "
                    "read); it is no safetensors file or it is damaged"
                )
            if 8 + length > size:
                raise CheckpointError(
                    f"{path} is cut short: its header needs {8 + length} bytes, the file has "
                    f"{size}; fetch it again"
                )
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    tensors = {
        name: _read_entry(path, name, entry)
        for name, entry in _parse(path, raw).items()
        if name != "__metadata__"
    }
    _check_ranges(path, tensors, size - 8 - length)
    return tensors


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a name appears twice")
        return result

    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header of {path} is not readable JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"the header of {path} is JSON but not an object")
    return data


def _read_entry(path: Path, name: str, entry: Any) -> StoredTensor:
    def numbers(key: str) -> tuple[int, ...]:
        values = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(values, list) or any(type(v) is not int or v < 0 for v in values):
            raise CheckpointError(f"{path}: tensor {name} has no usable {key}", field=name)
        return tuple(values)

    shape, offsets = numbers("shape"), numbers("data_offsets")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise CheckpointError(f"{path}: tensor {name} has unknown dtype {dtype!r}", field=name)
    needed = math.prod(shape) * DTYPE_BYTES[dtype]
    if len(offsets) != 2 or offsets[1] - offsets[0] != needed:
        raise CheckpointError(
            f"{path}: tensor {name} {list(shape)} {dtype} needs {needed} bytes but claims the "
            f"byte range {list(offsets)}",
            field=name,
        )
    return StoredTensor(dtype, shape, offsets[0], offsets[1], path)


def _check_ranges(path: Path, tensors: dict[str, StoredTensor], available: int) -> None:
    """Byte ranges must follow each other without gap or overlap and fill the file exactly."""
    needed = max((tensor.end for tensor in tensors.values()), default=0)
    if needed > available:
        raise CheckpointError(
            f"{path} is cut short: its tensors need {needed} bytes behind the header, the file "
            f"has {available}; fetch it again"
        )
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            kind = "overlaps another" if tensor.begin < position else "leaves a gap before it"
            raise CheckpointError(f"{path}: the byte range of {name} {kind}", field=name)
        position = tensor.end
    if position != available:
        raise CheckpointError(
            f"{path} has {available - position} bytes that belong to no tensor; it is damaged"
        )


def _read_weight_map(index: Path) -> dict[str, str]:
    try:
        if index.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{index} is larger than {MAX_JSON_BYTES} bytes; it is no index")
        raw = index.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {index}: {error.strerror}") from error
    weight_map = _parse(index, raw).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map of tensor names to files")
    for name, file in weight_map.items():
        plain = isinstance(file, str) and Path(file).name == file and "\\" not in file
        if not plain or file in ("", ".", "..") or not file.endswith(".safetensors"):
            raise CheckpointError(
                f"{index} puts {name} into {file!r}; only safetensors files of the same folder "
                "are read",
                field=name,
            )
    return weight_map


def _open_sharded(folder: Path, weight_map: dict[str, str]) -> WeightFiles:
    files = tuple(folder / name for name in sorted(set(weight_map.values())))
    for file in files:
        _refuse_absent(file)
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for name, tensor in read_header(file).items():
            if weight_map.get(name) != file.name:
                home = weight_map.get(name, "no file at all")
                raise CheckpointError(
                    f"{file} holds tensor {name}, which the index puts into {home}", field=name
                )
            tensors[name] = tensor
    absent = [name for name in weight_map if name not in tensors]
    if absent:
        raise CheckpointError(
            f"the index of {folder} names {len(absent)} tensors its files do not hold: "
            f"{name_some(absent)}",
            field=absent[0],
        )
    return WeightFiles(folder, files, tensors)


def _refuse_absent(file: Path) -> None:
    """Raises with the most helpful reason when a weight file is not there."""
    if file.is_file():
        return
    packed = file.with_name(file.name + ".zst")
    if packed.is_file():
        raise CheckpointError(
            f"{packed} is compressed; unpack it first, for example with: zstd -d {packed.name}"
        )
    pickles = sorted(f.name for f in file.parent.glob("*") if f.suffix in PICKLE_SUFFIXES)
    whole = len(list(file.parent.glob("*.safetensors")))
    if pickles and not whole:
        raise CheckpointError(
            f"{file.parent} holds only pickle files ({name_some(pickles)}); loading a pickle can "
            f"run any code, so only safetensors is read: convert them to {file.name} first"
        )
    beside = f"; {whole} other safetensors files are there: fetch this one again" if whole else ""
    raise CheckpointError(f"weight file {file} does not exist{beside}")


def name_some(names: list[str], limit: int = 4) -> str:
    """The first few names of a list, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
