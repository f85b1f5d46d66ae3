"""Starting weights of a denoiser that is trained from nothing."""

from __future__ import annotations

import torch
from torch import nn

from magi_rt.models.dit import VideoDiT

POST_NORM_GAIN = 0.2  # residual branches start small, so depth does not matter at first
GATE_BIAS = 1.0  # gates start open: tanh(1) = 0.76


@torch.no_grad()
def initialise(dit: VideoDiT, seed: int) -> None:
    """Fill every parameter in place, the same for the same seed.

    Matrices get Xavier-uniform values, the output starts at zero velocity.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in dit.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
        nn.init.xavier_uniform_(dit.x_embedder.weight.flatten(1))
        dit.y_embedder.null_caption_embedding.normal_(std=0.5)
        for linear in (dit.t_embedder.mlp[0], dit.t_embedder.mlp[2]):
            assert isinstance(linear, nn.Linear)
            linear.weight.normal_(std=0.02)
        for block in dit.blocks():
            gate = block.ada_modulate_layer.proj[0]
            assert isinstance(gate, nn.Linear) and gate.bias is not None
            gate.weight.normal_(std=0.02)
            gate.bias.fill_(GATE_BIAS)
            for norm in (block.self_attn_post_norm, block.mlp_post_norm):
                norm.weight.fill_(POST_NORM_GAIN - norm.offset)
        dit.final_linear.linear.weight.zero_()
