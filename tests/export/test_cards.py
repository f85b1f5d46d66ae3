"""What a card is: its target, its number formats, and the runtime that builds for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from magi_rt.backends.choose import DTYPES
from magi_rt.backends.tensorrt import TensorRTExecutor
from magi_rt.errors import BackendError, OptionError
from magi_rt.export.builders_tensorrt import runtime_for
from magi_rt.export.targets import PRECISIONS, TARGETS, Target, target_of


def test_every_card_has_a_target_and_cards_of_one_kind_share_it() -> None:
    assert target_of((8, 9)).name == "rtx4090"
    assert target_of((9, 0)).choose_runtime() == "tensorrt"
    assert target_of((12, 1)).name == "sm12.1"


def test_every_precision_that_a_card_accepts_can_be_asked_for_when_a_world_is_opened() -> None:
    for target in TARGETS.values():
        taken = [each for each in PRECISIONS if target.capability and _accepts(target, each)]
        # 8 bits are asked for by weights of 8 bits
        assert {each for each in taken if each != "fp8"} <= set(DTYPES), target.name
        assert target.capability is None or target.usual_precision in taken


def _accepts(target: Target, precision: str) -> bool:
    try:
        target.check_precision(precision)
    except OptionError:
        return False
    return True


def test_what_a_card_has_not_is_told_before_weights_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card of 2018")
    monkeypatch.setattr("magi_rt.backends.tensorrt.loaded", None)
    with pytest.raises(OptionError, match=r"needs compute capability 8\.0.*use 'float32'"):
        TensorRTExecutor.open("nano", dtype="bfloat16")
    for runtime in ("tensorrt_rtx", "tensorrt"):
        monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(BackendError, match=r"no runtime for rtx2080.*\[rtx\].*\[tensorrt\]"):
        TensorRTExecutor.open("nano")


def test_a_card_takes_the_first_runtime_that_is_installed_and_builds_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = SimpleNamespace(SM89=1, SM120=2)
    rtx = SimpleNamespace(__version__="1.7.1", ComputeCapability=known)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", cast(Any, rtx))
    monkeypatch.setitem(sys.modules, "tensorrt", cast(Any, SimpleNamespace()))
    assert runtime_for(target_of((8, 9))) == "tensorrt_rtx"
    assert runtime_for(target_of((10, 0))) == "tensorrt"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", cast(Any, None))
    assert runtime_for(target_of((8, 9))) == "tensorrt"
    monkeypatch.setitem(sys.modules, "tensorrt", cast(Any, None))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", cast(Any, rtx))
    with pytest.raises(BackendError, match=r"not build for sm10\.0 \(SM100\).*\[tensorrt\]"):
        runtime_for(target_of((10, 0)))


def test_without_a_card_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(BackendError, match="PyTorch has none to use here; use backend='auto'"):
        TensorRTExecutor.open("nano")
