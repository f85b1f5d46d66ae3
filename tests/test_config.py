"""Configurations are read strictly and checked when they are built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magi_rt import ConfigError, Frame, ShapeError
from magi_rt.config import MagiConfig, ModelConfig
from magi_rt.presets import PRESETS

SECTIONS = ("model_config", "runtime_config", "engine_config")


def published() -> dict[str, Any]:
    """The JSON object of a published configuration."""
    data: dict[str, Any] = json.loads(json.dumps(PRESETS["24B-distill"].to_dict()))
    return data


def refusal(data: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        MagiConfig.from_dict(data)
    return caught.value


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_writing_and_reading(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PRESETS[name].to_dict()), encoding="utf-8")
    assert MagiConfig.from_file(path) == PRESETS[name]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_named(section: str) -> None:
    data = published()
    data[section]["windowsize"] = 4
    error = refusal(data)
    assert error.field == "windowsize"
    assert section in error.message


@pytest.mark.parametrize(
    ("section", "key"),
    [(section, key) for section in SECTIONS for key in published()[section]],
)
def test_every_key_must_be_present(section: str, key: str) -> None:
    data = published()
    del data[section][key]
    assert refusal(data).field == key


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model_config", "num_layers", "34"),
        ("model_config", "num_layers", True),
        ("model_config", "num_layers", 34.0),
        ("model_config", "half_channel_vae", 1),
        ("model_config", "layernorm_epsilon", float("nan")),
        ("model_config", "params_dtype", None),
        ("runtime_config", "noise2clean_kvrange", [5, 4, 3, "2"]),
        ("runtime_config", "noise2clean_kvrange", 5),
        ("runtime_config", "cfg_t_range", [0.0, None]),
        ("runtime_config", "load", 7),
        ("engine_config", "distill", "yes"),
    ],
)
def test_a_wrongly_typed_key_is_named_with_its_value(section: str, key: str, value: Any) -> None:
    data = published()
    data[section][key] = value
    error = refusal(data)
    assert error.field == key
    assert "must be" in error.message


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model_config", "hidden_size", 6145),
        ("model_config", "num_layers", 0),
        ("model_config", "num_layers", 1001),
        ("model_config", "caption_channels", 10**30),
        ("runtime_config", "fps", 10**30),
        ("model_config", "num_query_groups", 7),
        ("model_config", "params_dtype", "torch.int8"),
        ("model_config", "cond_gating_ratio", 0.5),
        ("model_config", "apply_layernorm_1p", False),
        ("model_config", "out_channels", 16),
        ("runtime_config", "num_steps", 18),
        ("runtime_config", "num_steps", -16),
        ("runtime_config", "cfg_number", 2),
        ("runtime_config", "cfg_number", 3),
        ("runtime_config", "clean_t", 1.5),
        ("runtime_config", "text_scales", [7.5]),
        ("runtime_config", "cfg_t_range", [0.0, 0.3, 0.1, 0.3, 0.9]),
        ("runtime_config", "cfg_t_range", [0.02, 0.1, 0.2, 0.3, 0.9]),
        ("runtime_config", "noise2clean_kvrange", [5, 4, 3, 0]),
        ("runtime_config", "clean_chunk_kvrange", 0),
        ("runtime_config", "seed", -1),
        ("engine_config", "shortcut_mode", "8,8,8"),
        ("engine_config", "pp_size", 0),
    ],
)
def test_a_contradiction_is_refused_and_names_its_key(section: str, key: str, value: Any) -> None:
    data = published()
    data[section][key] = value
    assert refusal(data).field == key


@pytest.mark.parametrize("fps", [6, 12, 15])
def test_a_rate_at_which_the_decoder_would_lose_pictures_is_refused(fps: int) -> None:
    data = published()
    data["runtime_config"]["fps"] = fps
    error = refusal(data)
    assert error.field == "fps"
    assert "some would be lost; use 24" in error.message


def test_the_shortest_steps_may_be_left_out_and_are_kept_where_they_are_said() -> None:
    data = published()
    assert "shortest_steps" not in data["runtime_config"]
    data["runtime_config"]["shortest_steps"] = 8
    config = MagiConfig.from_dict(data)
    assert config.runtime.shortest_steps == 8
    assert config.to_dict() == data
    data["runtime_config"]["shortest_steps"] = 32  # more than the model's own 16
    assert refusal(data).field == "shortest_steps"


@pytest.mark.parametrize("levels", [0, -1, 256, float("nan")])
def test_levels_of_deflickering_may_be_left_out_and_are_grey_levels(levels: float) -> None:
    data = published()
    data["runtime_config"]["deflicker"] = 12.5
    assert MagiConfig.from_dict(data).to_dict() == data
    data["runtime_config"]["deflicker"] = levels
    assert refusal(data).field == "deflicker"


def test_visibility_stages_must_divide_the_steps() -> None:
    data = published()
    data["runtime_config"] |= {"num_steps": 8, "noise2clean_kvrange": [5, 4, 3]}
    assert refusal(data).field == "num_steps"


def test_head_rules_are_checked() -> None:
    model = PRESETS["4.5B-base"].model
    with pytest.raises(ConfigError, match="num_attention_heads is 12"):
        replace(model, num_attention_heads=12, hidden_size=1536)
    with pytest.raises(ConfigError, match="kv_channels is 36"):
        replace(model, kv_channels=36, hidden_size=864)


def test_guidance_count_follows_from_the_weights() -> None:
    data = PRESETS["4.5B-base"].to_dict()
    data["runtime_config"]["cfg_number"] = 1
    assert "must be 3" in refusal(data).message


def test_sections_are_named_when_missing_unknown_or_no_objects() -> None:
    data = published()
    assert refusal(data | {"extra": {}}).field == "extra"
    assert refusal(data | {"engine_config": []}).field == "engine_config"
    del data["runtime_config"]
    assert refusal(data).field == "runtime_config"
    assert "object" in refusal([]).message


def test_a_file_that_is_absent_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        MagiConfig.from_file(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json is not JSON"):
        MagiConfig.from_file(broken)


def test_an_error_in_a_file_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(published() | {"surplus": 1}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json") as caught:
        MagiConfig.from_file(path)
    assert caught.value.field == "surplus"


def test_derived_sizes_follow_the_published_models() -> None:
    small, large = PRESETS["4.5B-base"].model, PRESETS["24B-base"].model
    assert (small.head_dim, small.latent_channels, small.rope_bands) == (128, 16, 16)
    assert (large.latent_channels, large.gate_hidden) == (16, 1536)
    assert PRESETS["24B-base"].runtime.frames_per_chunk == 24


def test_presets_differ_where_the_published_files_differ() -> None:
    steps = {name: preset.runtime.num_steps for name, preset in PRESETS.items()}
    assert steps == {
        "4.5B-base": 64,
        "4.5B-distill": 64,
        "4.5B-distill-fp8": 64,
        "24B-base": 32,
        "24B-distill": 16,
        "24B-distill-fp8": 16,
    }
    assert [p.runtime.cfg_number for p in PRESETS.values()] == [3, 1, 1, 3, 1, 1]
    assert [p.engine.fp8_quant for p in PRESETS.values()] == [False, False, True] * 2


def test_a_config_cannot_be_edited() -> None:
    with pytest.raises(AttributeError):
        PRESETS["4.5B-base"].model.num_layers = 1  # type: ignore[misc]


def test_a_section_built_in_python_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="num_layers"):
        ModelConfig(
            num_layers=0,
            hidden_size=64,
            ffn_hidden_size=64,
            num_attention_heads=8,
            num_query_groups=8,
            kv_channels=8,
        )


def test_a_frame_takes_rgb_bytes_only() -> None:
    frame = Frame(np.zeros((4, 6, 3), np.uint8), index=0, chunk=0, prompt="rain", time_s=0.0)
    assert (frame.height, frame.width) == (4, 6)
    with pytest.raises(ShapeError, match=r"\[H, W, 3\] uint8"):
        Frame(np.zeros((4, 6), np.uint8), index=0, chunk=0, prompt="", time_s=0.0)
