"""Messages that would cost memory or time are refused before they do."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest

from magi_rt.stream.unpack import WireError, bounded_unpack

LIMIT = 8_454_144


def test_millions_of_empty_maps_are_refused_without_being_made() -> None:
    inner = b"\xdc\x00\x40" + b"\x80" * 64
    bomb = b"\x81\xa1x" + b"\xdc\x00\x40" + (b"\xdc\x00\x40" + inner * 64) * 28
    assert 100_000 < len(bomb) < LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            bounded_unpack(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_long_message_is_one_flat_map() -> None:
    image = bytes(100_000)
    assert bounded_unpack(msgpack.packb({"image": image, "id": 1}), LIMIT)["image"] == image
    for inside in ([1], {"a": 1}, [0] * 20, {str(key): 0 for key in range(20)}):
        with pytest.raises(WireError, match="inside a map"):
            bounded_unpack(msgpack.packb({"image": image, "more": inside}), LIMIT)


@pytest.mark.parametrize("cut", [1, 2, 50_000, 100_000])
def test_a_long_message_that_is_cut_short_is_malformed(cut: int) -> None:
    whole = msgpack.packb({"image": bytes(100_000), "id": 1})
    with pytest.raises(WireError) as refused:
        bounded_unpack(whole[:-cut], LIMIT)
    assert refused.value.code == "malformed"


def test_a_message_over_the_limit_is_too_large_whatever_it_holds() -> None:
    with pytest.raises(WireError, match="at most 10") as refused:
        bounded_unpack(b"\xc1" * 11, 10)
    assert refused.value.code == "too_large"


def test_nesting_that_would_break_a_stack_is_malformed() -> None:
    for opening in (b"\x91", b"\x81\xa1x"):
        with pytest.raises(WireError):
            bounded_unpack(b"\x81\xa1x" + opening * 20_000, 65_536)
