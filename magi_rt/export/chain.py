"""The denoiser as a chain of engines: where it is cut, and what each takes and gives.

One chain answers every call of a stream, of one branch and of 1 to so many ranges, so a card holds
the weights once. Compiling and opening ask here, so they name the same engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from magi_rt.config import ModelConfig
from magi_rt.export.graphs import DenoiserShape
from magi_rt.export.manifest import TensorSpec
from magi_rt.models.dit import VideoDiT

PLAN_BYTES = 2_600_000_000
"""Weights of more bytes are cut into several plans: a build takes six times its plan's memory."""

PER_LAYER = ("gates", "ring_keys", "ring_values", "text_keys", "text_values")
"""Inputs whose first axis counts layers: an engine of some layers takes theirs."""

WORKING = ("hidden", "hidden_out", "ring_keys", "ring_values", "text_keys", "text_values",
           "staged_keys", "staged_values")  # fmt: skip
"""Tensors in the network's working dtype; the others are float32."""

Sizes = dict[str, tuple[int, ...]]


def cuts(dit: VideoDiT) -> list[range]:
    """Layers of each engine, in equal numbers: as few engines as hold ``PLAN_BYTES`` each."""
    blocks = dit.blocks()
    weights = sum(parameter.nbytes for block in blocks for parameter in block.parameters())
    engines = min(len(blocks), -(-weights // PLAN_BYTES))
    ends = [len(blocks) * place // engines for place in range(engines + 1)]
    return [range(first, stop) for first, stop in pairwise(ends)]


def sizes_of(config: ModelConfig, shape: DenoiserShape, layers: range) -> tuple[Sizes, Sizes]:
    """What one engine takes, in order, and what it gives, for the shape's number of ranges."""
    sizes, cache = shape.inputs(config), shape.cache
    latents = sizes.pop("latents")
    hidden = (1, shape.ranges, cache.tokens, config.hidden_size)
    mine = {
        name: (len(layers), *size[1:]) if name in PER_LAYER else size
        for name, size in sizes.items()
    }
    staged = (len(layers), cache.groups, cache.tokens, cache.head_dim)
    begins, ends = layers.start == 0, layers.stop == cache.layers
    return (
        {**({"latents": latents} if begins else {"hidden": hidden}), **mine},
        {
            **({"velocity": latents} if ends else {"hidden_out": hidden}),
            "staged_keys": staged,
            "staged_values": staged,
        },
    )


def specs_of(
    dit: VideoDiT, shape: DenoiserShape, layers: range
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of one engine, from one range to all.

    The usual call is of all ranges but one: the chunks in flight, without one just finished.
    """
    counts = (1, max(1, shape.ranges - 1), shape.ranges)
    found = [sizes_of(dit.config, replace(shape, ranges=count), layers) for count in counts]
    working = str(dit.working_dtype).removeprefix("torch.")

    def spanning(three: tuple[Sizes, ...]) -> Iterator[TensorSpec]:
        for name in three[0]:
            dtype = working if name in WORKING else "float32"
            smallest, usual, largest = (sizes[name] for sizes in three)
            yield TensorSpec.spanning(name, dtype, smallest, usual, largest)

    taken, given = zip(*found, strict=True)
    return tuple(spanning(taken)), tuple(spanning(given))
