"""`magi-rt compile` for processors: the graphs that a world will ask for, made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from magi_rt.backends.choose import graph_executor_of
from magi_rt.errors import OptionError
from magi_rt.export.compile import Built
from magi_rt.export.manifest import PlanIdentity
from magi_rt.export.plan_cache import BuildInto, Plan, PlanCache, unwritable
from magi_rt.export.recipes import PARTS, Recipe
from magi_rt.sampling.rehearsal import rehearse
from magi_rt.sampling.schedule import SamplerConfig


def compile_for_processor(
    recipe: Recipe,
    cache: PlanCache,
    progress: Callable[[str, str, float], None] = lambda part, what, share: None,
) -> Iterator[Built]:
    """Open the executor that such a world has, have it make its graphs, and run each once.

    Args:
        progress: told the graph, what is being done to it, and how much of that, 0 to 1.

    Raises:
        OptionError: only some parts are wanted.
        BackendError: the runtime is missing, refuses a graph, or computes nonsense; or plans
            cannot be kept.
        CheckpointError, ConfigError: the model cannot be opened.
    """
    if set(recipe.parts) != set(PARTS):
        raise OptionError(
            f"parts is {', '.join(recipe.parts)}; for a processor all are made together, so leave "
            "it out",
            field="parts",
        )
    told = _ToldCache(cache, progress)
    kind = graph_executor_of(recipe.builder)
    executor = kind.open(recipe.model, dtype=recipe.precision, plans=told)
    sampler = SamplerConfig.from_config(
        executor.config, recipe.steps, recipe.window, recipe.history
    )
    patch = executor.vae.config.patch_size
    size = (recipe.height // patch, recipe.width // patch)
    rehearse(executor, sampler, size, executor.expect)
    executor.warm_up()
    yield from told.found


class _ToldCache(PlanCache):
    """A cache that tells what it is asked for."""

    def __init__(self, cache: PlanCache, progress: Callable[[str, str, float], None]) -> None:
        super().__init__(cache.folder)
        self.progress, self.found = progress, list[Built]()

    def get(
        self,
        identity: PlanIdentity,
        build: BuildInto,
        waiting: Callable[[], None] = lambda: None,
    ) -> Plan:
        def told(into: Path) -> None:
            self.progress(identity.graph, "converting", 0.0)
            build(into)
            self.progress(identity.graph, "running", 1.0)

        def wait() -> None:
            self.progress(identity.graph, "another process is building it", 0.0)

        try:
            plan = super().get(identity, told, wait)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.found.append(Built(identity.graph, plan))
        return plan
