"""The one door to every executor: what runs the networks answers these calls, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from magi_rt.config import MagiConfig
from magi_rt.models.inputs import DenoiseInputs, TextContext
from magi_rt.models.kv_cache import RollingKVCache
from magi_rt.models.special_tokens import SpecialTokens


@dataclass(frozen=True)
class EngineInfo:
    """What runs a model, for people and for reports.

    The same frames, bit for bit, come from the same name, device, dtype and number of threads; any
    other executor of the same weights gives frames that are near. Logs keep all four.

    Attributes:
        name: the executor, "eager" for one.
        device: "cpu", "cuda:0" and the like.
        dtype: the working number format, "float32" or "bfloat16".
        threads: CPU threads it computes with.
        reason: a sentence on why this executor was chosen.
        weights: digits that tell these weights, as they are stored, from others (see
            ``backends/fingerprint.py``), "" for an executor without weights; the working number
            format is not in them. Snapshots and logs are refused where they differ.
    """

    name: str
    device: str
    dtype: str
    threads: int
    reason: str
    weights: str = ""


class Executor(Protocol):
    """Runs the networks of one model. It holds weights and nothing that belongs to a stream.

    config: the model's configuration.
    info: what it is and runs on.
    picture_multiple: picture sides must be multiples of this many pixels.
    special_tokens: learned rows that stand before every prompt, ``None`` for models without.
    """

    config: MagiConfig
    info: EngineInfo
    picture_multiple: int
    special_tokens: SpecialTokens | None

    def encode_text(self, prompt: str) -> Tensor:
        """Text encoder rows of the prompt's own tokens, without padding.

        Returns:
            [tokens, caption_channels] float32, at most caption_max_length tokens; "" has none.
        """
        ...

    def null_text(self) -> Tensor:
        """The rows that stand for "no text", [min(50, caption_max_length), caption_channels]."""
        ...

    def prepare_text(self, rows: Tensor) -> TextContext:
        """Cross-attention keys and values of [tokens, caption_channels] rows, once per prompt."""
        ...

    def new_cache(self, latent_height: int, latent_width: int, depth: int) -> RollingKVCache:
        """An empty memory of ``depth`` finished chunks for latents of this size.

        Raises:
            ShapeError: the latent grid does not divide into patches.
        """
        ...

    def denoise(self, inputs: DenoiseInputs, cache: RollingKVCache) -> Tensor:
        """One forward call of the denoiser.

        Reads the cache's committed chunks; fills its staging slot when ``stage_branch`` is given
        and leaves the commit to the caller.

        Returns:
            Velocity of every branch, [branches, channels, R * chunk_width, H, W] float32. It
            belongs to the caller: later calls do not change it.
        """
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [T, H, W, 3] -> scaled latents [C, T/4, H/p, W/p] float32.

        One picture gives one latent frame.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [C, T, h, w] float32 -> uint8 [4T, H, W, 3]."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """An executor that can be made ready for kinds of calls, so that no frame waits for it."""

    def expect(self, inputs: DenoiseInputs, cache: RollingKVCache) -> None:
        """A call of this kind will come. Its tensors are on the meta device, without numbers."""
        ...

    def warm_up(self) -> float:
        """Makes everything ready for the expected calls; returns the seconds that it took."""
        ...
