"""Which model a world, a snapshot or a log belongs to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from magi_rt.backends.fingerprint import fingerprint

if TYPE_CHECKING:
    from magi_rt.backends.base import Executor
    from magi_rt.config import MagiConfig

PLACES = ("load", "t5_pretrained", "vae_pretrained", "t5_device")
"""Runtime keys that say where files and devices are; they do not change what is computed."""


@dataclass(frozen=True)
class ModelIdentity:
    """A model as told apart from others.

    Attributes:
        name: what it was opened as; for people, not compared.
        config: 16 hexadecimal digits that follow from the configuration without file places.
        weights: digits that follow from the weights as they are stored, or a fixed word for none.
    """

    name: str
    config: str
    weights: str

    def __str__(self) -> str:
        return f"{self.name!r} (configuration {self.config}, weights {self.weights})"

    def same_model(self, other: ModelIdentity) -> bool:
        """True when configuration and weights are the same, whatever the names."""
        return (self.config, self.weights) == (other.config, other.weights)


def identify(executor: Executor, name: str) -> ModelIdentity:
    """The identity of the model inside an executor, with the caption tokens it is prompted by."""
    weights = executor.info.weights or "none"
    tokens = executor.special_tokens
    if tokens is not None:
        rows = (("caption", tokens.caption), ("logo", tokens.logo), ("other", tokens.other))
        weights = f"{weights} with tokens {fingerprint(rows)}"
    return ModelIdentity(name=name, config=config_digits(executor.config), weights=weights)


def config_digits(config: MagiConfig) -> str:
    """The digits of a configuration, whatever it says of file places."""
    values = config.to_dict()
    for key in PLACES:
        values["runtime_config"].pop(key)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
