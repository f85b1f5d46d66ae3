"""Recipes: short files, checked before anything is built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from magi_rt.checkpoints.layout import locate
from magi_rt.cli.compile import _recipe
from magi_rt.errors import ConfigError, OptionError
from magi_rt.export.recipes import Recipe, read_recipe, recipe_names
from magi_rt.presets import PRESETS
from magi_rt.sampling.schedule import SamplerConfig

RIGHT = {"model": "nano", "target": "cpu", "precision": "float32", "height": 128, "width": 128}


def test_every_recipe_that_comes_along_is_right_and_names_a_known_model() -> None:
    names = recipe_names()
    assert {"rtx4090-4.5b-256", "rtx4090-4.5b-384", "h100-4.5b-480", "cpu-nano"} <= set(names)
    assert any(name.startswith("h100-24b-") for name in names)
    for name in names:
        recipe = read_recipe(name)
        assert recipe.name == name and recipe.model in {"nano", *PRESETS}
        assert name.startswith(recipe.target)


def test_a_recipe_for_8_bit_products_names_8_bit_weights() -> None:
    for recipe in map(read_recipe, recipe_names()):
        quantised = recipe.model in PRESETS and PRESETS[recipe.model].engine.fp8_quant
        assert (recipe.precision == "fp8") == quantised, recipe.name


def test_a_recipe_has_the_memory_of_a_world_that_is_opened_with_its_numbers() -> None:
    for recipe in map(read_recipe, recipe_names()):
        config = PRESETS[recipe.model] if recipe.model in PRESETS else locate(recipe.model).config
        sampler = SamplerConfig.from_config(config, recipe.steps, recipe.window)
        assert recipe.history == sampler.memory_depth(), recipe.name


def test_a_model_and_a_target_alone_make_the_recipe_of_a_world_opened_without_options() -> None:
    known = read_recipe("rtx4090-nano")
    assert replace(_recipe(None, "nano", "rtx4090"), name=known.name) == known


def test_an_unknown_recipe_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'rtx4090-4\.5b-256'"):
        read_recipe("rtx4090-4.5-256")


def test_an_unknown_key_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'heigth'; did you mean 'height'\?"):
        Recipe.from_dict({**RIGHT, "heigth": 128})


@pytest.mark.parametrize("key", sorted(RIGHT))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"lacks the key '{key}'"):
        Recipe.from_dict({k: v for k, v in RIGHT.items() if k != key})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"height": "tall"}, "height is 'tall'; it must be a whole number"),
        ({"height": True}, "height is True; it must be a whole number"),
        ({"parts": "decoder"}, "parts is 'decoder'; it must be a list of names"),
        ({"model": 4.5}, "model is 4.5; it must be text"),
    ],
)
def test_a_wrongly_typed_value_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Recipe.from_dict({**RIGHT, **change})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"height": 100}, "height is 100; it must be a multiple of 16, for one 96"),
        ({"window": 0}, "window is 0; it must be 1 to 16"),
        ({"target": "rtx4900"}, "did you mean 'rtx4090'"),
        ({"precision": "bf16"}, "did you mean 'bfloat16'"),
        ({"precision": "fp8"}, "precision 'fp8'.*'auto', 'float32'"),
        ({"runtime": "tensorrt"}, "'tensorrt' does not build for cpu; use 'openvino'"),
        ({"parts": ["decodr"]}, "did you mean 'decoder'"),
        (
            {"target": "rtx3090", "precision": "fp8"},
            "needs compute capability 8.9 but rtx3090 has 8.6",
        ),
    ],
)
def test_a_value_out_of_range_says_value_and_limit(change: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Recipe.from_dict({**RIGHT, **change})


def test_a_file_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in RIGHT.items()))
    assert read_recipe(path) == Recipe.from_dict(RIGHT, "mine")


@pytest.mark.parametrize(
    "text", ["model: [", "- 1\n- 2", "a: !!python/object:os.x {}", "\x00", "model: 2026-02-31"]
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="mine"):
        read_recipe(path)


def test_wishes_change_a_recipe_and_are_checked() -> None:
    recipe = read_recipe("cpu-nano").changed(height=64, width=None)
    assert (recipe.height, recipe.width) == (64, 128)
    with pytest.raises(OptionError, match="height is 65"):
        recipe.changed(height=65)


def test_the_runtime_follows_from_the_target() -> None:
    chosen = {name: read_recipe(name).builder for name in recipe_names()}
    assert chosen["cpu-nano"] == "openvino"
    assert chosen["h100-4.5b-480"] == "tensorrt"
    assert chosen["rtx4090-nano"] == "tensorrt_rtx"
