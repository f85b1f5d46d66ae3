"""What a graph runtime must offer: save a graph, load it, run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from magi_rt.export.graphs import examples


@dataclass(frozen=True)
class GraphOrder:
    """A graph that is wanted.

    graph: makes it, where it was not kept.
    sizes: of its inputs by name, in order; all are float32.
    outputs: names of what it gives.
    """

    name: str
    graph: Callable[[], nn.Module]
    sizes: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return examples(self.sizes, torch.float32)


class Runner(Protocol):
    """A graph that is ready to run."""

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Outputs for contiguous inputs, in the graph's orders. The next call overwrites them."""
        ...


class GraphRuntime(Protocol):
    """Turns graphs into runners.

    name: as in manifests.
    precision: "float32" or "bfloat16", what products are computed in.
    flags: settings that shape what is saved, in words.
    """

    name: str
    precision: str
    flags: tuple[str, ...]

    def version(self) -> str:
        """The runtime's version."""
        ...

    def save(self, order: GraphOrder, into: Path) -> None:
        """Converts a graph and writes it into an empty folder."""
        ...

    def load(self, folder: Path, threads: int) -> Runner:
        """Makes a saved graph ready to run."""
        ...
