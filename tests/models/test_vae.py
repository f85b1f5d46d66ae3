"""The auto-encoder's borders: shapes, single frames, sizes, precision, bytes."""

from __future__ import annotations

import re

import pytest
import torch

from magi_rt.errors import ShapeError
from magi_rt.models.vae import from_uint8, to_uint8
from magi_rt.models.vae_block import GRIDS_KEPT, attend, normalise
from tests.models.vae_kit import LINEAR_END, TINY, random_pixels, tiny_vae


@pytest.mark.parametrize("config", [TINY, LINEAR_END], ids=["convolution", "linear"])
def test_latents_and_pixels_have_the_promised_shapes(config: object) -> None:
    vae = tiny_vae(config)  # type: ignore[arg-type]
    latents = vae.encode(random_pixels(2, 3, 6, 12, 20))
    assert latents.shape == (2, 4, 3, 3, 5)
    assert vae.decode(latents).shape == (2, 3, 6, 12, 20)
    assert vae.decode_pixels(latents).shape == (2, 6, 12, 20, 3)


def test_one_frame_encodes_like_the_same_frame_repeated() -> None:
    vae, frame = tiny_vae(), random_pixels(1, 3, 1, 16, 16)
    assert torch.equal(vae.encode(frame), vae.encode(frame.expand(-1, -1, 2, -1, -1)))


@pytest.mark.parametrize("config", [TINY, LINEAR_END], ids=["convolution", "linear"])
def test_one_latent_frame_gives_one_frame(config: object) -> None:
    vae = tiny_vae(config)  # type: ignore[arg-type]
    latents = torch.randn(1, 4, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    assert vae.decode(latents).shape[2] == 1
    assert vae.decode_pixels(latents).shape[1] == 1


@pytest.mark.parametrize("config", [TINY, LINEAR_END], ids=["convolution", "linear"])
def test_finished_pictures_are_the_decoded_pixels_as_bytes(config: object) -> None:
    vae = tiny_vae(config)  # type: ignore[arg-type]
    latents = torch.randn(2, 4, 2, 3, 5, generator=torch.Generator().manual_seed(3))
    wanted = to_uint8(vae.decode(latents)).permute(0, 2, 3, 4, 1)
    assert torch.equal(vae.decode_pixels(latents), wanted)


def test_a_linear_end_places_every_pixel_where_its_patch_lies() -> None:
    vae = tiny_vae(LINEAR_END)
    tokens = torch.arange(2 * 3 * 5, dtype=torch.float32).view(1, 30, 1) * 1000
    order = torch.arange(2 * 4 * 4 * 3, dtype=torch.float32)  # time, height, width, channel
    volume = vae.decoder.volume(tokens + order, (2, 3, 5))
    frame, row, column, channel = 3, 6, 13, 2
    token = (frame // 2 * 3 + row // 4) * 5 + column // 4
    place = ((frame % 2 * 4 + row % 4) * 4 + column % 4) * 3 + channel
    assert volume[0, frame, row, column, channel] == token * 1000 + place


def test_the_patch_product_is_the_published_convolution() -> None:
    vae, pixels = tiny_vae(), random_pixels(2, 3, 4, 12, 8)
    wanted = vae.encoder.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    assert torch.allclose(vae.encoder.patch_embed(pixels), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "field", "way_out"),
    [
        ((1, 3, 3, 16, 16), "frames", "1 or a multiple of 2"),
        ((1, 3, 2, 18, 16), "height", "try 16"),
        ((1, 3, 2, 16, 3), "width", "try 4"),
        ((1, 4, 2, 16, 16), "pixels", "[clips, 3, frames, height, width]"),
        ((3, 2, 16, 16), "pixels", "[clips, 3, frames, height, width]"),
    ],
)
def test_pixels_that_do_not_divide_into_patches_are_refused(
    shape: tuple[int, ...], field: str, way_out: str
) -> None:
    with pytest.raises(ShapeError, match=re.escape(way_out)) as caught:
        tiny_vae().encode(torch.zeros(shape))
    assert caught.value.field == field


def test_latents_with_other_channels_are_refused() -> None:
    for decode in (tiny_vae().decode, tiny_vae(LINEAR_END).decode_pixels):
        with pytest.raises(ShapeError, match="clips, 4, frames"):
            decode(torch.zeros(1, 16, 1, 4, 4))


def test_log_variance_stays_within_its_range() -> None:
    vae = tiny_vae()
    for bias, limit in ((100.0, 20.0), (-100.0, -30.0)):
        vae.encoder.last_layer.bias[4:] = bias
        _, log_variance = vae.moments(random_pixels(1, 3, 2, 16, 16))
        assert bool((log_variance == limit).all())


def test_bytes_survive_the_way_to_pixels_and_back_within_one_step() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    back = to_uint8(from_uint8(values))
    assert int((back.int() - values.int()).abs().max()) <= 1
    assert to_uint8(torch.tensor([-3.0, -1.0, 1.0, 7.0])).tolist() == [0, 0, 255, 255]


def test_heads_are_normalised_by_their_population_deviation() -> None:
    heads = torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.0, 2e-5]])
    wanted = torch.tensor([[-1 / 1.00001, 1 / 1.00001], [0.0, 0.0], [-0.5, 0.5]])
    assert torch.allclose(normalise(heads), wanted, atol=1e-6)


def test_the_norm_and_attention_of_training_agree_with_those_of_inference() -> None:
    generator = torch.Generator().manual_seed(2)
    heads = torch.randn(3, 2, 4, 9, 8, generator=generator)
    half = heads.bfloat16()
    trained = normalise(half.clone().requires_grad_())
    assert torch.allclose(trained.float(), normalise(half).float(), atol=2e-2)
    wanted = attend(*heads.unbind(0))
    assert torch.allclose(attend(*heads.clone().requires_grad_().unbind(0)), wanted, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    vae = tiny_vae().requires_grad_(True)
    mean, log_variance = vae.moments(random_pixels(1, 3, 4, 12, 20))
    (vae.decode(mean).square().mean() + log_variance.square().mean()).backward()
    silent = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_resized_position_table_follows_its_weights() -> None:
    vae = tiny_vae()
    grid = (3, 5, 2)
    with torch.inference_mode():
        first = vae.encoder.positions(grid)
        assert vae.encoder.positions(grid) is first
    vae.encoder.pos_embed.mul_(2)
    assert torch.allclose(vae.encoder.positions(grid), first * 2)


def test_only_a_bounded_number_of_position_tables_is_remembered() -> None:
    encoder = tiny_vae().encoder
    with torch.no_grad():
        for width in range(5, 5 + 2 * GRIDS_KEPT):
            encoder.positions((1, 2, width))
    assert len(encoder._resized) == GRIDS_KEPT


def test_position_tables_are_not_remembered_while_gradients_are_wanted() -> None:
    encoder = tiny_vae().requires_grad_(True).encoder
    assert encoder.positions((3, 5, 2)).requires_grad
    assert not encoder._resized


def test_bfloat16_weights_give_nearly_the_same_pictures_in_float32() -> None:
    exact, rough = tiny_vae(), tiny_vae().bfloat16()
    pixels = random_pixels(1, 3, 4, 16, 16)
    latents = exact.encode(pixels)
    assert rough.encode(pixels).dtype == rough.decode(latents).dtype == torch.float32
    wanted = exact.decode(latents)
    assert float((rough.decode(latents) - wanted).norm() / wanted.norm()) < 0.03
