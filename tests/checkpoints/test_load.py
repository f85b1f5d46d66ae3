"""Weights go into networks exactly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from magi_rt.checkpoints.headers import open_weights
from magi_rt.checkpoints.layout import resolve
from magi_rt.checkpoints.load import load_into, run_time_dtypes
from magi_rt.checkpoints.networks import load_denoiser, load_vae
from magi_rt.errors import BackendError, CheckpointError
from magi_rt.world import World
from tests.support import SMALL_VAE, random_denoiser, random_vae, small_config, write_model

QUERY = "videodit_blocks.layers.1.self_attention.linear_qkv.q.weight"


def same(left: Tensor, right: Tensor) -> bool:
    """Bit for bit, 8-bit floats included."""
    bits = (left.view(torch.uint8), right.view(torch.uint8))
    return left.dtype == right.dtype and torch.equal(*bits)


def refusal(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_denoiser(resolve(folder))
    return caught.value


def edited(
    folder: Path, change: Callable[[dict[str, Tensor]], None], part: str = "inference_weight"
) -> Path:
    """Rewrites the denoiser's file with changed tensors."""
    path = folder / part / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    path.unlink()
    save_file(tensors, path)
    return folder


@pytest.mark.parametrize("family", ["4.5B", "24B"])
@pytest.mark.parametrize("fp8", [False, True])
def test_a_denoiser_gets_every_weight_exactly(family: str, fp8: bool, tmp_path: Path) -> None:
    config = small_config(family, distill=fp8, fp8=fp8)
    network = load_denoiser(resolve(write_model(tmp_path / "m", config)))
    wanted = random_denoiser(config)
    state = network.state_dict()
    assert state.keys() == wanted.keys()
    assert all(same(state[name], wanted[name]) for name in wanted)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_low_precision_files_get_their_high_precision_list_back(tmp_path: Path) -> None:
    config = small_config()
    config = replace(config, model=replace(config.model, params_dtype="torch.bfloat16"))
    folder = edited(write_model(tmp_path / "m", config), halve_everything)
    network = load_denoiser(resolve(folder))
    held = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    assert held == run_time_dtypes(config)
    assert held["rope.bands"] is torch.float32
    assert held[QUERY] is torch.bfloat16


def halve_everything(tensors: dict[str, Tensor]) -> None:
    for name in tensors:
        tensors[name] = tensors[name].to(torch.bfloat16)


def test_the_working_precision_can_be_chosen(model_folder: Path) -> None:
    network = load_denoiser(resolve(model_folder), params_dtype=torch.bfloat16)
    assert network.state_dict()[QUERY].dtype is torch.bfloat16
    assert network.state_dict()["x_embedder.weight"].dtype is torch.float32


def test_a_missing_tensor_is_named(model_folder: Path) -> None:
    error = refusal(edited(model_folder, lambda tensors: tensors.__delitem__(QUERY)))
    assert error.field == QUERY
    assert "lacks 1 tensors" in error.message


def test_a_tensor_of_a_layer_too_many_is_named(model_folder: Path) -> None:
    more = QUERY.replace("layers.1.", "layers.9.")
    error = refusal(edited(model_folder, lambda t: t.update({more: t[QUERY].clone()})))
    assert error.field == more != QUERY


