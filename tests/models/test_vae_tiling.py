"""Tiles cover every size, blend linearly, and change nothing where one tile is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from magi_rt.config import RuntimeConfig
from magi_rt.errors import ConfigError, OptionError, ShapeError
from magi_rt.models.vae import ViTVAE, to_uint8
from magi_rt.models.vae_tiling import (
    Axis,
    TileConfig,
    decode_frames,
    encode_frames,
    tiled_decode,
    tiled_encode,
)
from tests.models.vae_kit import LINEAR_END, TINY, random_pixels, tiny_vae

TILES = TileConfig(4, 16, 16, spatial_overlap=0.25)


class Recorder:
    """Stands for an auto-encoder whose answer to a tile is one constant, counting up."""

    def __init__(self) -> None:
        self.config = TINY
        self.inputs: list[Tensor] = []

    def encode(self, pixels: Tensor) -> Tensor:
        return self._answer(pixels, lambda size, factor: -(-size // factor))

    def decode(self, latents: Tensor) -> Tensor:
        return self._answer(latents, lambda size, factor: size * factor)

    def _answer(self, x: Tensor, scale: Callable[[int, int], int]) -> Tensor:
        sizes = [scale(s, f) for s, f in zip(x.shape[2:], (2, 4, 4), strict=True)]
        self.inputs.append(x)
        return torch.full((1, 1, *sizes), float(len(self.inputs)))


def recorder() -> tuple[Recorder, ViTVAE]:
    made = Recorder()
    return made, cast(ViTVAE, made)


def test_tile_counts_are_ceil_of_size_over_stride_even_when_one_tile_would_do() -> None:
    axis = Axis.cut(256, 32, 0.25)
    assert list(axis.starts(256)) == [0, 192]
    assert list(axis.starts(192)) == [0]
    assert (axis.extent, axis.keep) == (8, 24)


def test_the_published_tiles_are_half_a_second_of_256_pixels() -> None:
    tiles = TileConfig.published(24)
    assert tiles.sizes == (12, 256, 256)
    assert tiles.overlaps == (0.0, 0.25, 0.25)


def test_a_picture_no_larger_than_the_stride_is_one_call() -> None:
    vae, pixels = tiny_vae(), random_pixels(1, 3, 4, 12, 12)
    assert torch.equal(tiled_encode(vae, pixels, TILES), vae.encode(pixels))
    latents = torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(tiled_decode(vae, latents, TILES), vae.decode(latents))


def test_without_spatial_tiling_pictures_are_cut_in_time_only() -> None:
    made, vae = recorder()
    tiled_encode(vae, torch.zeros(1, 3, 8, 60, 60), TileConfig(4, 16, 16, spatial=False))
    assert [tuple(x.shape[2:]) for x in made.inputs] == [(4, 60, 60)] * 2


def test_tiles_fade_linearly_from_their_neighbour() -> None:
    _, vae = recorder()
    joined = tiled_decode(vae, torch.zeros(1, 4, 2, 3, 4), TileConfig(4, 16, 16))
    row = joined[0, 0, 0, 0]
    # 16 output pixels per tile, 4 of them shared: tile 1 keeps 12, then fades into tile 2.
    assert row.tolist() == [1.0] * 12 + [1.0, 1.25, 1.5, 1.75]


def test_decoding_blends_with_raw_neighbours_and_encoding_with_blended_ones() -> None:
    tiles = TileConfig(4, 16, 16, spatial_overlap=0.5)
    _, vae = recorder()
    decoded = tiled_decode(vae, torch.zeros(1, 4, 2, 4, 4), tiles)[0, 0, 0]
    # First pixel of tile 4: all of the tile beside it, whose own first row is raw (3) ...
    assert decoded[8, 8] == 3.0
    _, vae = recorder()
    encoded = tiled_encode(vae, torch.zeros(1, 3, 4, 16, 16), tiles)[0, 0, 0]
    # ... or has already faded from the tile above (1).
    assert encoded[2, 2] == 1.0


def test_a_last_tile_of_one_latent_frame_gives_one_frame() -> None:
    latents = torch.randn(1, 4, 3, 3, 3, generator=torch.Generator().manual_seed(5))
    assert tiled_decode(tiny_vae(), latents, TILES).shape[2] == 5


@pytest.mark.parametrize("size", [(2, 4, 4), (6, 20, 28), (5, 16, 16), (1, 40, 12)])
def test_every_size_comes_back_with_one_latent_per_patch(size: tuple[int, int, int]) -> None:
    frames, height, width = size
    latents = tiled_encode(tiny_vae(), random_pixels(1, 3, *size), TILES)
    assert latents.shape[2:] == (-(-frames // 2), height // 4, width // 4)


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (4, 5, 7, 6)], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("config", [TINY, LINEAR_END], ids=["convolution", "linear"])
def test_pictures_are_the_tiled_pixels_as_bytes(shape: tuple[int, ...], config: object) -> None:
    vae = tiny_vae(config)  # type: ignore[arg-type]
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    wanted = to_uint8(tiled_decode(vae, latents[None], TILES)[0]).permute(1, 2, 3, 0)
    pictures = decode_frames(vae, latents, TILES)
    assert pictures.is_contiguous()
    assert torch.equal(pictures, wanted)


def test_frames_encode_as_their_pixels_between_minus_one_and_one() -> None:
    vae = tiny_vae()
    frames = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
    pixels = (frames.float() / 127.5 - 1).permute(3, 0, 1, 2)[None]
    assert torch.equal(encode_frames(vae, frames, TILES), vae.encode(pixels)[0])


def test_frames_in_another_layout_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[frames, height, width, 3\]"):
        encode_frames(tiny_vae(), torch.zeros(4, 3, 12, 12, dtype=torch.uint8), TILES)


def test_latents_in_another_layout_are_refused() -> None:
    with pytest.raises(ShapeError):
        decode_frames(tiny_vae(), torch.zeros(1, 4, 2, 3, 3), TILES)


class Counting:
    """A decoder of pictures of one pixel: one of a lone latent frame, else four of each."""

    config = replace(TINY, patch_length=4, patch_size=1)

    def decode(self, latents: Tensor) -> Tensor:
        times = latents.shape[2]
        return torch.zeros(1, 3, 1 if times == 1 else 4 * times, 1, 1)

    def decode_pixels(self, latents: Tensor) -> Tensor:
        return to_uint8(self.decode(latents)[0]).permute(1, 2, 3, 0)[None]


def whole(fps: int, width: int) -> bool:
    """True when a chunk is decoded to four pictures for each of its latent frames."""
    latents = torch.zeros(1, width, 1, 1)
    try:
        pictures = decode_frames(Counting(), latents, TileConfig.published(fps))
    except OptionError:
        return False
    return len(pictures) == 4 * width


@pytest.mark.parametrize("width", range(1, 9))
def test_configurations_are_accepted_exactly_where_no_picture_of_a_chunk_is_lost(
    width: int,
) -> None:
    for fps in range(1, 61):
        accepted = True
        try:
            RuntimeConfig(fps=fps, chunk_width=width)
        except ConfigError:
            accepted = False
        assert accepted == whole(fps, width), fps


def test_tiles_that_make_no_progress_are_refused() -> None:
    with pytest.raises(OptionError, match="no progress"):
        tiled_decode(tiny_vae(), torch.zeros(1, 4, 2, 3, 3), TileConfig(1, 16, 16))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TileConfig(0, 16, 16), "length is 0"),
        (lambda: TileConfig(4, 16, -1), "width is -1"),
        (lambda: TileConfig(4, 16, 16, spatial_overlap=1.0), "spatial_overlap is 1.0"),
        (lambda: TileConfig(4, 16, 16, temporal_overlap=-0.1), "temporal_overlap is -0.1"),
    ],
)
def test_impossible_tiles_are_refused(build: Callable[[], TileConfig], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        build()
