"""A training run as one safetensors file: weights, their average, optimisers, a JSON card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from magi_rt.errors import CheckpointError, OptionError

FORMAT = 1
BEGUN = "begun"
"""Key of a card: what the first weights were. They follow from most other settings, too."""


@dataclass
class RunState:
    """What changes during a run besides the module and its optimisers.

    Attributes:
        step: optimiser steps done.
        elapsed_s: seconds of training, all sittings together.
        averaged: moving average of every parameter, by name.
    """

    step: int
    elapsed_s: float
    averaged: dict[str, Tensor]


def save_run(
    path: Path,
    module: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    state: RunState,
    card: Mapping[str, Any],
) -> None:
    """Writes a checkpoint whole or not at all."""
    tensors = {f"model.{name}": p.detach() for name, p in module.named_parameters()}
    tensors |= {f"averaged.{name}": value for name, value in state.averaged.items()}
    for place, optimiser in enumerate(optimisers):
        for index, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{place}.{index}.{key}": v for key, v in values.items()}
    whole = {
        "format": FORMAT,
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "run": dict(card),
    }
    write_tensors(path, tensors, _metadata(whole), path.with_suffix(".tmp"))


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], words: dict[str, str], temporary: Path
) -> None:
    """A safetensors file, whole or not at all, under a temporary name first.

    Raises:
        CheckpointError: the disk is full or refuses; what was there before is there still.
    """
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, words)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise CheckpointError(
            f"{path} could not be written ({error}); free some space, and the same command goes "
            "on from what was saved before"
        ) from error


def load_run(
    path: Path,
    module: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    state: RunState,
    card: Mapping[str, Any],
) -> None:
    """Puts a checkpoint into the module, the optimisers and the state.

    Raises:
        CheckpointError: the file is damaged or holds another module.
        OptionError: it belongs to a run with other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            whole = json.loads((file.metadata() or {})["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is no checkpoint of a run: {error}") from error
    if whole.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {whole.get('format')}; this reads {FORMAT}")
    _check_card(path, whole["run"], json.loads(json.dumps(dict(card))))
    _put_back(path, module, optimisers, state, tensors)
    state.step, state.elapsed_s = int(whole["step"]), float(whole["elapsed_s"])


def _check_card(path: Path, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise OptionError where settings differ; named by what a person set, if any of it does."""
    differ = [key for key in sorted(wanted.keys() | known) if wanted.get(key) != known.get(key)]
    for key in differ:
        if key != BEGUN:
            raise OptionError(
                f"{path} was trained with {key}={known.get(key)!r}, not {wanted.get(key)!r}; "
                "use the same settings or another folder",
                field=key,
            )
    if differ:
        raise OptionError(
            f"{path} began with other weights than these; use the same start or another folder",
            field="start",
        )


def _put_back(
    path: Path,
    module: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    state: RunState,
    tensors: Mapping[str, Tensor],
) -> None:
    try:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
                state.averaged[name].copy_(tensors[f"averaged.{name}"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit this module: {error}") from error
    found: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for name, value in tensors.items():
        kind, *where = name.split(".")
        if kind == "optimiser":
            place, index, key = where
            found[int(place)].setdefault(int(index), {})[key] = value
    for optimiser, values in zip(optimisers, found, strict=True):
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": values, "param_groups": groups})


def _metadata(card: Mapping[str, Any]) -> dict[str, str]:
    return {"card": json.dumps(card)}
