"""Recipes: which engines to build, for whom, as short YAML files checked before anything is built.

The recipes that come with the package lie in ``engines/``; a recipe of one's own is a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

import magi_rt
from magi_rt.errors import ConfigError, OptionError
from magi_rt.export.targets import Target, check_choice, find_target, listed

PARTS = ("denoiser", "decoder")
PICTURE_MULTIPLE = 16
LARGEST = {"height": 4096, "width": 4096, "window": 16, "steps": 1024, "history": 64}


@dataclass(frozen=True)
class Recipe:
    """One set of engines.

    model: a preset ("4.5B-distill": random weights, to try builds), a world's name, or a folder.
    target: a name of ``targets.TARGETS``.
    precision: a name of ``targets.PRECISIONS``.
    height, width: picture size in pixels, multiples of 16.
    window: the most chunks in flight; plans answer calls of 1 to window + 1 chunks.
    steps: denoising steps per chunk; kept for reports, plans do not depend on it.
    history: finished chunks that the ring keeps.
    runtime: "auto" takes the target's first.
    parts: what to build, of "denoiser" and "decoder".

    Raises:
        OptionError: a value is out of range or does not fit the target.
    """

    model: str
    target: str
    precision: str
    height: int
    width: int
    window: int = 4
    steps: int = 8
    history: int = 4
    runtime: str = "auto"
    parts: tuple[str, ...] = PARTS
    name: str = "own"

    def __post_init__(self) -> None:
        target = self.place
        target.check_precision(self.precision)
        target.choose_runtime(self.runtime)
        for key, most in LARGEST.items():
            self._check_range(key, 1, most)
        for key in ("height", "width"):
            value = getattr(self, key)
            if value % PICTURE_MULTIPLE:
                raise OptionError(
                    f"{key} is {value}; it must be a multiple of {PICTURE_MULTIPLE}, for one "
                    f"{max(1, value // PICTURE_MULTIPLE) * PICTURE_MULTIPLE}",
                    field=key,
                )
        for part in self.parts:
            check_choice("parts", part, PARTS)

    def _check_range(self, key: str, least: int, most: int) -> None:
        value = getattr(self, key)
        if not least <= value <= most:
            raise OptionError(f"{key} is {value}; it must be {least} to {most}", field=key)

    @property
    def place(self) -> Target:
        return find_target(self.target)

    @property
    def builder(self) -> str:
        """The runtime that builds it."""
        return self.place.choose_runtime(self.runtime)

    def changed(self, **wishes: Any) -> Recipe:
        """The recipe with every wish that is not ``None`` put in."""
        return replace(self, **{key: value for key, value in wishes.items() if value is not None})

    @classmethod
    def from_dict(cls, data: object, name: str = "own") -> Recipe:
        """Check and build.

        Raises:
            ConfigError: a key is unknown, missing or wrongly typed.
            OptionError: a value is out of range.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"recipe {name} must be a table of keys, not {data!r}")
        known = [f.name for f in fields(cls) if f.name != "name"]
        for key in data:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {listed(known)}"
                raise ConfigError(
                    f"recipe {name} has the unknown key {key!r}; {hint}", field=str(key)
                )
        for key in ("model", "target", "precision", "height", "width"):
            if key not in data:
                raise ConfigError(f"recipe {name} lacks the key {key!r}; add it", field=key)
        values = {key: _typed(name, key, value) for key, value in data.items()}
        return cls(name=name, **values)


def _typed(name: str, key: str, value: object) -> Any:
    hint = get_type_hints(Recipe)[key]
    if hint is int:
        fits, spelled = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif hint is str:
        fits, spelled = isinstance(value, str), "text"
    else:
        fits, spelled = isinstance(value, list), "a list of names"
    if not fits:
        raise ConfigError(f"recipe {name}: {key} is {value!r}; it must be {spelled}", field=key)
    return tuple(value) if isinstance(value, list) else value


def recipe_folder() -> Path:
    """Where the recipes lie: inside an installed package, or at the root of a checkout."""
    package = Path(magi_rt.__file__).parent
    packed = package / "engines"
    return packed if packed.is_dir() else package.parent / "engines"


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def read_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by name, or from a file that ends in .yaml or .yml.

    Raises:
        ConfigError: there is no such recipe, or the file is not a right one.
        OptionError: a value is out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = recipe_folder() / f"{name_or_path}.yaml"
        if not path.is_file():
            names = recipe_names()
            near = get_close_matches(str(name_or_path), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "there are"
            raise ConfigError(
                f"recipe {str(name_or_path)!r} is unknown; {hint} {listed(names)}, "
                "or give a path that ends in .yaml",
                field="recipe",
            )
    return Recipe.from_dict(_load(path), path.stem)


def _load(path: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", field="recipe") from error
    except (yaml.YAMLError, ValueError) as error:  # for one, a day that no calendar has
        told = " ".join(str(error).split())
        raise ConfigError(f"{path} is not YAML: {told}", field="recipe") from error
