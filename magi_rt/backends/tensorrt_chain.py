"""The denoiser's engines one after another: what one gives, the next reads where it lies.

Not run on a card yet; the chain is tested with engines played by PyTorch and by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from magi_rt.backends.tensorrt_session import EngineSession
from magi_rt.export.chain import PER_LAYER
from magi_rt.export.graphs import DenoiserShape
from magi_rt.models.kv_cache import RollingKVCache


@dataclass(frozen=True)
class Chain:
    """All layers of a denoiser.

    shape: the largest call that it answers.
    links: layers and their engine, in order.
    """

    shape: DenoiserShape
    links: Sequence[tuple[range, EngineSession]]

    def answers(self, shape: DenoiserShape) -> bool:
        """Whether calls of this shape fit."""
        alike = replace(shape, ranges=self.shape.ranges) == self.shape
        return alike and shape.ranges <= self.shape.ranges

    def run(
        self, given: Mapping[str, Tensor], stream: int, staging: RollingKVCache | None = None
    ) -> Tensor:
        """Put one call on a stream; nothing is copied but what is staged.

        Args:
            given: inputs of a ``DenoiserGraph`` of all layers.
            staging: the ring that takes the keys and values of range 0.

        Returns:
            The velocity, in a buffer that the next call overwrites.
        """
        state = dict(given)
        for layers, session in self.links:
            mine = slice(layers.start, layers.stop)  # of the first axis, so it stays contiguous
            cut = {name: state[name][mine] for name in PER_LAYER}
            found = session.run({**state, **cut}, stream)
            if staging is not None:
                staging.stage(mine, found["staged_keys"], found["staged_values"])
            if "hidden_out" in found:
                state["hidden"] = found["hidden_out"]
        return found["velocity"]
