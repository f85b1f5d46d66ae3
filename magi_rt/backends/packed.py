"""Networks made ready for inference on a CPU: weights laid out once for its products.

PyTorch's float32 product takes a slow path of its library on some processors (AVX2 instead of
AVX-512 on AMD's). oneDNN's product with a packed weight is exact float32 as well and was measured
2.2 times faster there at the sizes of a small world; in bfloat16 it saves a tenth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from magi_rt.models.dit_block import FullSumLinear, LayerNorm, QKVProjection

PACKED_BYTES = 2**30
"""Larger networks stay as they are: the packed weights come on top of the plain ones."""


def pack(network: nn.Module) -> bool:
    """Replaces layers of a network by packed ones with the same weights under the same names.

    The weights must not be changed afterwards. Networks on other devices, in training, or larger
    than ``PACKED_BYTES`` stay as they are.

    Returns:
        True when layers were replaced.
    """
    parameters = list(network.parameters())
    fitting = sum(each.nbytes for each in parameters) <= PACKED_BYTES
    if not fitting or not can_pack() or any(_stays_plain(each) for each in parameters):
        return False
    _pack_children(network)
    return True


def _pack_children(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        if isinstance(child, FullSumLinear) and child.weight.dtype != torch.float32:
            continue  # the packed product rounds its sums to the weights' format
        if isinstance(child, nn.Linear):
            setattr(parent, name, PackedLinear(child))
        elif isinstance(child, LayerNorm):
            setattr(parent, name, FixedLayerNorm(child))
        elif isinstance(child, QKVProjection) and isinstance(child.q, nn.Linear):
            setattr(parent, name, PackedQKV(child))
        else:
            _pack_children(child)


def can_pack() -> bool:
    """True when this build of PyTorch has oneDNN's packed product."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _stays_plain(parameter: nn.Parameter) -> bool:
    return (
        parameter.requires_grad
        or parameter.device.type != "cpu"
        or parameter.dtype not in (torch.float32, torch.bfloat16)
    )


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return packed


def _product(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return out


class PackedLinear(nn.Linear):
    """A linear layer that computes with a packed copy of its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed = _packed(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self._packed, self.bias)


class PackedQKV(QKVProjection):
    """The four projections of an attention as one product."""

    def __init__(self, plain: QKVProjection) -> None:
        nn.Module.__init__(self)
        self.layer_norm = FixedLayerNorm(plain.layer_norm)
        self.q, self.qx, self.k, self.v = plain.q, plain.qx, plain.k, plain.v
        weights = [_weight(each) for each in (plain.q, plain.k, plain.v, plain.qx)]
        self._sizes = [len(weight) for weight in weights]
        self._packed = _packed(torch.cat(weights))

    def forward(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v, text_q = _product(normed, self._packed).split(self._sizes, dim=-1)
        return q, k, v, text_q


class FixedLayerNorm(LayerNorm):
    """A norm whose gain is added up once."""

    def __init__(self, plain: LayerNorm) -> None:
        nn.Module.__init__(self)
        self.eps, self.offset = plain.eps, plain.offset
        self.weight, self.bias = plain.weight, plain.bias
        self._gain = (plain.weight + plain.offset).detach()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, (x.shape[-1],), self._gain, self.bias, self.eps)
