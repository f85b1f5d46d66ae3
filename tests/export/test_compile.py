"""Recipes built for real, on a machine without a card: the small world, and layers of the large."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from magi_rt.backends.fingerprint import fingerprint
from magi_rt.errors import BackendError, ConfigError, MagiError, OptionError
from magi_rt.export.compile import Built, compile_recipe
from magi_rt.export.parts import Networks, open_networks, parts_of, random_layers
from magi_rt.export.plan_cache import PlanCache, open_plan
from magi_rt.export.recipes import Recipe, read_recipe
from magi_rt.world import World
from tests.export.kit import identity, needs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def built(recipe: Recipe, networks: Networks, folder: Path, wanted: tuple[str, ...]) -> list[Built]:
    """The wanted parts of a recipe, built or found."""

    def only(recipe: Recipe, networks: Networks) -> object:
        return (part for part in parts_of(recipe, networks) if part.name in wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("magi_rt.export.compile.parts_of", only)
        return list(compile_recipe(recipe, networks, PlanCache(folder)))


@pytest.mark.engine
@pytest.mark.slow
def test_the_small_world_is_built_and_its_plans_are_found_again(tmp_path: Path) -> None:
    needs("tensorrt_rtx")
    recipe = read_recipe("rtx4090-nano").changed(window=1)
    networks = open_networks(recipe, fingerprint)
    wanted = ("decoder-2x8x8-raw", "denoiser-0-6")
    first = built(recipe, networks, tmp_path, wanted)
    assert [each.part for each in first] == list(wanted)
    assert all(each.plan.fresh for each in first)
    for each in built(recipe, networks, tmp_path, wanted):
        assert not each.plan.fresh
        assert each.plan.manifest.identity.runtime == "tensorrt_rtx"
    plan = first[0].plan
    path = next(iter(sorted(plan.folder.glob("plan.*"))))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BackendError, match="sha256"):
        open_plan(plan.folder)
    with pytest.raises(BackendError, match=r"8\.9\) but NVIDIA H200 has 9\.0"):
        plan.manifest.check_card((9, 0), "NVIDIA H200", plan.folder)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "fp8"])
@pytest.mark.parametrize("model", ["4.5B-distill", "24B-distill"])
def test_a_layer_of_the_large_models_is_built_for_the_4090(
    tmp_path: Path, model: str, precision: str
) -> None:
    needs("tensorrt_rtx")
    needs("onnxscript")
    recipe = read_recipe("rtx4090-4.5b-256").changed(
        model=model, precision=precision, height=128, width=128
    )
    networks = random_layers(recipe, fingerprint, 1)
    weights = sum(
        parameter.numel()
        for name, parameter in networks.dit.blocks()[0].named_parameters()
        if parameter.ndim > 1 and "ada_modulate" not in name
    )
    (layer,) = built(recipe, networks, tmp_path, ("denoiser-0-1",))
    size = layer.plan.file(".engine").stat().st_size
    bytes_each = 1 if precision == "fp8" else 2
    assert 0.9 * weights * bytes_each < size < 1.3 * weights * bytes_each


def test_one_denoiser_answers_all_calls_of_a_recipe() -> None:
    recipe = read_recipe("rtx4090-nano").changed(window=4)
    networks = open_networks(recipe, fingerprint)
    parts = {part.name: part for part in parts_of(recipe, networks)}
    assert set(parts) == {"decoder-2x8x8-raw", "denoiser-0-6"}
    denoiser = parts["denoiser-0-6"]
    sizes = {spec.name: spec.sizes() for spec in (*denoiser.inputs, *denoiser.outputs)}
    assert [size[2] for size in sizes["latents"]] == [2, 8, 10]
    assert [size[1:] for size in sizes["visible"]] == [(1, 6), (4, 9), (5, 10)]
    assert sizes["velocity"] == sizes["latents"]
    tokens = 2 * (8 // networks.config.model.patch_size) ** 2
    assert sizes["staged_keys"] == ((6, 2, tokens, 32),) * 3


def test_weights_that_are_not_here_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="--model DIR, or try the build with --random-layers"):
        open_networks(read_recipe("rtx4090-4.5b-256"), fingerprint)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"precision": "fp8"}, "has no 8-bit weights; use 'bfloat16'"),
        ({"model": "4.5B-distill"}, r"has num_layers 6 but 4\.5B-distill has 34"),
    ],
)
def test_a_model_that_does_not_fit_the_recipe_is_refused(
    change: dict[str, object], told: str
) -> None:
    with pytest.raises(MagiError, match=told):
        open_networks(read_recipe("rtx4090-nano").changed(**change), fingerprint, "nano")


def test_random_layers_need_a_published_shape() -> None:
    with pytest.raises(OptionError, match="'nano' is no published configuration"):
        random_layers(read_recipe("rtx4090-nano"), fingerprint, 1)


@pytest.mark.engine
@pytest.mark.slow
def test_after_the_verb_a_world_on_the_processor_opens_without_converting_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs("openvino")
    from magi_rt.cli.app import app

    monkeypatch.setenv("MAGI_RT_CACHE", str(tmp_path))
    command = ["compile", "cpu-nano", "--window", "1", "--json", "--quiet"]
    said = [CliRunner().invoke(app, command) for _ in range(2)]
    assert [each.exit_code for each in said] == [0, 0], said[0].output
    for each, fresh in zip(said, (True, False), strict=True):
        cards = [json.loads(line) for line in each.stdout.splitlines()]
        assert {card["part"] for card in cards} == {
            "lean-denoiser-1x1-staged-4", "lean-decoder-2x8x8",
        }  # fmt: skip
        assert all(card["fresh"] is fresh for card in cards)
        assert all((Path(card["folder"]) / "manifest.json").is_file() for card in cards)
    with caplog.at_level(logging.INFO):
        World.open("nano", backend="openvino").advance("a red ball")
    assert "converts" not in caplog.text


@pytest.mark.parametrize(
    ("wishes", "window", "history"),
    [
        (["rtx4090-4.5b-256"], 4, 1),
        (["rtx4090-4.5b-256", "--window", "1"], 1, 4),
        (["rtx4090-4.5b-256", "--window", "2"], 2, 3),
        (["rtx4090-4.5b-256", "--window", "1", "--history", "6"], 1, 6),
    ],
)
def test_engines_are_built_for_the_memory_of_a_world_with_that_window(
    wishes: list[str], window: int, history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magi_rt.cli.app import app
    from magi_rt.export import parts

    asked: list[Recipe] = []

    def stop(recipe: Recipe, *_: object) -> None:
        asked.append(recipe)
        raise OptionError("far enough")

    monkeypatch.setattr(parts, "random_layers", stop)
    CliRunner().invoke(app, ["compile", *wishes, "--random-layers", "1", "--quiet"])
    assert [(recipe.window, recipe.history) for recipe in asked] == [(window, history)]


def test_plans_that_worlds_do_not_find_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magi_rt.cli import compile as verb
    from magi_rt.cli.app import app

    monkeypatch.setenv("MAGI_RT_CACHE", str(tmp_path))
    monkeypatch.setattr(verb, "_with_bar", lambda *_: iter(()))
    here, apart = (
        CliRunner().invoke(app, ["compile", "cpu-nano", "--plans", str(tmp_path / folder)])
        for folder in ("plans", "apart")
    )
    assert (here.exit_code, here.stderr, apart.exit_code) == (0, "", 0)
    assert "MAGI_RT_CACHE" in apart.stderr


def test_old_plans_are_removed_by_the_verb(tmp_path: Path) -> None:
    from magi_rt.cli.app import app

    def build(into: Path) -> None:
        (into / "plan").write_text("x")

    plans = tmp_path / "plans [old] [/new]"
    place = PlanCache(plans).get(identity(), build).folder
    kept, gone = (
        CliRunner().invoke(app, ["compile", "--plans", str(plans), "--prune", days])
        for days in ("1", "0")
    )
    assert (kept.output, kept.exit_code, gone.exit_code) == ("", 0, 0)
    assert f"{plans.name}/{place.name}" in gone.output.replace("\n", "") and not place.exists()


@pytest.mark.parametrize("target", ["cpu", "rtx4090"])
def test_no_engines_are_built_for_pictures_that_no_world_has(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magi_rt.cli.app import app

    monkeypatch.setenv("MAGI_RT_CACHE", str(tmp_path))
    command = ["compile", "--model", "nano", "--target", target, "--size", "16x64", "--quiet"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code != 0 and list(tmp_path.iterdir()) == []
    assert "multiples of 16, and at least 32; try 32x64" in " ".join(said.stderr.split())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["cpu-nano", "--random-layers", "1"], "random layers are for cards"),
        (["cpu-nano", "--precision", "float16"], "'auto', 'float32'"),
        (["cpu-nano", "--size", "²x²"], "not a size; write height x width"),
    ],
)
def test_what_no_processor_can_be_asked_for_is_refused(changes: list[str], told: str) -> None:
    from magi_rt.cli.app import app

    said = CliRunner().invoke(app, ["compile", *changes])
    assert said.exit_code != 0 and told in " ".join((said.output + said.stderr).split())
