"""A name or folder becomes the places of a model's parts, and nothing outside the folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from magi_rt.checkpoints import layout
from magi_rt.checkpoints.layout import denoiser_folder_name, locate, resolve
from magi_rt.checkpoints.save import write_json
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError, ConfigError
from magi_rt.presets import PRESETS
from magi_rt.world import World
from tests.support import small_config


def refusal(model: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve(model)
    return caught.value.message


def bare_folder(folder: Path, config: MagiConfig, *parts: str) -> Path:
    """A model folder with a configuration and empty parts."""
    folder.mkdir()
    write_json(folder / "config.json", config.to_dict())
    for part in parts:
        (folder / part).mkdir(parents=True)
        write_json(folder / part / "config.json", {})
    return folder


def test_a_complete_folder_is_found(talking_model: Path) -> None:
    found = resolve(talking_model)
    assert found.denoiser == talking_model / "inference_weight"
    assert found.vae == talking_model / "vae"
    assert found.text_encoder == talking_model / "t5" / "t5-v1_1-xxl"
    assert found.special_tokens is None
    assert found.name == "talking"


def test_the_configuration_file_can_be_given_instead_of_its_folder(model_folder: Path) -> None:
    assert resolve(model_folder / "config.json").denoiser == model_folder / "inference_weight"


def test_special_tokens_are_found_when_they_are_there(model_folder: Path) -> None:
    tokens = model_folder / "special_tokens.npz"
    tokens.write_bytes(b"")
    assert resolve(model_folder).special_tokens == tokens


def test_a_variant_has_its_own_weight_folder() -> None:
    names = {name: denoiser_folder_name(preset.engine) for name, preset in PRESETS.items()}
    assert names["4.5B-base"] == "inference_weight"
    assert names["4.5B-distill"] == "inference_weight.distill"
    assert names["24B-distill-fp8"] == "inference_weight.fp8.distill"


@pytest.mark.parametrize(
    "written", ["./downloads/4.5B_base", "/data/models/4.5B_base", "..\\..\\4.5B_base", "4.5B_base"]
)
def test_a_written_path_is_found_by_its_ending_inside_the_folder(
    written: str, tmp_path: Path
) -> None:
    folder = bare_folder(
        tmp_path / "m", small_config(load=written), "4.5B_base/inference_weight", "vae"
    )
    assert resolve(folder).denoiser == folder / "4.5B_base" / "inference_weight"


def test_parts_outside_the_folder_are_never_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "inference_weight").mkdir(parents=True)
    for written in ("../elsewhere", str(tmp_path / "elsewhere")):
        config = small_config(load=written)
        folder = bare_folder(tmp_path / f"m{len(written)}", config, "vae")
        assert locate(folder).denoiser is None


def test_a_nested_text_encoder_is_found_by_either_spelling(tmp_path: Path) -> None:
    for number, written in enumerate(("./ckpt/t5", "./ckpt/t5/t5-v1_1-xxl", "nowhere", "")):
        config = small_config(t5_pretrained=written)
        place = "ckpt/t5/t5-v1_1-xxl" if number < 2 else "t5/t5-v1_1-xxl"
        folder = bare_folder(tmp_path / str(number), config, place)
        assert locate(folder).text_encoder == folder / place


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert "nowhere" in message
    assert "nano" in message


def test_a_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {"unrelated": 1})
    assert "model_config" in refusal(tmp_path)


def test_several_configurations_need_a_choice(tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        write_json(tmp_path / name, small_config().to_dict())
    assert "one.json, two.json" in refusal(tmp_path)
    assert locate(tmp_path / "two.json").config_file.name == "two.json"


def test_any_json_with_a_model_config_will_do(model_folder: Path) -> None:
    (model_folder / "config.json").rename(model_folder / "4.5B_config.json")
    write_json(model_folder / "notes.json", {"author": "us"})
    assert resolve(model_folder).config_file.name == "4.5B_config.json"


def test_a_broken_configuration_is_named_not_passed_over(model_folder: Path) -> None:
    (model_folder / "config.json").write_text('{"model_config": {', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json is not JSON"):
        resolve(model_folder)
    data = small_config().to_dict()
    data["model_config"]["surprise"] = 1
    write_json(model_folder / "config.json", data)
    with pytest.raises(ConfigError, match="surprise"):
        resolve(model_folder)


def test_missing_parts_are_named_with_their_place(model_folder: Path) -> None:
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    (model_folder / "vae").rename(model_folder / "autoencoder")
    assert str(model_folder / "vae") in refusal(model_folder)
    config["engine_config"]["distill"] = True
    config["runtime_config"]["cfg_number"] = 1
    write_json(model_folder / "config.json", config)
    message = refusal(model_folder)
    assert "no folder inference_weight.distill" in message
    assert "there is inference_weight, which is another variant" in message


def test_a_published_name_says_that_its_weights_must_be_fetched() -> None:
    message = refusal("24B-distill-fp8")
    assert "inference_weight.fp8.distill" in message
    assert "download" in message


def test_a_folder_that_has_the_name_of_a_published_model_is_opened(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model_folder, model_folder.parent / "4.5B-base")
    monkeypatch.chdir(model_folder.parent)
    for model in ("4.5B-base", "./4.5B-base", Path("4.5B-base")):
        assert resolve(model).name == "4.5B-base"


def test_a_path_always_means_a_folder(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_folder.parent)
    monkeypatch.setenv("HOME", str(model_folder.parent))
    assert "no model folder" in refusal(Path("nano"))
    model_folder.rename("nano")
    own = Path("nano").resolve()
    for model in (Path("nano"), Path("./nano"), own, Path("~/nano")):
        assert resolve(model).folder.resolve() == own
    assert resolve("nano").folder == layout.BUILT_IN_FOLDER
    world = World.open(Path("nano"), backend="eager", device="cpu")
    assert world.log.identity == World.open("./nano", backend="eager", device="cpu").log.identity


def test_a_built_in_name_without_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "BUILT_IN_FOLDER", tmp_path / "nano")
    for name in layout.BUILT_IN:
        assert "no weights in this copy" in refusal(name)


def test_a_built_in_name_opens_the_folder_of_the_package(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    monkeypatch.setattr(layout, "BUILT_IN_FOLDER", model_folder)
    found = resolve("nano")
    assert found.name == "nano"
    assert found.folder == model_folder


def test_nano_and_its_teacher_share_a_folder_and_all_but_the_denoiser() -> None:
    nano, base = resolve("nano"), resolve("nano-base")
    assert nano.config.engine.distill and not base.config.engine.distill
    assert nano.denoiser != base.denoiser
    assert (nano.vae, nano.text_encoder) == (base.vae, base.text_encoder)
    assert nano.config.model == base.config.model
    assert nano.config.runtime.scale_factor == base.config.runtime.scale_factor


def test_configs_that_name_no_paths_use_the_standard_places(model_folder: Path) -> None:
    found = locate(model_folder)
    runtime = replace(found.config.runtime, load=None, t5_pretrained=None, vae_pretrained=None)
    write_json(model_folder / "config.json", replace(found.config, runtime=runtime).to_dict())
    assert resolve(model_folder).vae == model_folder / "vae"
