"""How much memory a world takes on the device that computes it.

What is counted: every tensor that an opened world holds between two chunks after it has run for a
while, and what one call takes besides: the largest set of its intermediate tensors, and the moment
that it would go back to. What the process takes (interpreter, libraries, a GPU's context, an
allocator's slack) is one fixed amount, ``PROCESS``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from magi_rt.planner.chips import Precision
from magi_rt.planner.work import (
    NULL_TOKENS,
    TEXT_TOKENS,
    Subject,
    VaeShape,
    text_weights,
    weights_per_token,
)

GIB = 2**30
PROCESS = 0.8 * GIB
"""Taken by the process and the driver whatever the model."""

PROMPTS, PROMPT_BYTES = 64, GIB
"""Prompts that a world remembers at most, and the memory that their rows, and what the layers make
of them, take at most each."""

QUANTISED_PART_BYTES = 2 * 4 * 2**24
"""Copies in float32 of the part of an activation that is being rounded to 8 bits."""

REWINDS, REWIND_BYTES = 8, GIB
"""Moments kept to go back to, and the memory that they take at most unless more is asked for."""

OWN_SCRATCH_BYTES = 2**26
"""Up to this, each layer lays out the history in a place of its own."""

PACKED_BYTES = 2**30
"""On a CPU, networks up to this size hold a second, packed copy of their weights."""

BATCHED_TOKENS = 4096
"""Guidance views run side by side while they hold at most this many tokens."""

TABLES = 16
"""Position tables that are remembered."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a world by what they are for.

    Attributes:
        weights: denoiser, auto-encoder and, where it runs there, the text encoder.
        packed: the CPU's second copy of them.
        history: the ring of finished chunks with the room where it is laid out.
        rewind: copies of the stream that ``World.rewind`` goes back to.
        stream: latents, prompts, remembered gates and position tables.
        work: intermediate tensors of the largest call, and the moment before it where moments are
            kept.
        process: :data:`PROCESS`.
    """

    weights: float
    packed: float
    history: float
    rewind: float
    stream: float
    work: float
    process: float = PROCESS

    @property
    def tensors(self) -> float:
        """What the world holds between two chunks."""
        return self.weights + self.packed + self.history + self.rewind + self.stream

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(astuple(self)))


def world_memory(
    subject: Subject,
    size: tuple[int, int],
    *,
    steps: int,
    window: int,
    precision: Precision | None = None,
    rewind: int | None = None,
    prompts: int = PROMPTS,
) -> Memory:
    """What a world of a size takes.

    Args:
        size: (height, width) in pixels.
        precision: how a GPU computes; ``None``: a CPU, with the model's own number format.
        rewind: moments to go back to; ``None``: as a world chooses.
        prompts: different ones that it was given.
    """
    model = subject.config.model
    wide = _bytes_of_a_number(subject, precision)
    tokens = subject.tokens(*size)
    weights, packed = _weights(subject, wide, precision)
    chunk = 2 * model.num_layers * model.num_query_groups * model.head_dim * tokens * wide
    depth = history_depth(subject, window)
    ring = (depth + 1) * chunk
    latents = _latents(subject, size, window)
    kept = min(REWINDS, int(REWIND_BYTES // (ring + latents))) if rewind is None else rewind
    work = max(_denoise_work(subject, tokens, window, wide), _decode_work(subject, size))
    moment = ring + latents
    return Memory(
        weights=weights,
        packed=packed,
        history=ring + _scratch(subject, chunk, depth + window + 1),
        rewind=kept * moment,
        stream=latents
        + _remembered(subject, steps, wide, prompts)
        + TABLES * window * tokens * 2 * 3 * model.rope_bands * 4,
        work=work + (moment if kept else 0),
    )


def history_depth(subject: Subject, window: int) -> int:
    """Finished chunks that a stream keeps: as many as a chunk in flight ever looks back at."""
    stages = subject.config.runtime.noise2clean_kvrange or (8,)
    looks = [
        # the chunk at this place from the oldest, in the noisiest stage that it can be in
        stages[(window - 1 - place) * len(stages) // window] - 1 - place
        for place in range(window)
    ]
    return max(1, *looks)


def _bytes_of_a_number(subject: Subject, precision: Precision | None) -> int:
    on_cpu = precision is None
    return 4 if on_cpu and subject.config.model.params_dtype == "torch.float32" else 2


def denoiser_bytes(subject: Subject, precision: Precision | None) -> float:
    """Bytes of the denoiser's weights; ``precision`` as in :func:`world_memory`."""
    model, wide = subject.config.model, _bytes_of_a_number(subject, precision)
    layer = weights_per_token(model)
    beside = text_weights(model) + 2 * model.hidden_size * model.gate_hidden
    ends = 2 * model.patch_size**2 * model.in_channels * model.hidden_size
    caption = (model.hidden_size + model.gate_hidden + model.caption_max_length) * (
        model.caption_channels
    )
    stored = subject.config.engine.fp8_quant
    narrow = stored if precision is None else precision.eight_bits
    middle = (model.num_layers - 2) * layer * (1 if narrow else wide)
    return 2 * layer * wide + middle + model.num_layers * beside * wide + 4 * (ends + caption)


