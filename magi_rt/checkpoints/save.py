"""Writing a model folder in the published layout.

Everything is written beside its final place and moved there at the end, so that a folder that is
there is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from magi_rt.checkpoints.expected import Role, expected_tensors
from magi_rt.checkpoints.headers import INDEX_NAME, SINGLE_NAME, name_some
from magi_rt.checkpoints.layout import (
    ACTIONS,
    CONFIG_NAME,
    T5_FOLDER,
    VAE_WEIGHTS,
    denoiser_folder_name,
)
from magi_rt.checkpoints.load import run_time_dtypes
from magi_rt.checkpoints.trained_on import TRAINED_ON
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError

SHARD_BYTES = 5 * 10**9
"""Largest shard unless one tensor alone is larger."""

PARTS = (CONFIG_NAME, "inference_weight", "vae", "t5", TRAINED_ON)
"""How the names begin of what a model folder is made of."""


def save_model(
    folder: str | Path,
    config: MagiConfig,
    *,
    denoiser: Mapping[str, Tensor],
    vae_config: Mapping[str, Any] | None = None,
    vae: Mapping[str, Tensor] | None = None,
    write_text_encoder: Callable[[Path], None] | None = None,
    matrix_dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
    data: str | None = None,
    actions: Path | None = None,
) -> Path:
    """Writes a whole model folder, all or nothing.

    Args:
        config: written as config.json, its paths set to the standard places.
        denoiser: state dict under the published names.
        vae_config, vae: the auto-encoder's config.json and state dict, stored as given.
        write_text_encoder: writes encoder and tokenizer into the (existing, empty) folder it gets.
        matrix_dtype: stores the denoiser's working-precision tensors in this dtype, for example
            bfloat16 to halve the file.
        overwrite: replace a folder that is already there; what lies in it besides a model, such as
            an action map or a README, is taken along.
        data: what the model was trained on, told in a file of its own.
        actions: a folder whose action map, if it has one, is copied where none is taken along.

    Raises:
        CheckpointError: the folder is there already, the denoiser's tensors do not fit the
            configuration, or the disk refuses.
    """
    if (vae is None) != (vae_config is None):
        raise CheckpointError("vae and vae_config belong together; give both", field="vae_config")
    weights = _denoiser_tensors(config, denoiser, matrix_dtype)
    with replacing(Path(folder), overwrite, PARTS) as new:
        write_config(new / CONFIG_NAME, config)
        write_weights(new / denoiser_folder_name(config.engine), weights, shard_bytes=shard_bytes)
        if vae is not None and vae_config is not None:
            write_weights(new / "vae", vae, single_name=VAE_WEIGHTS, shard_bytes=shard_bytes)
            write_json(new / "vae" / "config.json", vae_config)
        if write_text_encoder is not None:
            write_text_encoder(_made(new / "t5" / T5_FOLDER))
            for words in (new / "t5" / T5_FOLDER).glob("*.safetensors"):
                words.chmod((new / CONFIG_NAME).stat().st_mode)
        if data is not None:
            write_json(new / TRAINED_ON, {"data": data})
        if actions is not None and (actions / ACTIONS).is_file():
            shutil.copyfile(actions / ACTIONS, new / ACTIONS)
    return Path(folder)


def write_config(path: Path, config: MagiConfig) -> None:
    """Writes a configuration with its paths set to the standard places of a model folder."""
    runtime = replace(config.runtime, load=".", t5_pretrained="t5", vae_pretrained="vae")
    write_json(path, replace(config, runtime=runtime).to_dict())


def write_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    single_name: str = SINGLE_NAME,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes one file, or shards with an index when the tensors exceed `shard_bytes`."""
    _made(folder)
    shards = _shards(tensors, shard_bytes)
    if len(shards) == 1:
        _save(shards[0], folder / single_name)
        return
    stem = single_name.removesuffix(".safetensors")
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        _save(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / INDEX_NAME.replace(SINGLE_NAME, single_name), index)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes one file that may be read by whoever may read new files; safetensors lets its owner
    alone, whoever calls it."""
    path.touch()
    rights = path.stat().st_mode
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(rights)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes a JSON object, indented, ending in a line break."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _made(folder: Path) -> Path:
    """The folder, which now exists."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _denoiser_tensors(
    config: MagiConfig, tensors: Mapping[str, Tensor], matrix_dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """The denoiser's tensors in the dtypes they are stored in, checked against the config."""
    expected, dtypes = expected_tensors(config), run_time_dtypes(config)
    wrong = [name for name in expected if name not in tensors]
    wrong += [name for name in tensors if name not in expected]
    wrong += [
        name
        for name, tensor in tensors.items()
        if name in expected and tuple(tensor.shape) != expected[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} tensors do not fit the configuration: {name_some(wrong)}",
            field=wrong[0],
        )
    if matrix_dtype is not None:
        dtypes |= {n: matrix_dtype for n, tensor in expected.items() if tensor.role is Role.PARAMS}
    return {name: tensors[name].detach().to(dtypes[name]) for name in expected}


def _shards(tensors: Mapping[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    """Tensors in their order, cut before a shard would grow beyond the limit."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach().cpu().contiguous()
        size += tensor.nbytes
    return shards


@contextmanager
def replacing(folder: Path, overwrite: bool, parts: tuple[str, ...]) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends well.

    What the old one holds is copied into it, but for names that begin with one of ``parts``: those
    are what the block writes anew.

    Raises:
        CheckpointError: the folder is there already, or the disk refuses.
    """
    if folder.exists() and not overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} is already there; choose another place", field="folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = folder.parent / f".{folder.name}-{os.urandom(8).hex()}"
        new.mkdir()  # with the rights of any new folder
    except OSError as error:
        raise CheckpointError(f"cannot write beside {folder}: {error.strerror}") from error
    old = new.with_name(new.name + "-old")
    try:
        yield new
        if folder.is_dir():
            _take_along(folder, new, parts)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {folder}: {error}") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
        if old.is_symlink() or old.is_file():
            old.unlink()
        shutil.rmtree(old, ignore_errors=True)


def _take_along(folder: Path, new: Path, parts: tuple[str, ...]) -> None:
    for found in folder.iterdir():
        if found.name.startswith(parts):
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.copytree(found, new / found.name, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(found, new / found.name, follow_symlinks=False)
