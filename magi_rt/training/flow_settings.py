"""What the losses of the denoiser take: a batch of clips, and how it is made noisy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

NO_TEXT = 0
"""Row of the text batch that stands for the null caption."""


@dataclass(frozen=True)
class Clips:
    """latents: [B, channels, R * chunk_width, H, W]; prompt: [B, R] rows of the text batch.

    ``given`` [B] bool: the clip begins with a still picture; its first latent frame is pasted into
    the noisy first chunk and not counted, as in an image start (paper 2.2.3).
    """

    latents: Tensor
    prompt: Tensor
    given: Tensor


@dataclass(frozen=True)
class FlowSettings:
    """How times, history and captions are drawn.

    width, clean_width: K ranges in chunks, for noisy and for clean chunks.
    copies: noisy copies of every chunk in the history layout, each with its own time and noise.
    staircase_share: share of batches in the staircase layout.
    uniform_share: share of chunks whose time is uniform instead of shifted logit-normal.
    history_noise: largest noise share of a clean chunk; half of the chunks get none.
    caption_dropout: share of noisy chunks whose caption is dropped, among those whose prompt goes
        on and first ones: so that "no text" means "go on as you are", and never shows a surprise.
    own_history: share of batches whose history is the model's own.
    first_weight: what a clip's first chunk counts; nothing says where its things are, so most of
        its error cannot be learned away.
    onset_weight: what a chunk counts whose prompt is new.
    motion_weight: what places of the picture count more in which much happens during the clip.
    pace_weight: what chunks count at most in which things move slowly; 0 counts all alike.
    """

    width: int = 5
    clean_width: int = 1
    clean_time: float = 0.9999
    copies: int = 2
    staircase_share: float = 0.2
    uniform_share: float = 0.25
    history_noise: float = 0.1
    caption_dropout: float = 0.15
    own_history: float = 0.0
    first_weight: float = 1.0
    onset_weight: float = 2.0
    motion_weight: float = 0.0
    pace_weight: float = 0.0
