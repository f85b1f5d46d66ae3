"""Reading golden cases: ``<case>.json`` manifests beside ``<case>.safetensors`` tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from magi_rt.config import EngineConfig, ModelConfig, RuntimeConfig
from magi_rt.errors import CheckpointError


@dataclass(frozen=True)
class Check:
    """One comparison of a case: its error, the bound, and what was compared."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # false for NaN


@dataclass(frozen=True)
class GoldenCase:
    """A manifest with its tensors read on first use.

    weights: the case that holds the weights, if the case needs any.
    listed: names and shapes of the tensors that the manifest promises.
    """

    folder: Path
    name: str
    weights: str | None
    meta: dict[str, Any]
    listed: dict[str, tuple[int, ...]]

    @classmethod
    def read(cls, path: Path) -> GoldenCase:
        """Raises CheckpointError when the manifest is not a golden manifest."""
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            listed = manifest.get("tensors", {}).items()
            return cls(
                path.parent,
                str(manifest["case"]),
                manifest.get("weights"),
                dict(manifest["meta"]),
                {name: tuple(entry["shape"]) for name, entry in listed},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path.name} is not a golden manifest: {error!r}", field=path.name
            ) from error

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the case as stored; empty for cases without a tensor file.

        Raises:
            CheckpointError: the file cannot be read or lacks what the manifest lists.
        """
        path = self.folder / f"{self.name}.safetensors"
        if not self.listed and not path.exists():
            return {}
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path.name} cannot be read: {error}", field=path.name
            ) from error
        for name, shape in self.listed.items():
            if name not in tensors:
                raise CheckpointError(f"{path.name} lacks the tensor {name!r}", field=name)
            if tuple(tensors[name].shape) != shape:
                raise CheckpointError(
                    f"{name!r} in {path.name} has shape {list(tensors[name].shape)}, but the "
                    f"manifest says {list(shape)}",
                    field=name,
                )
        return tensors

    def weight_case(self) -> GoldenCase:
        """The case that holds this case's weights."""
        if self.weights is None:
            raise CheckpointError(f"case {self.name} names no weights", field="weights")
        path = self.folder / f"{self.weights}.json"
        if not path.exists():
            raise CheckpointError(
                f"case {self.name} needs the weights {self.weights!r}, which are not in "
                f"{self.folder.name}/; put {path.name} and its tensors there",
                field="weights",
            )
        return GoldenCase.read(path)

    @property
    def model(self) -> ModelConfig:
        """The model's sizes; small cases leave the working dtype out, which means float32."""
        values = {"params_dtype": "torch.float32", **self._section("model_config")}
        return ModelConfig.from_dict(values)

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig.from_dict(self._section("engine_config"))

    @property
    def runtime(self) -> RuntimeConfig:
        return RuntimeConfig.from_dict(self.meta["runtime_config"])

    def _section(self, key: str) -> dict[str, Any]:
        """A config section of this case, or of its weights when the case does not repeat it."""
        holder = self if key in self.meta or self.weights is None else self.weight_case()
        section: dict[str, Any] = holder.meta[key]
        return section


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """max |a - b| / max |b|, infinite when the shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = expected.double().abs().max().clamp_min(1e-30)
    return float((actual.double() - expected.double()).abs().max() / scale)


def absolute_error(actual: Tensor, expected: Tensor) -> float:
    """max |a - b|, infinite when the shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    if not actual.numel():
        return 0.0
    return float((actual.double() - expected.double()).abs().max())


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    """||a - b|| / ||b||."""
    if actual.shape != expected.shape:
        return float("inf")
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


def packed(rows: Tensor, mask: Tensor) -> Tensor:
    """The caption rows whose mask is set: [..., L, C] and [..., L] -> [tokens, C]."""
    return rows.reshape(-1, rows.shape[-1])[mask.reshape(-1) > 0]
