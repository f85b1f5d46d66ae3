"""The first weights of a student: its teacher's, with step codes that add nothing yet.

Step codes pass through the embedder of the times, which has never seen numbers beyond 1 and would
answer with noise. Fitting that small embedder once takes a second and saves the many steps of
training that would go into undoing it.

Where the teacher is an earlier one that was trained further, and that one had a student, the new
student starts with all that the old one had changed in itself: most of the way is gone already.
"""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.models.dit import TimestepEmbedder, VideoDiT, timestep_features
from magi_rt.training.distill_grid import codes_of

STRIDES = (1, 2, 4, 8, 16)
TIMES = 257  # evenly spread over 0 .. 1
STEPS = 400
RATE = 3e-3
CODE_WEIGHT = 8.0  # five codes against many times


def fresh_student(teacher: VideoDiT) -> VideoDiT:
    """A trainable copy of the teacher that heeds no step code yet."""
    student = deepcopy(teacher).requires_grad_(True).train()
    silence(student.t_embedder, torch.tensor(STRIDES))
    return student


def heir(teacher: VideoDiT, before: VideoDiT, student: VideoDiT) -> VideoDiT:
    """A trainable copy of the teacher, changed as ``student`` was from its teacher ``before``.

    Raises:
        OptionError: the three are not networks of one size.
    """
    if not teacher.config == before.config == student.config:
        raise OptionError(
            f"the earlier teacher is {before.config}, its student {student.config} and the new "
            f"teacher {teacher.config}; leave like out to start from the teacher alone",
            field="like",
        )
    found = deepcopy(teacher).requires_grad_(True).train()
    old, new = dict(before.named_parameters()), dict(student.named_parameters())
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            parameter.add_((new[name] - old[name]).to(parameter.device))
    return found


def silence(embedder: TimestepEmbedder, stride: Tensor) -> None:
    """Fit an embedder, in place, to be zero at the codes of these strides and as it was in 0 .. 1.

    A few hundred steps of Adam over all points at once; no randomness.
    """
    device = next(embedder.parameters()).device
    features = timestep_features(torch.linspace(0, 1, TIMES, device=device))
    codes = timestep_features(codes_of(stride.to(device)))
    with torch.no_grad():
        wanted = embedder.mlp(features)
    scale = wanted.square().mean().clamp_min(1e-12)
    adam = torch.optim.Adam(embedder.parameters(), lr=RATE)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    for _ in range(STEPS):
        adam.zero_grad()
        loss = F.mse_loss(embedder.mlp(features), wanted)
        loss = loss + CODE_WEIGHT * len(stride) / TIMES * embedder.mlp(codes).square().mean()
        (loss / scale).backward()
        adam.step()
        plan.step()
    adam.zero_grad()
