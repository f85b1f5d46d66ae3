"""A small regression for the training loop: every step's data follows from the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from magi_rt.training.loop import Loop, Plan

Loss = Callable[[int], tuple[Tensor, Mapping[str, Tensor]]]


def toy_module() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


def toy_loss(module: nn.Module) -> Loss:
    """Regression of a sum of squares on inputs drawn from the step."""

    def loss(step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        error = module(x)[:, 0] - x.square().sum(dim=1)
        return error.square().mean(), {"largest": error.abs().max()}

    return loss


def toy_loop(
    folder: Path,
    plan: Plan | None = None,
    *,
    module: nn.Module | None = None,
    loss: Loss | None = None,
    card: Mapping[str, Any] | None = None,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
) -> Loop:
    """A loop with Muon and AdamW, so that both kinds of optimiser state are stored."""
    module = module or toy_module()
    matrices = [p for p in module.parameters() if p.ndim == 2]
    rest = [p for p in module.parameters() if p.ndim != 2]
    return Loop(
        folder,
        module,
        loss or toy_loss(module),
        [torch.optim.Muon(matrices, lr=1e-2), torch.optim.AdamW(rest, lr=1e-2)],
        plan or Plan(steps=12, warmup=2, log_every=2, evaluate_every=5),
        card={"seed": 1} if card is None else card,
        evaluate=evaluate,
    )
