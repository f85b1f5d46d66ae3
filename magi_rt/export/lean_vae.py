"""The auto-encoder's decoder in few and large operations, see ``lean.py``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.export.lean import CentredNorm, Norm, Product, centred
from magi_rt.models.vae import ViTVAE, to_uint8
from magi_rt.models.vae_block import HEAD_NORM_EPS, VaeBlock


class LeanDecoder(nn.Module):
    """The auto-encoder's decoder with a linear end; what comes and goes as in ``DecoderGraph``."""

    def __init__(self, vae: ViTVAE, dtype: torch.dtype, *, finished: bool) -> None:
        super().__init__()
        self.finished = finished
        decoder = vae.decoder
        self.decoder = decoder
        self.proj_in = Product(decoder.proj_in.weight, torch.float32, decoder.proj_in.bias)
        self.blocks = nn.ModuleList(LeanVaeBlock(block, dtype) for block in _blocks(vae))
        norm, last = decoder.norm, decoder.last_layer
        self.norm = Norm(norm.weight, norm.bias, norm.weight.numel(), norm.eps)
        assert isinstance(last, nn.Linear)
        self.last = Product(last.weight, dtype, last.bias)

    def forward(self, latents: Tensor) -> Tensor:
        grid = (latents.shape[2], latents.shape[3], latents.shape[4])
        tokens = self.proj_in(latents.flatten(2).transpose(1, 2))
        x = torch.cat([self.decoder.cls_token, tokens], dim=1) + self.decoder.positions(grid)
        for block in self.blocks:
            x = block(x)
        patches = self.last(self.norm(x[:, 1:]))
        if self.finished:
            patches = to_uint8(patches)
        frames = self.decoder.volume(patches, grid)
        frames = frames[:, :1] if grid[0] == 1 else frames
        return frames if self.finished else frames.permute(0, 4, 1, 2, 3)


class LeanVaeBlock(nn.Module):
    """x + attention(x), then x + MLP(norm(x))."""

    def __init__(self, block: VaeBlock, dtype: torch.dtype) -> None:
        super().__init__()
        attention, mlp, norm = block.attn, block.mlp, block.norm2
        self.heads, width = attention.num_heads, norm.weight.numel()
        dim, qkv = width // self.heads, attention.qkv
        bias = None if qkv.bias is None else centred(qkv.bias, dim)
        self.qkv = Product(centred(qkv.weight, dim), dtype, bias)
        # The offset stands inside the root here; the difference is below float32's rounding.
        self.head_norm = CentredNorm(dim, HEAD_NORM_EPS**2)
        self.proj = Product(attention.proj.weight, dtype, attention.proj.bias)
        self.norm = Norm(norm.weight, norm.bias, width, norm.eps)
        self.fc1 = Product(mlp.fc1.weight, dtype, mlp.fc1.bias)
        self.fc2 = Product(mlp.fc2.weight, dtype, mlp.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        split = self.head_norm(self.qkv(x).unflatten(2, (3 * self.heads, -1)))
        queries, keys, values = split.transpose(1, 2).chunk(3, dim=1)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


def _blocks(vae: ViTVAE) -> list[VaeBlock]:
    found = list(vae.decoder.blocks)
    assert all(isinstance(block, VaeBlock) for block in found)
    return found  # type: ignore[return-value]
