"""A recipe becomes plans: every graph exported, built and filed, or found where it was filed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from magi_rt.config import MagiConfig
from magi_rt.export.builders import Builder, BuildOrder, Progress, find_builder, silent
from magi_rt.export.fp8 import spelled_out
from magi_rt.export.manifest import PlanIdentity, config_digits, maker
from magi_rt.export.parts import Networks, Part, example, parts_of
from magi_rt.export.plan_cache import Plan, PlanCache, unwritable
from magi_rt.export.recipes import Recipe
from magi_rt.export.targets import Target, spell, target_of
from magi_rt.export.to_onnx import export_graph

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
        BackendError: the runtime is missing, or refuses a graph; or plans cannot be kept.
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
    try:
        return cache.get(
            identity,
            lambda into: build_part(part, identity, place, builder, into, tell),
            waiting=lambda: tell("another process is building it", 0.0),
        )
    except OSError as error:
        raise unwritable(cache.folder, error) from error


def identify(
    part: Part, config: MagiConfig, precision: str, place: Target, builder: Builder
) -> PlanIdentity:
    """What the plan of a part is filed under: cards of one capability share their plans."""
    card = place.capability
    return PlanIdentity(
        graph=part.name,
        weights=part.weights,
        config=config_digits(config, part.vae),
        inputs=part.inputs,
        outputs=part.outputs,
        precision=precision,
        target=place.name if card is None else target_of(card).name,
        capability="" if card is None else spell(card),
        runtime=builder.runtime,
        runtime_version=builder.version(),
        flags=builder.flags(place, precision),
        opset=part.opset,
        maker=maker(),
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
    # in the plan's own folder, so that what a killed build leaves goes with the rest of it
    with tempfile.TemporaryDirectory(dir=into, prefix=".graph-") as room:
        tell("exporting", 0.0)
        path = Path(room) / f"{part.name}.onnx"
        with spelled_out(part.graph):
            export_graph(
                part.graph, example(part.inputs), path,
                outputs=[spec.name for spec in part.outputs], opset=part.opset, varying=part.inputs,
            )  # fmt: skip
        order = BuildOrder(path, identity.inputs, identity.precision, place)
        rest = 1.0 - EXPORT_SHARE
        builder.build(order, into, lambda what, share: tell(what, EXPORT_SHARE + rest * share))
