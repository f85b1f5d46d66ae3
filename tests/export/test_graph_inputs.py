"""What a call tells its graph comes from the host once, not at every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from magi_rt.backends.eager import EagerExecutor
from magi_rt.backends.graph_inputs import PaddedTexts, VisibleRoom, visible_chunks
from magi_rt.models.inputs import TextContext
from tests.export.calls import cache_of, call


def test_a_second_call_with_the_same_visibility_copies_nothing_from_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = EagerExecutor.open("nano", device="cpu", dtype="float32")
    cache = cache_of(executor, 3, (8, 8))
    room, inputs = VisibleRoom(torch.device("cpu")), call(executor, cache, 2)
    first = room.get(inputs, cache)
    assert torch.equal(first, visible_chunks(inputs, cache))

    def refuse(*_: Any) -> None:
        raise AssertionError("a table was made again")

    monkeypatch.setattr(torch, "tensor", refuse)
    assert room.get(inputs, cache) is first


def test_what_is_padding_is_told_where_the_prompts_lie() -> None:
    rows = torch.zeros(2, 2, 3, 4, device="meta")
    padded = PaddedTexts.of((TextContext(rows, rows),), 5)
    assert padded.visible.device == padded.keys.device == rows.device
