"""Packed layers compute what the layers they stand for compute."""

from __future__ import annotations

import pytest
import torch

from magi_rt.backends import packed
from magi_rt.backends.packed import PackedLinear, PackedQKV, can_pack, pack
from magi_rt.models.dit import VideoDiT
from magi_rt.models.dit_block import QKVProjection
from tests.support import random_denoiser, small_config

pytestmark = pytest.mark.skipif(not can_pack(), reason="this PyTorch has no packed products")


def denoiser(family: str = "4.5B") -> VideoDiT:
    config = small_config(family)
    dit = VideoDiT(config.model)
    dit.load_state_dict(random_denoiser(config))
    return dit.requires_grad_(False)


@pytest.mark.parametrize("family", ["4.5B", "24B"])
@torch.inference_mode()
def test_every_layer_of_a_block_gives_the_same_numbers(family: str) -> None:
    plain, made = denoiser(family), denoiser(family)
    assert pack(made)
    x = torch.randn(2, 5, plain.config.hidden_size, generator=torch.Generator().manual_seed(1))
    for one, other in zip(plain.blocks(), made.blocks(), strict=True):
        assert isinstance(other.self_attention.linear_qkv, PackedQKV)
        wanted, found = one.self_attention.linear_qkv(x), other.self_attention.linear_qkv(x)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(wanted, found, strict=True))
        assert torch.allclose(one.mlp(x), other.mlp(x), atol=1e-5)
        norms = one.self_attn_post_norm, other.self_attn_post_norm
        assert torch.equal(norms[0](x), norms[1](x))


def test_names_and_weights_stay_what_they_were() -> None:
    plain, made = denoiser(), denoiser()
    pack(made)
    before, after = plain.state_dict(), made.state_dict()
    assert list(before.keys() ^ after.keys()) == []
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_in_training_stays_as_it_is() -> None:
    dit = denoiser().requires_grad_(True)
    assert not pack(dit)
    assert type(dit.blocks()[0].self_attention.linear_qkv) is QKVProjection


def test_a_large_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "PACKED_BYTES", 1000)
    assert not pack(denoiser())


def test_quantised_layers_keep_their_own_products() -> None:
    config = small_config(fp8=True)
    dit = VideoDiT(config.model, fp8=True).requires_grad_(False)
    pack(dit)
    inner = dit.blocks()[1].self_attention
    assert not isinstance(inner.linear_qkv, PackedQKV)
    assert not isinstance(inner.linear_proj, PackedLinear)
