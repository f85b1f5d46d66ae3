"""The auto-encoder's config.json is read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from magi_rt.errors import ConfigError
from magi_rt.models.vae import VAEConfig
from tests.models.vae_kit import TINY


def card(**changes: Any) -> dict[str, Any]:
    written = TINY.to_card()
    written["ddconfig"] |= changes
    return written


def test_a_written_card_reads_back() -> None:
    assert VAEConfig.from_card(json.loads(json.dumps(TINY.to_card()))) == TINY


def test_flags_the_model_never_varies_may_be_absent() -> None:
    written = card()
    for key in ("with_cls_token", "norm_code", "use_rope", "use_final_proj"):
        del written["ddconfig"][key]
    del written["model_type"]
    assert VAEConfig.from_card(written) == TINY


def test_the_published_sizes_give_the_published_grid() -> None:
    published = VAEConfig.from_card(
        card(video_size=256, video_length=16, patch_size=8, patch_length=4, embed_dim=1024)
    )
    assert published.grid == (4, 32, 32)


def test_settings_that_change_nothing_may_stand_there() -> None:
    idle = {"qk_scale": None, "drop_rate": 0.0, "attn_drop_rate": 0, "drop_path_rate": 0.0}
    assert VAEConfig.from_card(card(**idle)) == VAEConfig.from_card(card())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"use_rope": True}, "only false is supported"),
        ({"norm_code": True}, "only false is supported"),
        ({"use_final_proj": True}, "only false is supported"),
        ({"ln_in_attn": False}, "only true is supported"),
        ({"with_cls_token": False}, "only true is supported"),
        ({"double_z": False}, "only true is supported"),
        ({"depth": 0}, "greater than 0"),
        ({"depth": 1001}, "at most 1,000"),
        ({"depth": "2"}, "whole number"),
        ({"embed_dim": 10**30}, "at most 1,000,000"),
        ({"mlp_ratio": 1e30}, "at most 1,000,000"),
        ({"qkv_bias": 1}, "true or false"),
        ({"video_size": 18}, "multiple of patch_size, 4"),
        ({"video_length": 3}, "multiple of patch_length, 2"),
        ({"num_heads": 3}, "multiple of num_heads, 3"),
        ({"embed_dim": 48}, "multiple of a patch's 32"),
        ({"qk_scale": 0.1}, "unknown keys: qk_scale"),
        ({"drop_rate": 0.1}, "unknown keys: drop_rate"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        VAEConfig.from_card(card(**changes))
    (changed,) = changes
    assert changed in str(caught.value) or caught.value.field == changed


def test_a_missing_size_is_named() -> None:
    written = card()
    del written["ddconfig"]["z_chans"]
    with pytest.raises(ConfigError, match="z_chans"):
        VAEConfig.from_card(written)


def test_another_model_type_is_refused() -> None:
    with pytest.raises(ConfigError, match='only "vit" is supported'):
        VAEConfig.from_card({**card(), "model_type": "conv"})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ddconfig": 3}', '{"ddconfig": {}, "x": 1}'])
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        VAEConfig.from_file(path)
