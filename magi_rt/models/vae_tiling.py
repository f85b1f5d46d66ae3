"""Encoding and decoding of any size in tiles of the size the auto-encoder was trained on.

Tiles overlap in space and are blended linearly. Encoding blends every tile with neighbours that
are blended already; decoding blends with neighbours as they came from the network (paper 2.1).

Axes in this file are always (time, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol, Self

import torch
from torch import Tensor

from magi_rt.errors import OptionError, ShapeError
from magi_rt.models.vae import ViTVAE, from_uint8, to_uint8
from magi_rt.models.vae_config import VAEConfig

WHOLE_PICTURE = 100_000  # tile side in pixels when pictures are not cut
PUBLISHED_SIDE = 256
PUBLISHED_OVERLAP = 0.25

Index = tuple[int, int, int]


@dataclass(frozen=True)
class TileConfig:
    """Tile sizes in frames and pixels, and the share of a tile that overlaps its neighbour.

    Attributes:
        spatial: False leaves pictures whole and cuts in time only.
    """

    length: int
    height: int
    width: int
    spatial_overlap: float = PUBLISHED_OVERLAP
    temporal_overlap: float = 0.0
    spatial: bool = True

    def __post_init__(self) -> None:
        for name in ("length", "height", "width"):
            if getattr(self, name) < 1:
                raise OptionError(f"tile {name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("spatial_overlap", "temporal_overlap"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be in [0, 1)")

    @classmethod
    def published(cls, fps: int) -> Self:
        """The published pipeline's tiles: 256 x 256 pixels and half a second of frames."""
        return cls(max(1, fps // 2), PUBLISHED_SIDE, PUBLISHED_SIDE)

    @property
    def sizes(self) -> Index:
        if self.spatial:
            return self.length, self.height, self.width
        return self.length, WHOLE_PICTURE, WHOLE_PICTURE

    @property
    def overlaps(self) -> tuple[float, float, float]:
        return self.temporal_overlap, self.spatial_overlap, self.spatial_overlap


@dataclass(frozen=True)
class Axis:
    """How one axis is cut: input tile and stride, and what remains of an output tile."""

    tile: int
    stride: int
    extent: int  # output samples blended with the neighbour before
    keep: int  # output samples kept of a blended tile

    @classmethod
    def cut(cls, tile: int, out_tile: int, overlap: float) -> Self:
        stride, extent = int(tile * (1 - overlap)), int(out_tile * overlap)
        if stride < 1 or out_tile - extent < 1:
            raise OptionError(
                f"a tile of {tile} samples with an overlap of {overlap} makes no progress; "
                "take larger tiles or less overlap"
            )
        return cls(tile, stride, extent, out_tile - extent)

    def starts(self, size: int) -> range:
        """Starts of all tiles: ceil(size / stride) of them, the last ones cut at the border."""
        return range(0, math.ceil(size / self.stride) * self.stride, self.stride)


class Decoder(Protocol):
    """What decodes tiles: a :class:`ViTVAE`, or its decoder in another form."""

    @property
    def config(self) -> VAEConfig: ...

    def decode(self, latents: Tensor) -> Tensor: ...

    def decode_pixels(self, latents: Tensor) -> Tensor: ...


def _factors(vae: Decoder) -> Index:
    return vae.config.patch_length, vae.config.patch_size, vae.config.patch_size


def tiled_encode(vae: ViTVAE, pixels: Tensor, tiles: TileConfig) -> Tensor:
    """[B, 3, F, H, W] in [-1, 1] -> latents [B, Z, T, h, w] float32.

    Raises:
        ShapeError: a tile does not divide into patches.
        OptionError: tiles too small for their overlap.
    """
    axes = [
        Axis.cut(size, size // factor, overlap)
        for size, factor, overlap in zip(tiles.sizes, _factors(vae), tiles.overlaps, strict=True)
    ]
    return _stitch(_run(vae.encode, pixels, axes), axes, blended_neighbours=True)


def tiled_decode(vae: Decoder, latents: Tensor, tiles: TileConfig) -> Tensor:
    """Latents [B, Z, T, h, w] -> pixels [B, 3, F, H, W] float32.

    A last tile of a single latent frame gives one frame, as published.

    Raises:
        ShapeError: the latents have another number of channels.
        OptionError: tiles too small for their overlap.
    """
    axes = [
        Axis.cut(size // factor, size // factor * factor, overlap)
        for size, factor, overlap in zip(tiles.sizes, _factors(vae), tiles.overlaps, strict=True)
    ]
    return _stitch(_run(vae.decode, latents, axes), axes, blended_neighbours=False)


def encode_frames(vae: ViTVAE, pixels: Tensor, tiles: TileConfig) -> Tensor:
    """uint8 [F, H, W, 3] on the network's device -> latents [Z, T, h, w] float32, unscaled.

    Raises:
        ShapeError: the frames are not [F, H, W, 3] or do not divide into patches.
    """
    if pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ShapeError(
            f"frames have shape {tuple(pixels.shape)}; it must be [frames, height, width, 3]",
            field="pixels",
        )
    return tiled_encode(vae, from_uint8(pixels).permute(3, 0, 1, 2)[None], tiles)[0]


def decode_frames(vae: Decoder, latents: Tensor, tiles: TileConfig) -> Tensor:
    """Unscaled latents [Z, T, h, w] -> pictures [F, H, W, 3] uint8, contiguous.

    Raises:
        ShapeError: the latents have another number of axes or channels.
    """
    if latents.ndim != 4:
        raise ShapeError(
            f"latents have shape {tuple(latents.shape)}; it must be "
            "[channels, frames, height, width]",
            field="latents",
        )
    sizes = zip(latents.shape[1:], tiles.sizes, _factors(vae), tiles.overlaps, strict=True)
    if all(size <= int(tile // factor * (1 - share)) for size, tile, factor, share in sizes):
        return vae.decode_pixels(latents[None])[0].contiguous()
    pixels = tiled_decode(vae, latents[None], tiles)[0]
    return to_uint8(pixels).permute(1, 2, 3, 0).contiguous()


def _run(network: Callable[[Tensor], Tensor], x: Tensor, axes: list[Axis]) -> dict[Index, Tensor]:
    """The network's answer for every tile, keyed by tile number per axis."""
    numbered = [
        list(enumerate(axis.starts(size))) for axis, size in zip(axes, x.shape[2:], strict=True)
    ]
    answers = {}
    for (t, top), (i, row), (j, column) in product(*numbered):
        time, height, width = axes
        answers[t, i, j] = network(
            x[
                :,
                :,
                top : top + time.tile,
                row : row + height.tile,
                column : column + width.tile,
            ]
        )
    return answers


def _stitch(raw: dict[Index, Tensor], axes: list[Axis], *, blended_neighbours: bool) -> Tensor:
    """Blends every tile with its predecessors (time, height, width), crops and joins."""
    done: dict[Index, Tensor] = {}
    for index, tile in raw.items():  # in order, so predecessors come first
        for axis in range(3):
            before = _before(index, axis)
            if before in raw:
                neighbour = done[before] if blended_neighbours else raw[before]
                tile = _blend(neighbour, tile, axis + 2, axes[axis].extent)
        done[index] = tile
    time, height, width = axes
    kept = {
        index: tile[:, :, : time.keep, : height.keep, : width.keep] for index, tile in done.items()
    }
    return _join(kept)


def _before(index: Index, axis: int) -> Index:
    t, i, j = index
    return (t - (axis == 0), i - (axis == 1), j - (axis == 2))


def _blend(before: Tensor, tile: Tensor, dim: int, extent: int) -> Tensor:
    """A copy of a tile whose first samples fade over from the end of the tile before."""
    extent = min(before.shape[dim], tile.shape[dim], extent)
    if extent == 0:
        return tile
    shape = [1] * tile.ndim
    shape[dim] = extent
    ramp = (torch.arange(extent, dtype=tile.dtype, device=tile.device) / extent).view(shape)
    old = before.narrow(dim, before.shape[dim] - extent, extent)
    mixed = old * (1 - ramp) + tile.narrow(dim, 0, extent) * ramp
    rest = tile.narrow(dim, extent, tile.shape[dim] - extent)
    return torch.cat([mixed, rest], dim=dim)


def _join(tiles: dict[Index, Tensor]) -> Tensor:
    """Cropped tiles set side by side."""
    t, i, j = (max(index[axis] for index in tiles) + 1 for axis in range(3))
    planes = [
        torch.cat([torch.cat([tiles[a, b, c] for c in range(j)], dim=4) for b in range(i)], dim=3)
        for a in range(t)
    ]
    return torch.cat(planes, dim=2)
