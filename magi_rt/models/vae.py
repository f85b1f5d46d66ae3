"""The auto-encoder between pixels and latents: a plain vision transformer on each side.

One token stands for ``patch_length`` frames of ``patch_size`` x ``patch_size`` pixels; time is
not causal inside a clip (paper 2.1).

Letters in shapes: B clips, F frames, H x W pixels, T x h x w a latent grid, Z latent channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from magi_rt.errors import ShapeError
from magi_rt.models.vae_block import TokenTransformer
from magi_rt.models.vae_config import Grid, VAEConfig

__all__ = ["VAEConfig", "ViTVAE", "from_uint8", "to_uint8"]

LOG_VARIANCE_RANGE = (-30.0, 20.0)


class PatchEmbed(nn.Module):
    """Cuts a clip into patches and projects each to one token."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        size = (config.patch_length, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_chans, config.embed_dim, size, stride=size)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, F, H, W] -> [B, T*h*w, E], w fastest; a convolution written as a product."""
        length, size = self.proj.kernel_size[0], self.proj.kernel_size[1]
        cut = pixels.unflatten(4, (-1, size)).unflatten(3, (-1, size)).unflatten(2, (-1, length))
        patches = cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)
        return nn.functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class ViTEncoder(TokenTransformer):
    """Pixels -> mean and log-variance of every latent cell."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(*_trunk_sizes(config))
        self.patch_embed = PatchEmbed(config)
        self.last_layer = nn.Linear(config.embed_dim, 2 * config.z_chans)

    def forward(self, pixels: Tensor, grid: Grid) -> Tensor:
        """[B, 3, F, H, W] -> [B, 2Z, T, h, w]."""
        moments = self.last_layer(self.transform(self.patch_embed(pixels), grid))
        out: Tensor = moments.transpose(1, 2).unflatten(2, grid)
        return out


class ViTDecoder(TokenTransformer):
    """Latents -> pixels, one patch per token."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(*_trunk_sizes(config))
        self.patch = (config.patch_length, config.patch_size, config.patch_size)
        self.proj_in = nn.Linear(config.z_chans, config.embed_dim)
        self.last_layer: nn.Conv3d | nn.Linear
        if config.conv_last_layer:
            channels = config.embed_dim // config.patch_volume
            self.last_layer = nn.Conv3d(channels, config.in_chans, 3, padding=1)
        else:
            self.last_layer = nn.Linear(config.embed_dim, config.in_chans * config.patch_volume)

    def tokens(self, latents: Tensor) -> Tensor:
        """[B, Z, T, h, w] -> [B, T*h*w, E], or pixels of patches where the end is linear."""
        grid = (latents.shape[2], latents.shape[3], latents.shape[4])
        x = self.transform(self.proj_in(latents.flatten(2).transpose(1, 2)), grid)
        return self.last_layer(x) if isinstance(self.last_layer, nn.Linear) else x

    def volume(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens, each ordered (time, height, width, channel), -> [B, F, H, W, channels]."""
        cut = tokens.view(len(tokens), *grid, *self.patch, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return cut.flatten(1, 2).flatten(2, 3).flatten(3, 4)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, Z, T, h, w] -> [B, 3, F, H, W]."""
        grid = (latents.shape[2], latents.shape[3], latents.shape[4])
        pixels = self.volume(self.tokens(latents), grid).permute(0, 4, 1, 2, 3)
        if isinstance(self.last_layer, nn.Conv3d):
            pixels = self.last_layer(pixels)
        return pixels


class ViTVAE(nn.Module):
    """Frames to latents and back; latents here carry no scale factor.

    In bfloat16 everything runs in bfloat16, with norms computed in float32 inside. Results are
    float32 in any case.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ViTEncoder(config)
        self.decoder = ViTDecoder(config)

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.pos_embed.dtype

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents.

        Args:
            pixels: [B, 3, F, H, W] in [-1, 1]; F one frame or a multiple of patch_length, H and W
                multiples of patch_size. A single frame stands for patch_length equal ones.

        Returns:
            Two [B, Z, T, h, w] float32 tensors, the second within [-30, 20].

        Raises:
            ShapeError: a size does not divide into patches.
        """
        grid = self._grid_of(pixels)
        if pixels.shape[2] == 1:
            pixels = pixels.expand(-1, -1, self.config.patch_length, -1, -1)
        mean, log_variance = self.encoder(pixels.to(self.dtype), grid).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def encode(self, pixels: Tensor) -> Tensor:
        """The most likely latents of [B, 3, F, H, W] pixels: [B, Z, T, h, w] float32.

        Raises:
            ShapeError: a size does not divide into patches.
        """
        return self.moments(pixels)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """[B, Z, T, h, w] -> pixels [B, 3, F, H, W] float32, about [-1, 1] but not clamped.

        A single latent frame gives its first frame only.

        Raises:
            ShapeError: the latents have another number of channels or axes.
        """
        self._check_latents(latents)
        pixels: Tensor = self.decoder(latents.to(self.dtype)).float()
        return pixels[:, :, :1] if latents.shape[2] == 1 else pixels

    def decode_pixels(self, latents: Tensor) -> Tensor:
        """[B, Z, T, h, w] -> finished pictures [B, F, H, W, 3] uint8.

        The same numbers as to_uint8(decode(latents)); a linear end turns them into bytes before
        they are moved to their places, a quarter of the memory traffic.
        """
        if self.config.conv_last_layer:
            return to_uint8(self.decode(latents)).permute(0, 2, 3, 4, 1)
        self._check_latents(latents)
        grid = (latents.shape[2], latents.shape[3], latents.shape[4])
        patches = to_uint8(self.decoder.tokens(latents.to(self.dtype)).float())
        frames = self.decoder.volume(patches, grid)
        return frames[:, :1] if grid[0] == 1 else frames

    def _grid_of(self, pixels: Tensor) -> Grid:
        config = self.config
        if pixels.ndim != 5 or pixels.shape[1] != config.in_chans:
            raise ShapeError(
                f"pixels have shape {tuple(pixels.shape)}; it must be "
                f"[clips, {config.in_chans}, frames, height, width]",
                field="pixels",
            )
        _, _, frames, height, width = pixels.shape
        length, size = config.patch_length, config.patch_size
        if frames != 1 and frames % length:
            raise ShapeError(
                f"a clip has {frames} frames; it must have 1 or a multiple of {length}",
                field="frames",
            )
        for name, value in (("height", height), ("width", width)):
            if value < size or value % size:
                near = max(size, value // size * size)
                raise ShapeError(
                    f"{name} {value} is not a multiple of {size}; try {near}", field=name
                )
        return max(1, frames // length), height // size, width // size

    def _check_latents(self, latents: Tensor) -> None:
        if latents.ndim != 5 or latents.shape[1] != self.config.z_chans:
            raise ShapeError(
                f"latents have shape {tuple(latents.shape)}; it must be "
                f"[clips, {self.config.z_chans}, frames, height, width]",
                field="latents",
            )


def to_uint8(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1] as bytes 0..255, truncated as published."""
    return (pixels * 127.5 + 127.5).clamp(0, 255).to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Bytes 0..255 as float32 pixels in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def _trunk_sizes(config: VAEConfig) -> tuple[int, int, int, int, bool, Grid]:
    hidden = int(config.embed_dim * config.mlp_ratio)
    bias = config.qkv_bias
    return config.embed_dim, config.depth, config.num_heads, hidden, bias, config.grid
