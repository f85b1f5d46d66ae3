"""`magi-rt compile`: engines for a card or this processor, built once and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magi_rt.cli.consoles import for_tables, without_bar
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.export.compile import Built
    from magi_rt.export.parts import Networks
    from magi_rt.export.plan_cache import PlanCache
    from magi_rt.export.recipes import Recipe

RecipeName = Annotated[
    str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's name, or a .yaml file.")
]
Model = Annotated[str | None, typer.Option(help="A built-in world or a model folder.")]
TargetName = Annotated[str | None, typer.Option(help="rtx4090, h100, cpu, ...")]
Precision = Annotated[str | None, typer.Option(help="float32, bfloat16, fp8; cpu: auto.")]
Runtime = Annotated[
    str | None, typer.Option(help="tensorrt_rtx, tensorrt, openvino or onnxruntime.")
]
Size = Annotated[str | None, typer.Option(help="Height x width in pixels, 256x256 for one.")]
Window = Annotated[int | None, typer.Option(help="The most chunks in flight.")]
History = Annotated[
    int | None,
    typer.Option(help="Finished chunks in memory; as many as a world of that window has."),
]
Prune = Annotated[
    float | None,
    typer.Option(metavar="DAYS", help="Remove plans unused for so many days, and do nothing else."),
]
RandomLayers = Annotated[
    int | None,
    typer.Option(min=1, help="Try the build with so many layers of random weights."),
]
Into = Annotated[Path | None, typer.Option("--plans", help="Where plans are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per plan.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def compile(
    recipe: RecipeName = None,
    model: Model = None,
    target: TargetName = None,
    precision: Precision = None,
    runtime: Runtime = None,
    size: Size = None,
    window: Window = None,
    history: History = None,
    random_layers: RandomLayers = None,
    plans: Into = None,
    prune: Prune = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build the engines of a recipe, or of a model for a target.

    Engines for RTX cards are built on any machine, with or without a card; H100 engines on the
    H100. Plans that are there already are checked, not built again.

    [bold]Examples[/bold]

      magi-rt compile rtx4090-nano

      magi-rt compile --model nano --target cpu --runtime onnxruntime

      magi-rt compile rtx4090-4.5b-384 --model ~/models/4.5B-distill-fp8

      magi-rt compile rtx4090-4.5b-256 --random-layers 1
    """
    from magi_rt.backends.fingerprint import fingerprint
    from magi_rt.cli.run_plan import parse_size
    from magi_rt.export.parts import open_networks
    from magi_rt.export.parts import random_layers as networks_of_random_layers
    from magi_rt.export.plan_cache import PlanCache

    if prune is not None:
        _prune(PlanCache(plans), prune, as_json)
        return
    height, width = (None, None) if size is None else parse_size(size)
    named = _recipe(recipe, model, target)
    if window is not None and history is None:
        history = _memory(model or named.model, named.steps, window)
    wanted = named.changed(
        target=target, precision=precision, runtime=runtime, height=height, width=width,
        window=window, history=history,
    )  # fmt: skip
    _check_size(wanted, model)
    if wanted.place.capability is None:
        if random_layers is not None:
            raise OptionError(
                "random layers are for cards; for a processor name a model", field="random_layers"
            )
        wanted = wanted.changed(model=model)
        networks = None
    elif random_layers is not None:
        networks = networks_of_random_layers(wanted, fingerprint, random_layers)
    else:
        networks = open_networks(wanted, fingerprint, model)
    for built in _with_bar(wanted, networks, PlanCache(plans), without_bar(quiet)):
        _say(built, as_json)
    _tell_where(plans)


def _tell_where(plans: Path | None) -> None:
    """Worlds look in the user's cache alone."""
    from magi_rt.export.plan_cache import CACHE_VARIABLE, PlanCache

    if plans is not None and plans.absolute() != PlanCache().folder.absolute():
        typer.echo(
            f"Worlds look for plans in {PlanCache().folder}, not in {plans}: for them to find "
            f"these, move them there or set {CACHE_VARIABLE} to a folder whose plans/ holds them.",
            err=True,
        )


def _memory(model: str, steps: int, window: int) -> int:
    """How many finished chunks a world of this window keeps."""
    from magi_rt.checkpoints.layout import locate
    from magi_rt.presets import PRESETS
    from magi_rt.sampling.schedule import SamplerConfig

    config = PRESETS[model] if model in PRESETS else locate(model).config
    return SamplerConfig.from_config(config, steps, window).memory_depth()


def _prune(cache: PlanCache, days: float, as_json: bool) -> None:
    from rich.markup import escape

    for place, size in cache.prune(days):
        if as_json:
            typer.echo(json.dumps({"removed": str(place), "bytes": size}))
        else:
            for_tables().print(f"removed {escape(str(place))}, {size / 1e6:.1f} MB", soft_wrap=True)


def _recipe(name: str | None, model: str | None, target: str | None) -> Recipe:
    """The named recipe, or one for a model's own size and the target's usual format."""
    from magi_rt.checkpoints.layout import locate
    from magi_rt.export.recipes import Recipe, read_recipe
    from magi_rt.export.targets import find_target
    from magi_rt.sampling.schedule import SamplerConfig

    if name is not None:
        return read_recipe(name)
    if model is None or target is None:
        raise OptionError("compile needs a recipe, or both --model and --target", field="recipe")
    config = locate(model).config
    runtime = config.runtime
    return Recipe(
        model=model,
        target=target,
        precision="fp8" if config.engine.fp8_quant else find_target(target).usual_precision,
        height=runtime.video_size_h,
        width=runtime.video_size_w,
        window=runtime.window_size,
        steps=runtime.num_steps,
        history=SamplerConfig.from_config(config).memory_depth(),
    )


def _check_size(recipe: Recipe, model: str | None) -> None:
    """Refuses pictures that no world of the model has; of random layers any are tried."""
    from magi_rt.presets import PRESETS
    from magi_rt.world.options import WorldOptions
    from magi_rt.world.settings import check_options

    place = model or recipe.model
    if place not in PRESETS:
        size = recipe.height, recipe.width
        check_options(place, WorldOptions(size=size, depth=recipe.history))


def _with_bar(recipe: Recipe, networks: Networks | None, cache: Any, hidden: bool) -> Any:
    """Plans of a recipe; of networks that are open, or for a processor."""
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from magi_rt.cli.compile_cpu import compile_for_processor
    from magi_rt.export.compile import compile_recipe

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, disable=hidden, transient=True) as bar:
        task = bar.add_task(escape(f"{recipe.name} for {recipe.target}"), total=1.0)

        def tell(part: str, what: str, share: float) -> None:
            bar.update(task, description=escape(f"{part}: {what}"), completed=share)

        if networks is None:
            yield from compile_for_processor(recipe, cache, tell)
        else:
            yield from compile_recipe(recipe, networks, cache, tell)


def _say(built: Built, as_json: bool) -> None:
    from rich.markup import escape

    plan, manifest = built.plan, built.plan.manifest
    size = sum(mark.bytes for mark in manifest.files.values())
    if as_json:
        card = {
            "part": built.part,
            "folder": str(plan.folder),
            "fresh": plan.fresh,
            "bytes": size,
            "build_s": manifest.build_s,
            "runtime": f"{manifest.identity.runtime} {manifest.identity.runtime_version}",
        }
        typer.echo(json.dumps(card))
        return
    how = f"built in {manifest.build_s:.1f} s" if plan.fresh else f"there since {manifest.built_at}"
    told = f"{built.part}: {size / 1e6:.1f} MB, {how}\n  {escape(str(plan.folder))}"
    for_tables().print(told, soft_wrap=True)
