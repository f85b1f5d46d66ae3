"""Weights from safetensors files into a network that was built without memory.

The headers of all files are checked against what the network needs before any weight is read.
Weights are memory mapped and assigned: what needs no cast and stays on the CPU is never copied.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from magi_rt.checkpoints.expected import Role, expected_tensors
from magi_rt.checkpoints.headers import StoredTensor, WeightFiles, name_some
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError
from magi_rt.free_memory import limit_on

logger = logging.getLogger(__name__)

FLOATS = ("F32", "BF16", "F16")
"""Stored types that may be cast to the run-time type."""

STORED_AS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3"}
"""The stored type of which a run-time type needs no cast."""

Seen = Callable[[str, Tensor], None]
"""Takes the name and the tensor of a file that is being read."""

PARAMS_DTYPES = {"torch.bfloat16": torch.bfloat16, "torch.float32": torch.float32}


def run_time_dtypes(config: MagiConfig) -> dict[str, torch.dtype]:
    """The dtype in which each tensor of the denoiser is held at run time."""
    dtypes = {
        Role.FLOAT32: torch.float32,
        Role.SCALE: torch.float32,
        Role.FP8: torch.float8_e4m3fn,
        Role.PARAMS: PARAMS_DTYPES[config.model.params_dtype],
    }
    return {name: dtypes[tensor.role] for name, tensor in expected_tensors(config).items()}


def check_tensors(
    files: WeightFiles,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Compares headers with what a network needs; reads no weights.

    Published files are loaded non-strictly (contract 2). Here a tensor that would be another of the
    network's own, such as of a layer too many, is refused: it is a sign of other weights. Any other
    one is left out, and a warning says so.

    Args:
        shapes: every tensor the network needs, by name.
        dtypes: the run-time dtype of each; a float8 tensor must be stored as such, any other as
            one of `FLOATS`.
        ignored: prefixes of names that may be in the files without being needed.

    Raises:
        CheckpointError: tensors are missing, left over, misshapen or of the wrong kind; `field`
            names the first.
    """
    stored = files.tensors
    extra = [n for n in stored if n not in shapes and not n.startswith(ignored)]
    kin = {_pattern(name) for name in shapes}
    foreign = [name for name in extra if _pattern(name) not in kin]
    extra = [name for name in extra if _pattern(name) in kin]
    wrong = [n for n, shape in shapes.items() if n in stored and stored[n].shape != tuple(shape)]
    kinds = [n for n in shapes if n in stored and stored[n].dtype not in _allowed(dtypes[n])]
    _refuse(files, "lacks", "tensors", [n for n in shapes if n not in stored])
    _refuse(files, "holds", "tensors this model does not have", extra)
    if foreign:
        logger.warning(
            "%s holds %d tensors that this package has no use for: %s; they are left out",
            files.folder, len(foreign), name_some(foreign),
        )  # fmt: skip
    _refuse(
        files, "holds", "tensors of another shape", wrong,
        [f"{n} is {_size(stored[n].shape)}, not {_size(shapes[n])}" for n in wrong],
    )  # fmt: skip
    _refuse(
        files, "holds", "tensors of another type", kinds,
        [f"{n} is {stored[n].dtype}, not {' or '.join(_allowed(dtypes[n]))}" for n in kinds],
    )  # fmt: skip


def load_into(
    module: nn.Module,
    files: WeightFiles,
    dtypes: Mapping[str, torch.dtype],
    *,
    device: torch.device | str = "cpu",
    ignored: tuple[str, ...] = (),
    tied: Mapping[str, str] | None = None,
    seen: Seen | None = None,
) -> None:
    """Fills a module (built on the meta device) with weights.

    Args:
        module: its state dict names the tensors that are needed, and their shapes.
        files: from `open_weights`.
        dtypes: the run-time dtype of each tensor.
        device: where the weights go.
        ignored: prefixes of stored names that the module does not need.
        tied: names of the module that may be absent in the files -> the stored name they share.
        seen: told of every tensor as it is stored, before it is cast.

    Raises:
        CheckpointError: see `check_tensors`; the module is unchanged then.
        MemoryError: the weights take more than is free there; none was read then.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    sources = {name: _source(name, files.tensors, tied or {}) for name in shapes}
    needed = {source: shapes[name] for name, source in sources.items()}
    wanted = {source: dtypes[name] for name, source in sources.items()}
    check_tensors(files, needed, wanted, ignored=ignored)
    _check_room(files, needed, wanted, torch.device(device))
    weights = _read(files, needed, wanted, torch.device(device), seen)
    module.load_state_dict(
        {name: weights[source] for name, source in sources.items()}, strict=True, assign=True
    )


def _pattern(name: str) -> str:
    """A name with its numbers left open."""
    return re.sub(r"\d+", "#", name)


def _allowed(dtype: torch.dtype) -> tuple[str, ...]:
    return ("F8_E4M3",) if dtype == torch.float8_e4m3fn else FLOATS


def _size(shape: Iterable[int]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"


def _refuse(
    files: WeightFiles, verb: str, what: str, names: list[str], said: list[str] | None = None
) -> None:
    if names:
        raise CheckpointError(
            f"{files.folder} {verb} {len(names)} {what}: {name_some(said or names)}; "
            "are these the weights of this configuration?",
            field=names[0],
        )


def _source(name: str, stored: Mapping[str, StoredTensor], tied: Mapping[str, str]) -> str:
    """The stored name for a name of the module."""
    return tied[name] if name not in stored and name in tied else name


def _check_room(
    files: WeightFiles,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
    device: torch.device,
) -> None:
    """Refuses what does not fit before minutes of reading; mapped weights take nothing."""
    limit = limit_on(device)
    copied = [
        name
        for name, dtype in dtypes.items()
        if device.type != "cpu" or files.tensors[name].dtype != STORED_AS[dtype]
    ]
    taken = sum(math.prod(shapes[name]) * dtypes[name].itemsize for name in copied)
    if limit is not None and taken > limit:
        raise MemoryError(
            f"{files.folder} takes {taken / 2**30:.1f} GiB on {device}, where "
            f"{limit / 2**30:.1f} GiB are free"
        )


def _read(
    files: WeightFiles,
    names: Iterable[str],
    dtypes: Mapping[str, torch.dtype],
    device: torch.device,
    seen: Seen | None,
) -> dict[str, Tensor]:
    """Reads the named tensors; each file is mapped once."""
    weights: dict[str, Tensor] = {}
    wanted = set(names)
    for path in files.files:
        held = [n for n, tensor in files.tensors.items() if tensor.file == path and n in wanted]
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                for name in held:
                    stored = file.get_tensor(name)
                    if seen is not None:
                        seen(name, stored)
                    weights[name] = stored.to(device, dtypes[name])
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot read {path}: {error}") from error
    return weights
