"""The bundles that the denoiser takes, with every shape written down."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TextContext:
    """Cross-attention keys and values of one prompt in every layer.

    They depend on the prompt alone, so they are computed once and kept.

    keys, values: [layers, kv_heads, tokens, head_dim] in the working dtype.
    """

    keys: Tensor
    values: Tensor

    @property
    def tokens(self) -> int:
        return int(self.keys.shape[2])

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True)
class Branch:
    """One guidance branch: the same latents under other conditions (paper 2.4.1).

    texts: one per range.
    visible: per range, how many chunks it may attend to, itself included; 1 means only itself.
    drop: the modulation row, False for "text kept" and True for "text dropped".
    """

    texts: tuple[TextContext, ...]
    visible: tuple[int, ...]
    drop: bool


@dataclass(frozen=True)
class DenoiseInputs:
    """One forward call over R ranges; a range is one chunk inside the call, oldest first.

    latents: [channels, R * chunk_width, H, W] float32.
    times: R flow-matching times, 0 is noise and 1 is clean.
    first_chunk: absolute index of range 0; range j holds chunk ``first_chunk + j``.
    branches: one velocity is returned per branch.
    step_code: the step size told to distilled models, ``None`` for base models.
    stage_branch: when given, range 0 is a finished chunk whose keys and values in this branch
        are put in the cache's staging slot; the caller commits them when the call succeeded.
    """

    latents: Tensor
    times: tuple[float, ...]
    first_chunk: int
    branches: tuple[Branch, ...]
    step_code: float | None = None
    stage_branch: int | None = None