def _weights(subject: Subject, wide: int, precision: Precision | None) -> tuple[float, float]:
    """Bytes of all weights, and of their packed copies."""
    denoiser, coder = denoiser_bytes(subject, precision), _vae_weights(subject.vae) * wide
    if precision is not None:
        return denoiser + coder, 0.0
    packed = sum(each for each in (denoiser, coder) if each <= PACKED_BYTES)
    return denoiser + coder + subject.text_bytes, packed


def _vae_weights(vae: VaeShape) -> float:
    ends = 2 * 3 * vae.patch**2 * vae.length * vae.width
    return 2 * (vae.depth * vae.block + vae.cells * vae.width) + ends


def _latents(subject: Subject, size: tuple[int, int], window: int) -> float:
    """Two buffers for the chunks in flight and the finished one."""
    channels, patch = subject.config.model.latent_channels, subject.vae.patch
    frames = (window + 1) * subject.config.runtime.chunk_width
    return 2 * 4 * channels * frames * (size[0] // patch) * (size[1] // patch)


def _scratch(subject: Subject, chunk: float, chunks: int) -> float:
    """Where a call lays history and its own keys side by side."""
    branches = 1 if subject.config.runtime.cfg_number == 1 else 3
    everywhere = branches * chunks * chunk
    layers = subject.config.model.num_layers
    return everywhere if everywhere <= OWN_SCRATCH_BYTES else everywhere / layers


def _remembered(subject: Subject, steps: int, wide: int, prompts: int) -> float:
    """Prompts with what the layers make of them, and the gates of every time on the grid."""
    model = subject.config.model
    texts = min(prompts, PROMPTS) * min(TEXT_TOKENS, model.caption_max_length)
    per_token = 2 * model.num_layers * model.num_query_groups * model.head_dim * wide
    rows = 4 * model.caption_channels * texts
    kinds = 1 if subject.config.runtime.cfg_number == 1 else 2  # with and without a prompt
    gates = kinds * (steps + 1) * 2 * model.num_layers * model.hidden_size * 4
    none = NULL_TOKENS * per_token
    return min(texts * per_token, PROMPT_BYTES) + min(rows, PROMPT_BYTES) + none + gates


def _denoise_work(subject: Subject, tokens: int, window: int, wide: int) -> float:
    """Hidden states, queries, keys, values and both attentions of one layer."""
    model = subject.config.model
    called = (window + 1) * tokens
    branches = 1 if subject.config.runtime.cfg_number == 1 else 3
    called *= branches if branches * called <= BATCHED_TOKENS else 1
    inner = model.ffn_hidden_size * (4 if model.gated_linear_unit else 2)
    attention = model.hidden_size * (10 * wide + 12)
    feed = inner * wide + model.hidden_size * (2 * wide + 8)
    part = QUANTISED_PART_BYTES if subject.config.engine.fp8_quant else 0
    return called * max(attention, feed) + part


def _decode_work(subject: Subject, size: tuple[int, int]) -> float:
    """About five copies of a chunk's pictures in float32 while tiles are joined."""
    return 5 * 4 * 3 * subject.config.runtime.frames_per_chunk * size[0] * size[1]
