"""The transformer inside both halves of the auto-encoder (paper 2.1).

Queries, keys and values are all normalised per head, so the attention needs no norm before it.

Letters in shapes: B clips, N tokens (class token first), E embed_dim, h x w x t a latent grid.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magi_rt.models.parameters import learned
from magi_rt.models.vae_config import Grid

HEAD_NORM_EPS = 1e-5  # added to the standard deviation, not to the variance
GRIDS_KEPT = 16


def normalise(heads: Tensor) -> Tensor:
    """Zero mean and unit population deviation over the last axis, computed in float32."""
    if heads.requires_grad and heads.dtype != torch.float32:
        # In training with mixed precision the fused norm saves several passes; the other place of
        # the offset changes less than a bfloat16 can tell.
        fused: Tensor = F.layer_norm(heads, heads.shape[-1:], eps=HEAD_NORM_EPS**2)
        return fused
    centred = heads.float()
    centred = centred - centred.mean(dim=-1, keepdim=True)
    deviation = centred.square().mean(dim=-1, keepdim=True).sqrt()
    exact: Tensor = (centred / (deviation + HEAD_NORM_EPS)).to(heads.dtype)
    return exact


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Full softmax attention, [B, heads, N, d] each."""
    if queries.requires_grad and queries.device.type == "cpu":
        # The gradient of the fused form costs several times that of the written-out one on CPUs.
        scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        mixed: Tensor = scores.softmax(dim=-1).to(values.dtype) @ values
        return mixed
    return F.scaled_dot_product_attention(queries, keys, values)


class VaeAttention(nn.Module):
    """Full attention over all tokens of a clip, with normalised queries, keys and values."""

    def __init__(self, width: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, E] -> [B, N, E]."""
        batch, tokens, width = x.shape
        heads = normalise(self.qkv(x).view(batch, tokens, 3, self.num_heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attend(queries, keys, values)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class VaeMlp(nn.Module):
    """Linear, erf-GELU, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class VaeBlock(nn.Module):
    """x + attention(x), then x + MLP(norm(x))."""

    def __init__(self, width: int, num_heads: int, mlp_hidden: int, qkv_bias: bool) -> None:
        super().__init__()
        self.attn = VaeAttention(width, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = VaeMlp(width, mlp_hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, E] -> [B, N, E]."""
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TokenTransformer(nn.Module):
    """Class token, position table, blocks and final norm: what encoder and decoder share.

    The table belongs to one latent grid; other grids get a trilinear resize of it, remembered
    while no gradient is wanted.
    """

    def __init__(
        self, width: int, depth: int, num_heads: int, mlp_hidden: int, qkv_bias: bool, grid: Grid
    ) -> None:
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        rows = 1 + grid[0] * grid[1] * grid[2]
        self.pos_embed = learned(1, rows, width, fill=lambda table: table.normal_(std=0.02))
        self.blocks = nn.ModuleList(
            VaeBlock(width, num_heads, mlp_hidden, qkv_bias) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self._resized: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def positions(self, grid: Grid) -> Tensor:
        """Position rows of a latent grid (t, h, w), class row first: [1, 1 + t*h*w, E]."""
        if grid == self.grid:
            return self.pos_embed
        if torch.is_grad_enabled():
            return self._resize(grid)
        table = self.pos_embed
        version = 0 if table.is_inference() else table._version
        key = (grid, table.data_ptr(), version, table.dtype, table.device)
        found = self._resized.get(key)
        if found is None:
            found = self._resized[key] = self._resize(grid)
            if len(self._resized) > GRIDS_KEPT:
                self._resized.popitem(last=False)
        return found

    def _resize(self, grid: Grid) -> Tensor:
        cls_row, rows = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        volume = rows.float().unflatten(1, self.grid).permute(0, 4, 1, 2, 3)
        volume = F.interpolate(volume, size=grid, mode="trilinear", align_corners=False)
        return torch.cat([cls_row, volume.flatten(2).transpose(1, 2).to(rows.dtype)], dim=1)

    def transform(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens of a grid [B, t*h*w, E] through all blocks and the norm, same shape."""
        cls_row = self.cls_token.expand(len(tokens), -1, -1)
        x = torch.cat([cls_row.to(tokens.dtype), tokens], dim=1) + self.positions(grid)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x[:, 1:])
        return out
