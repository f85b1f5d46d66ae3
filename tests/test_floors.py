"""A module imports from its own floor and the floors below, never from above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import magi_rt

PACKAGE = Path(magi_rt.__file__).parent
FLOORS = {
    "planner": 0,
    "models": 1,
    "checkpoints": 1,
    "media": 1,
    "backends": 2,
    "export": 2,
    "sampling": 3,
    "world": 4,
    "stream": 5,
    "training": 6,
    "evaluation": 6,
    "verify": 6,
    "bench": 6,
    "cli": 6,
    "demo": 6,
}
WORDS = {
    "errors",
    "config",
    "config_section",
    "presets",
    "frames",
    "free_memory",
    "kept_memory",
    "whole_files",
}
"""Single modules beside the folders: the words that all floors use, floor 0."""


def floor_of(module: str) -> int:
    """Floor of a dotted module name inside magi_rt."""
    part = module.split(".")[1]
    return 0 if part in WORDS else FLOORS[part]


def imports_of(source: str, module: str) -> Iterator[str]:
    """Every magi_rt module that a source text imports, relative imports resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            names = [base]
            if base == "magi_rt":
                names = [f"magi_rt.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("magi_rt."))


def climbs(source: str, module: str) -> list[str]:
    """The imports of a module that reach a higher floor."""
    floor = floor_of(module)
    return [name for name in imports_of(source, module) if floor_of(name) > floor]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts != ("magi_rt", "__init__"):
            yield ".".join(parts), path


def test_no_module_imports_from_a_higher_floor() -> None:
    found = {name: climbs(path.read_text(encoding="utf-8"), name) for name, path in modules()}
    assert {name: names for name, names in found.items() if names} == {}


def test_every_folder_and_every_single_module_has_a_floor() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders <= set(FLOORS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", *WORDS}


def test_a_planted_climb_is_caught() -> None:
    planted = "def late():\n    from magi_rt.world import World\n    return World\n"
    assert climbs(planted, "magi_rt.sampling.schedule") == ["magi_rt.world"]
    assert climbs("from ..backends import eager", "magi_rt.models.dit") == ["magi_rt.backends"]
    assert climbs("import magi_rt.cli.app", "magi_rt.world") == ["magi_rt.cli.app"]
    assert climbs("from magi_rt import world", "magi_rt.errors") == ["magi_rt.world"]


def test_imports_downwards_and_sideways_are_fine() -> None:
    fine = "import torch\nfrom magi_rt.models import dit\nfrom magi_rt.errors import MagiError\n"
    assert climbs(fine, "magi_rt.checkpoints.load") == []
