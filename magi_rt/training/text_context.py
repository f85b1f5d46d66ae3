"""What stands beside a word, taught to a small text encoder before a denoiser listens to it.

"A red ball and a blue box" asks for a red ball only if the row of "red" knows that "ball" follows.
A T5 of random weights mixes its rows by attention whose position biases are nearly nothing, and
what reaches them through a denoiser's loss hardly moves them: after fourteen hours of it the
built-in world's encoder could name the shape that belongs to a colour in 7 of 10 cases of several
things, little more than a guess. So every row first learns to name the tokens beside it, a self-
supervised lesson of two minutes that needs nothing but the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from magi_rt.models.t5 import T5Encoder
from magi_rt.models.tokenizer import Tokenizer
from magi_rt.training.nano_text import says_nothing, tokenize
from magi_rt.training.seeds import seeded

STEPS = 600
REACH = 4
"""Tokens to either side that a row names."""
BATCH = 64
RATE, READER_RATE = 2e-3, 3e-3
BIAS_RATE = 5e-2
"""Position biases have to grow from tenths to several before a head looks at one place only."""
WARMUP = 20
KEPT = 2.0
"""Weight of how far the rows of an encoder in use have gone from what they were."""


def teach_context(
    model: T5Encoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    seed: int,
    steps: int = STEPS,
    in_use: bool = False,
    max_length: int = 40,
) -> float:
    """Train an encoder's rows, in place, to name the ``REACH`` tokens on either side.

    Args:
        model, tokenizer: in float32, and what makes its tokens.
        prompts: as the world is told them; equal ones count once.
        seed: of the batches and of the reader that is thrown away afterwards.
        in_use: a denoiser knows the rows already, so they stay close to what they are.
        max_length: tokens of a prompt at most.

    Returns:
        The cross-entropy of the last step, in nats per neighbour; 0 where nothing is ever said.
    """
    told = sorted({prompt for prompt in prompts if not says_nothing(prompt)})
    if not told:
        return 0.0
    generator = seeded(seed, 5)
    old = deepcopy(model).eval().requires_grad_(False) if in_use else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = _Reader(model.config.d_model, len(tokenizer.vocabulary())).to(model.device)
    optimiser = _optimiser(model, reader)
    peaks = [group["lr"] for group in optimiser.param_groups]
    error = torch.zeros(())
    shown = Console(stderr=True)
    for step in track(range(steps), "words and their neighbours", console=shown, transient=True):
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * min(1.0, (step + 1) / WARMUP, 2 * (1 - step / steps))
        some = torch.randint(len(told), (BATCH,), generator=generator).tolist()
        ids, mask = tokenize(tokenizer, [told[place] for place in some], max_length)
        ids, mask = ids.to(model.device), mask.to(model.device)
        rows = model(ids, mask)
        error = reader.error(rows, ids, mask)
        loss = error
        if old is not None:
            before = old(ids, mask)[mask]
            loss = loss + KEPT * (rows[mask] - before).square().mean() / before.var()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return float(error.detach())


class _Reader(nn.Module):
    """Names a row's neighbours: one linear map per place, then one set of words for all."""

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.places = [place for place in range(-REACH, REACH + 1) if place]
        self.look = nn.Linear(channels, channels * len(self.places))
        self.say = nn.Linear(channels, words)

    def error(self, rows: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Mean cross-entropy over the places that lie within their prompt."""
        length = ids.shape[1]
        seen = self.look(rows).unflatten(-1, (len(self.places), -1))
        errors = []
        for number, place in enumerate(self.places):
            here = slice(max(0, -place), max(0, length - max(0, place)))
            there = slice(max(0, place), max(0, length + min(0, place)))
            both = mask[:, here] & mask[:, there]
            if both.any():
                named = self.say(seen[:, here, number][both])
                errors.append(F.cross_entropy(named, ids[:, there][both]))
        return torch.stack(errors).mean()


def _optimiser(model: T5Encoder, reader: nn.Module) -> torch.optim.Optimizer:
    named = dict(model.named_parameters())
    biases = [p for name, p in named.items() if "relative_attention_bias" in name]
    rest = [p for name, p in named.items() if "relative_attention_bias" not in name]
    return torch.optim.AdamW(
        [
            {"params": biases, "lr": BIAS_RATE},
            {"params": rest, "lr": RATE},
            {"params": list(reader.parameters()), "lr": READER_RATE},
        ],
        weight_decay=0.0,
    )
