"""A recipe becomes plans: every graph exported, built and filed, or found where it was filed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import magi_rt
from magi_rt.export.builders import Builder, BuildOrder, Progress, find_builder, silent
from magi_rt.export.fp8 import spelled_out
from magi_rt.export.manifest import PlanIdentity, TensorSpec, config_digits
from magi_rt.export.parts import Networks, Part, parts_of
from magi_rt.export.plan_cache import Plan, PlanCache
from magi_rt.export.recipes import Recipe
from magi_rt.export.targets import spell
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
    version = builder.version()
    for part in parts_of(recipe, networks):

        def tell(what: str, share: float, name: str = part.name) -> None:
            progress(name, what, share)

        identity = identify(recipe, networks, part, builder, version)
        plan = cache.get(
            identity,
            lambda into, part=part, tell=tell, identity=identity: _build(  # type: ignore[misc]
                recipe, part, identity, builder, into, tell
            ),
            waiting=lambda tell=tell: tell("another process is building it", 0.0),  # type: ignore[misc]
        )
        yield Built(part.name, plan)


def identify(
    recipe: Recipe, networks: Networks, part: Part, builder: Builder, version: str
) -> PlanIdentity:
    """What the plan of a part will be filed under."""
    place = recipe.place
    return PlanIdentity(
        graph=part.name,
        weights=part.weights,
        config=config_digits(networks.config),
        inputs=_specs(part.example),
        outputs=output_specs(part),
        precision=recipe.precision,
        target=place.name,
        capability="" if place.capability is None else spell(place.capability),
        runtime=builder.runtime,
        runtime_version=version,
        flags=builder.flags(place, recipe.precision),
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


def _build(
    recipe: Recipe,
    part: Part,
    identity: PlanIdentity,
    builder: Builder,
    into: Path,
    tell: Progress = silent,
) -> None:
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".graph-") as room:
        tell("exporting", 0.0)
        path = Path(room) / f"{part.name}.onnx"
        with spelled_out(part.graph):
            export_graph(part.graph, part.example, path, outputs=part.outputs, opset=OPSET)
        tell("exporting", EXPORT_SHARE)
        order = BuildOrder(path, identity.inputs, recipe.precision, recipe.place)
        rest = 1.0 - EXPORT_SHARE
        builder.build(order, into, lambda what, share: tell(what, EXPORT_SHARE + rest * share))