def test_a_tensor_that_no_network_has_is_left_out_with_a_warning(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = edited(model_folder, lambda t: t.update(surplus=torch.ones(1)))
    assert "surplus" not in load_denoiser(resolve(folder)).state_dict()
    assert "surplus" in caplog.text


@pytest.mark.parametrize("shape", [(64, 63), (32, 128)])  # fewer numbers, and as many
def test_a_misshapen_tensor_is_named_with_both_shapes(
    shape: tuple[int, int], model_folder: Path
) -> None:
    error = refusal(edited(model_folder, lambda t: t.update({QUERY: torch.ones(shape)})))
    assert error.field == QUERY
    assert f"{[*shape]}, not [64, 64]" in error.message


@pytest.mark.parametrize("dtype", [torch.int32, torch.float64, torch.float8_e4m3fn])
def test_a_tensor_of_another_kind_is_named(dtype: torch.dtype, model_folder: Path) -> None:
    error = refusal(edited(model_folder, lambda t: t.update({QUERY: t[QUERY].to(dtype)})))
    assert error.field == QUERY
    assert "another type" in error.message


def test_a_quantised_weight_must_be_stored_as_such(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", small_config(fp8=True))
    edited(folder, lambda t: t.update({QUERY: t[QUERY].float()}), "inference_weight.fp8")
    assert "not F8_E4M3" in refusal(folder).message


def test_many_wrong_names_are_counted_and_the_first_are_shown(model_folder: Path) -> None:
    def rename_all(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors["module." + name] = tensors.pop(name)

    message = refusal(edited(model_folder, rename_all)).message
    assert "lacks 92 tensors" in message
    assert "and 88 more" in message


def test_a_shard_cut_short_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", small_config(), shard_bytes=100_000)
    shards = sorted((folder / "inference_weight").glob("*.safetensors"))
    assert len(shards) > 2
    shards[-1].write_bytes(shards[-1].read_bytes()[:-1])
    error = refusal(folder)
    assert shards[-1].name in error.message
    assert "cut short" in error.message


def test_sharded_weights_load_as_well_as_a_single_file(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", small_config(), shard_bytes=100_000)
    state = load_denoiser(resolve(folder)).state_dict()
    wanted = random_denoiser(small_config())
    assert all(same(state[name], tensor) for name, tensor in wanted.items())


def test_pickle_weights_are_refused(model_folder: Path) -> None:
    path = model_folder / "inference_weight" / "model.safetensors"
    path.rename(path.with_name("model.pt"))
    assert "only safetensors is read" in refusal(model_folder).message


def test_an_auto_encoder_gets_every_weight_exactly(model_folder: Path) -> None:
    state = load_vae(resolve(model_folder)).state_dict()
    wanted = random_vae(SMALL_VAE)
    assert state.keys() == wanted.keys()
    assert all(same(state[name], wanted[name]) for name in wanted)


def test_an_auto_encoder_that_does_not_fit_its_config_is_refused(model_folder: Path) -> None:
    path = model_folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    del tensors["decoder.cls_token"]
    path.unlink()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"decoder\.cls_token"):
        load_vae(resolve(model_folder))


@pytest.mark.parametrize(("key", "value"), [("z_chans", 8), ("patch_length", 2)])
def test_an_auto_encoder_of_another_model_is_refused(
    key: str, value: int, model_folder: Path
) -> None:
    path = model_folder / "vae" / "config.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["ddconfig"][key] = value
    path.write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(CheckpointError, match="belong to different models") as caught:
        load_vae(resolve(model_folder))
    assert caught.value.field == key


class Tied(nn.Module):
    """Two names for one table, as text encoders have."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding(4, 2)
        self.tokens = nn.Embedding(4, 2)


def test_tied_names_share_a_stored_tensor_and_unneeded_ones_can_be_ignored(tmp_path: Path) -> None:
    table = torch.arange(8.0).reshape(4, 2)
    save_file(
        {"shared.weight": table, "decoder.weight": torch.ones(1)}, tmp_path / "model.safetensors"
    )
    with torch.device("meta"):
        module = Tied()
    dtypes = dict.fromkeys(module.state_dict(), torch.float32)
    load_into(
        module,
        open_weights(tmp_path),
        dtypes,
        ignored=("decoder.",),
        tied={"tokens.weight": "shared.weight"},
    )
    assert torch.equal(module.tokens.weight, table)
    assert module.tokens.weight.data_ptr() == module.shared.weight.data_ptr()
    with torch.device("meta"):
        untied = Tied()
    with pytest.raises(CheckpointError, match=r"tokens\.weight"):
        load_into(untied, open_weights(tmp_path), dtypes, ignored=("decoder.",))
    assert untied.shared.weight.is_meta


def test_weights_that_do_not_fit_are_refused_before_any_is_read(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.checkpoints.load.limit_on", lambda device: 0)
    read: list[str] = []
    with pytest.raises(MemoryError, match=r"inference_weight takes \d\.\d GiB on cpu, where 0\.0 "):
        load_denoiser(
            resolve(model_folder),
            params_dtype=torch.bfloat16,
            seen=lambda name, tensor: read.append(name),
        )
    assert not read
    with pytest.raises(BackendError, match="no room in memory for the model's weights"):
        World.open(model_folder, backend="eager", dtype="bfloat16")


def test_weights_that_stay_as_they_are_stored_need_no_room_of_their_own(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.checkpoints.load.limit_on", lambda device: 0)
    network = load_denoiser(resolve(model_folder))
    assert same(network.state_dict()[QUERY], random_denoiser(small_config())[QUERY])
