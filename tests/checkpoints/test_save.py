"""Saved folders are complete, loadable and replaced in one move."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from magi_rt.checkpoints.headers import open_weights
from magi_rt.checkpoints.inspect import inspect
from magi_rt.checkpoints.layout import locate, resolve
from magi_rt.checkpoints.save import save_model, write_weights
from magi_rt.checkpoints.trained_on import TRAINED_ON, trained_on
from magi_rt.errors import CheckpointError
from tests.support import random_denoiser, small_config, write_model


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_folder_has_the_published_layout(talking_model: Path) -> None:
    assert listing(talking_model) == ["config.json", "inference_weight", "t5", "vae"]
    assert (talking_model / "t5" / "t5-v1_1-xxl" / "tokenizer.json").is_file()
    assert resolve(talking_model).config == small_config()


def test_weights_may_be_read_by_whoever_may_read_the_configuration(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder, other = write_model(tmp_path / "m", text=True), tmp_path / "other"
        other.mkdir()
    finally:
        os.umask(before)
    rights = (folder / "config.json").stat().st_mode
    weights = list(folder.rglob("*.safetensors"))
    assert len(weights) == 3 and {path.stat().st_mode for path in weights} == {rights}
    assert folder.stat().st_mode == other.stat().st_mode


def test_paths_in_a_saved_config_are_the_standard_ones(tmp_path: Path) -> None:
    config = small_config(load="/home/us/run7", vae_pretrained="/data/vae")
    folder = write_model(tmp_path / "m", config)
    runtime = json.loads((folder / "config.json").read_text(encoding="utf-8"))["runtime_config"]
    assert (runtime["load"], runtime["vae_pretrained"]) == (".", "vae")


def test_shards_stay_below_the_limit_and_add_up(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.full((100,), float(i)) for i in range(7)}
    write_weights(tmp_path, tensors, shard_bytes=900)
    files = open_weights(tmp_path)
    assert len(files.files) == 4
    assert files.total_bytes == 2800
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 2800


def test_matrices_can_be_stored_in_fewer_bits(tmp_path: Path) -> None:
    config = small_config()
    save_model(
        tmp_path / "m", config, denoiser=random_denoiser(config), matrix_dtype=torch.bfloat16
    )
    tensors = open_weights(tmp_path / "m" / "inference_weight").tensors
    assert tensors["videodit_blocks.layers.0.mlp.linear_fc1.weight"].dtype == "BF16"
    assert tensors["rope.bands"].dtype == "F32"


def test_weights_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    config = small_config()
    for damage in ("missing", "extra", "misshapen"):
        tensors = random_denoiser(config)
        if damage == "missing":
            del tensors["rope.bands"]
        else:
            tensors["rope.bands" if damage == "misshapen" else "surplus"] = torch.ones(77)
        with pytest.raises(CheckpointError, match=r"rope\.bands|surplus"):
            save_model(tmp_path / "m", config, denoiser=tensors)
    assert listing(tmp_path) == []


def test_a_model_says_what_it_was_trained_on_where_that_was_told(tmp_path: Path) -> None:
    config = small_config()
    save_model(tmp_path / "m", config, denoiser=random_denoiser(config), data="clips")
    assert trained_on(locate(tmp_path / "m")) == "clips"
    assert ("trained on", "clips") in inspect(tmp_path / "m").facts
    for note in ("", "[]", '{"other": 1}'):
        (tmp_path / "m" / TRAINED_ON).write_text(note)
        assert trained_on(locate(tmp_path / "m")) is None
    assert "trained on" not in dict(inspect(tmp_path / "m").facts)
    assert trained_on(locate("nano-base")) == "calm-toybox"


def test_an_auto_encoder_is_saved_with_its_config_or_not_at_all(tmp_path: Path) -> None:
    config = small_config()
    with pytest.raises(CheckpointError, match="belong together"):
        save_model(tmp_path / "m", config, denoiser=random_denoiser(config), vae={})


def test_a_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    config = small_config("24B")
    with pytest.raises(CheckpointError, match="already there"):
        save_model(folder, config, denoiser=random_denoiser(config))
    assert resolve(folder).config == small_config()
    save_model(folder, config, denoiser=random_denoiser(config), overwrite=True)
    assert locate(folder).config == config
    assert listing(tmp_path) == ["m"]


def test_what_lies_beside_a_model_stays_when_the_model_is_replaced(tmp_path: Path) -> None:
    folder, start = write_model(tmp_path / "m"), tmp_path / "start"
    (folder / "README.md").write_text("mine")
    (folder / "pictures" / "old").mkdir(parents=True)
    (folder / "pictures" / "old" / "1.txt").write_text("a picture")
    (folder / "pictures" / "newest").symlink_to("old")
    (folder / "inference_weight" / "stale.safetensors").write_text("weights of before")
    start.mkdir()
    config = small_config(distill=True)
    assert config.engine.distill

    def save() -> None:
        weights = random_denoiser(config)
        save_model(folder, config, denoiser=weights, overwrite=True, actions=start)

    save()
    assert listing(folder) == ["README.md", "config.json", "inference_weight.distill", "pictures"]
    assert (folder / "pictures" / "newest" / "1.txt").read_text() == "a picture"
    assert (folder / "pictures" / "newest").is_symlink()
    (start / "actions.toml").write_text("# the start's")
    save()
    assert (folder / "actions.toml").read_text() == "# the start's"
    (folder / "actions.toml").write_text("# mine")
    save()
    assert (folder / "actions.toml").read_text() == "# mine"
    assert listing(tmp_path) == ["m", "start"]


def test_a_link_or_a_file_in_the_place_of_a_folder_is_replaced_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    config = small_config()
    elsewhere = write_model(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "file").write_text("no folder")
    for name in ("link", "file"):
        save_model(tmp_path / name, config, denoiser=random_denoiser(config), overwrite=True)
        assert locate(tmp_path / name).config == config
    assert listing(tmp_path) == ["elsewhere", "file", "link"]
    assert resolve(elsewhere).vae == elsewhere / "vae", "what the link led to stays whole"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_failure_while_writing_keeps_the_old_folder(tmp_path: Path, error: Exception) -> None:
    folder = write_model(tmp_path / "m")

    def full_disk(place: Path) -> None:
        raise error

    config = small_config("24B")
    with pytest.raises(CheckpointError, match="No space left"):
        save_model(
            folder,
            config,
            denoiser=random_denoiser(config),
            write_text_encoder=full_disk,
            overwrite=True,
        )
    assert resolve(folder).config == small_config()
    assert listing(tmp_path) == ["m"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = write_model(tmp_path / "m"), Path.rename

    def refused(path: Path, target: Path) -> Path:
        if target == folder and not path.name.endswith("-old"):
            raise OSError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    config = small_config("24B")
    with pytest.raises(CheckpointError, match="Permission denied"):
        save_model(folder, config, denoiser=random_denoiser(config), overwrite=True)
    assert resolve(folder).config == small_config()
    assert listing(tmp_path) == ["m"]
