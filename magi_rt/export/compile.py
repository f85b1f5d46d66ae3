"""A recipe becomes plans: every graph exported, built and filed, or found where it was filed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import magi_rt
from magi_rt.config import MagiConfig
from magi_rt.export.builders import Builder, BuildOrder, Progress, find_builder, silent
from magi_rt.export.fp8 import spelled_out
from magi_rt.export.manifest import PlanIdentity, TensorSpec, config_digits
from magi_rt.export.parts import Networks, Part, parts_of
from magi_rt.export.plan_cache import Plan, PlanCache
from magi_rt.export.recipes import Recipe
from magi_rt.export.targets import Target, spell
from magi_rt.export.to_onnx import OPSET, export_graph

EXPORT_SHARE = 0.4  # of a part's progress; what follows is the build


@dataclass(frozen=True)
class Built:
    """One part of a recipe and its plan."""

    part: str
    plan: Plan


def compile_recipe(
    recipe: Recipe,
    networks: Networks,
    cache: PlanCache,
    progress: Callable[[str, str, float], None] = lambda part, what, share: None,
) -> Iterator[Built]:
    """Build every plan of a recipe that is not in the cache yet; yields each when it is there.

    Args:
        progress: told the part, what is being done to it, and how much of that, 0 to 1.

    Raises:
        BackendError: the runtime is missing, or refuses a graph.
    """
    builder = find_builder(recipe.builder)
    for part in parts_of(recipe, networks):
        yield Built(part.name, _plan(recipe, networks, part, builder, cache, progress))


def _plan(
    recipe: Recipe,
    networks: Networks,
    part: Part,
    builder: Builder,
    cache: PlanCache,
    progress: Callable[[str, str, float], None],
) -> Plan:
    def tell(what: str, share: float) -> None:
        progress(part.name, what, share)

    place = recipe.place
    identity = identify(part, networks.config, recipe.precision, place, builder)
    return cache.get(
        identity,
        lambda into: build_part(part, identity, place, builder, into, tell),
        waiting=lambda: tell("another process is building it", 0.0),
    )


def identify(
    part: Part, config: MagiConfig, precision: str, place: Target, builder: Builder
) -> PlanIdentity:
    """What the plan of a part is filed under."""
    return PlanIdentity(
        graph=part.name,
        weights=part.weights,
        config=config_digits(config),
        inputs=_specs(part.example),
        outputs=output_specs(part),
        precision=precision,
        target=place.name,
        capability="" if place.capability is None else spell(place.capability),
        runtime=builder.runtime,
        runtime_version=builder.version(),
        flags=builder.flags(place, precision),
        opset=OPSET,
        maker=magi_rt.__version__,
    )


def output_specs(part: Part) -> tuple[TensorSpec, ...]:
    """Names, formats and sizes of what a graph gives; nothing is computed."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = part.graph(*(mode.from_tensor(tensor) for tensor in part.example.values()))
    given = found if isinstance(found, tuple) else (found,)
    return _specs(dict(zip(part.outputs, given, strict=True)))


def _specs(tensors: dict[str, Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in tensors.items()
    )


def build_part(
    part: Part,
    identity: PlanIdentity,
    place: Target,
    builder: Builder,
    into: Path,
    tell: Progress = silent,
) -> None:
    """Export a graph and build its plan into an empty folder.

    Raises:
        BackendError: the graph cannot be written, or the runtime refuses it.
    """
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".graph-") as room:
        tell("exporting", 0.0)
        path = Path(room) / f"{part.name}.onnx"
        with spelled_out(part.graph):
            export_graph(part.graph, part.example, path, outputs=part.outputs, opset=OPSET)
        order = BuildOrder(path, identity.inputs, identity.precision, place)
        rest = 1.0 - EXPORT_SHARE
        builder.build(order, into, lambda what, share: tell(what, EXPORT_SHARE + rest * share))
