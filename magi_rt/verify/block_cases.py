"""Golden cases of the denoiser's parts: one layer's intermediates, embedders, rotary tables."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from magi_rt.models import rotary
from magi_rt.models.attention import matmul_attention
from magi_rt.models.dit import VideoDiT, timestep_features
from magi_rt.verify.dit_cases import FORWARD, ROPE, code_of
from magi_rt.verify.golden_model import build_dit
from magi_rt.verify.goldens import Check, GoldenCase, absolute_error, packed, relative_error


class BlockTrace:
    """The named intermediates of one layer, recomputed from the golden's inputs."""

    def __init__(self, dit: VideoDiT, case: GoldenCase) -> None:
        self.dit, self.case = dit, case
        self.values: dict[str, Tensor] = {}
        self.ranges = case.tensors["t"].shape[1]

    @torch.inference_mode()
    def run(self) -> dict[str, Tensor]:
        """Name -> tensor in the golden's own layout ([S, N, D] for token sequences)."""
        t, out = self.case.tensors, self.values
        block = self.dit.blocks()[self.case.meta["layer"]]
        self._embed(t)
        hidden = t["hidden_in"].transpose(0, 1).unflatten(1, (self.ranges, -1))
        attention = block.self_attention
        normed = attention.linear_qkv.layer_norm(hidden).flatten(1, 2)
        out["attn_ln_out"] = normed.transpose(0, 1)
        q, k, v, text_q = attention.queries_keys_values(normed, t["rope"])
        out["q_roped"], out["k_roped"], out["v"] = q[0], k[0], v[0]
        own = self._self_attention(q, k, v)
        out["core_attn_out"] = own[0]
        text = self._cross_attention(text_q)
        out["cross_attn_out"] = text.flatten(2).transpose(0, 1)
        projected = attention.project(own, text)
        out["proj_out"] = projected.transpose(0, 1)
        condition = t["condition"]
        raw = block.ada_modulate_layer.proj(F.silu(condition))
        out["gate_raw"] = raw
        gates = block.ada_modulate_layer(condition).unsqueeze(2)
        gated = projected.unflatten(1, (self.ranges, -1)) * gates[..., 0, :]
        hidden = block._add(hidden, gated, block.self_attn_post_norm)
        out["mlp_in"] = hidden.flatten(1, 2).transpose(0, 1)
        mlp = block.mlp(hidden)
        out["mlp_out"] = mlp.flatten(1, 2).transpose(0, 1)
        hidden = block._add(hidden, mlp * gates[..., 1, :], block.mlp_post_norm)
        out["hidden_out"] = hidden.flatten(1, 2).transpose(0, 1)
        return out

    def _embed(self, t: dict[str, Tensor]) -> None:
        out, dit = self.values, self.dit
        tokens = dit.embed(t["x"], self.ranges).flatten(1, 2)
        _, _, frames, height, width = t["x"].shape
        p = dit.config.patch_size
        grid = tokens.transpose(1, 2).unflatten(2, (frames, height // p, width // p))
        out["x_embed"] = grid
        times = t["t"].flatten()
        out["t_embed"] = dit.t_embedder(times, torch.float32)
        out["y_xattn"] = dit.embed_text(t["y"])
        drop = bool(self.case.meta["dropout"])
        out["y_adaln"] = dit.y_embedder.modulation(drop).expand_as(t["y_adaln"])
        condition = dit.condition(times, drop, code_of(self.case))
        out["condition"] = condition.reshape(t["condition"].shape)
        first = self.case.meta["slice_point"] * self.case.meta["chunk_width"]
        out["rope"] = dit.rope_table(first, frames, height, width)

    def _self_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        t, n = self.case.tensors, self.case.meta["tokens_per_chunk"]
        cached = t.get("kv_in", torch.zeros(0, k.shape[2], 2 * k.shape[3]))
        old_keys, old_values = cached[None].chunk(2, dim=-1)
        keys, values = torch.cat((old_keys, k), 1), torch.cat((old_values, v), 1)
        parts = [
            matmul_attention(
                q[:, j * n : (j + 1) * n],
                keys[:, start:end].transpose(1, 2),
                values[:, start:end].transpose(1, 2),
            )
            for j, (start, end) in enumerate(t["kv_range"].tolist())
        ]
        return torch.cat(parts, dim=1)

    def _cross_attention(self, queries: Tensor) -> Tensor:
        t, n = self.case.tensors, self.case.meta["tokens_per_chunk"]
        block = self.dit.blocks()[self.case.meta["layer"]].self_attention
        self.values["xq"] = queries[0]
        packs = [self.dit.embed_text(packed(y, m)) for y, m in zip(t["y"], t["mask"], strict=True)]
        self.values["y_xattn_flat"] = torch.cat(packs)
        pairs = [block.text_keys_values(pack) for pack in packs]
        self.values["xk"] = torch.cat([keys for keys, _ in pairs])
        self.values["xv"] = torch.cat([values for _, values in pairs])
        parts = [
            matmul_attention(
                queries[:, j * n : (j + 1) * n],
                keys[None].transpose(1, 2),
                values[None].transpose(1, 2),
            )
            for j, (keys, values) in enumerate(pairs)
        ]
        return torch.cat(parts, dim=1)


def check_block(case: GoldenCase) -> Iterator[Check]:
    """``block_fam*``: every named intermediate that can be recomputed from the stored inputs."""
    for name, value in BlockTrace(build_dit(case.weight_case()), case).run().items():
        if name not in case.tensors:
            continue
        expected = case.tensors[name]
        if name == "rope":
            yield Check(name, absolute_error(value, expected), ROPE)
        else:
            yield Check(name, relative_error(value.reshape(expected.shape), expected), FORWARD)


def check_rope_tables(case: GoldenCase) -> Iterator[Check]:
    bands = case.tensors["bands"]
    for shape in case.meta["shapes"]:
        current = shape["T_current"]
        first = shape["T_total"] - current
        table = rotary.table(bands, first, current, shape["H"], shape["W"])
        name = f"rope.{shape['index']}"
        yield Check(name, absolute_error(table, case.tensors[name]), ROPE)
    default = case.tensors.get("default_bands_hd128")
    if default is not None:
        initial = rotary.initial_bands(8 * default.numel())
        yield Check("default bands", relative_error(initial, default), ROPE)


def check_timestep(case: GoldenCase) -> Iterator[Check]:
    times = case.tensors["t"]
    features = timestep_features(times)
    yield Check("sinusoid", absolute_error(features, case.tensors["sinusoid"]), FORWARD)
    out = build_dit(case.weight_case()).t_embedder(times, torch.float32)
    yield Check("out", relative_error(out, case.tensors["out"]), FORWARD)


def check_caption_embedder(case: GoldenCase) -> Iterator[Check]:
    dit, t = build_dit(case.weight_case()), case.tensors
    rows = dit.embed_text(t["y"])
    null = dit.y_embedder.null_caption_embedding
    yield Check("null rows", relative_error(null, t["null_caption_embedding"]), FORWARD)
    for drop in (0, 1):
        expected = t[f"xattn_drop{drop}"]
        yield Check(f"xattn_drop{drop}", relative_error(rows, expected), FORWARD)
        expected = t[f"adaln_drop{drop}"]
        modulation = dit.y_embedder.modulation(bool(drop)).expand_as(expected)
        yield Check(f"adaln_drop{drop}", relative_error(modulation, expected), FORWARD)
