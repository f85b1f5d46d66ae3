"""The rolling memory: a ring of finished chunks whose positions never grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from magi_rt.errors import OptionError, ShapeError
from magi_rt.models import kv_cache, kv_layout, rotary
from magi_rt.models.attention import matmul_attention
from magi_rt.models.kv_cache import REBASE_CHUNKS, CacheShape, RollingKVCache
from magi_rt.models.quiet_copy import quiet_copy

SHAPE = CacheShape(layers=2, depth=3, groups=2, tokens=8, head_dim=16, frames_per_chunk=2)
BANDS = rotary.initial_bands(SHAPE.head_dim)


def ring(depth: int = SHAPE.depth, dtype: torch.dtype = torch.float32) -> RollingKVCache:
    return RollingKVCache.allocate(replace(SHAPE, depth=depth), BANDS, dtype, torch.device("cpu"))


def chunk_of(number: int, layer: int = 0) -> tuple[Tensor, Tensor]:
    """Keys (not rotated) and values of one chunk, [groups, tokens, head_dim]."""
    chance = torch.Generator().manual_seed(1000 * layer + number)
    size = (SHAPE.groups, SHAPE.tokens, SHAPE.head_dim)
    return torch.randn(size, generator=chance), torch.randn(size, generator=chance)


def at(x: Tensor, local_chunk: int) -> Tensor:
    """[groups, tokens, head_dim] rotated to the place of a chunk, on a grid of 2 x 2 tokens."""
    table = rotary.table(BANDS, local_chunk * SHAPE.frames_per_chunk, SHAPE.frames_per_chunk, 2, 2)
    return rotary.rotate(x.transpose(0, 1), table).transpose(0, 1)


def put(cache: RollingKVCache, *chunks: int, rotated: bool = False) -> RollingKVCache:
    for chunk in chunks:
        cache.settle()
        for layer in range(SHAPE.layers):
            keys, values = chunk_of(chunk, layer)
            cache.stage(layer, at(keys, cache.local(chunk)) if rotated else keys, values)
        cache.commit(chunk)
    return cache


def recalled(cache: RollingKVCache, layer: int = 0) -> tuple[Tensor, Tensor]:
    """All kept keys and values, oldest first, [groups, chunks * tokens, head_dim]."""
    first, last = cache.chunks[0], cache.chunks[-1] + 1
    room = cache.workspace(1, (last - first) * SHAPE.tokens)
    cache.recall(layer, first, last, room, 1)
    span = slice(0, (last - first) * SHAPE.tokens)
    return room.keys[0, :, span].clone(), room.values[0, :, span].clone()


def test_chunks_come_back_in_their_order_after_the_ring_has_turned() -> None:
    cache = put(ring(), *range(8))
    assert cache.chunks == (5, 6, 7)
    for layer in range(SHAPE.layers):
        keys, values = recalled(cache, layer)
        expected = [chunk_of(chunk, layer) for chunk in (5, 6, 7)]
        assert torch.equal(keys, torch.cat([key for key, _ in expected], dim=1))
        assert torch.equal(values, torch.cat([value for _, value in expected], dim=1))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_as_many_chunks_are_kept_as_the_depth_says(depth: int) -> None:
    cache = ring(depth)
    kept = [len(put(cache, chunk).chunks) for chunk in range(8)]
    assert kept == [min(chunk + 1, depth) for chunk in range(8)]
    assert cache.keys.shape[1] == depth + 1


def test_a_depth_of_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="depth of 0"):
        ring(0)


def test_a_chunk_that_does_not_follow_is_refused_and_nothing_changes() -> None:
    cache = put(ring(), 0, 1)
    before = recalled(cache)
    for wrong in (0, 1, 3):
        with pytest.raises(ShapeError, match="commit chunk 2 next"):
            cache.commit(wrong)
    assert cache.chunks == (0, 1)
    assert all(map(torch.equal, recalled(cache), before))


def test_a_stream_may_begin_anywhere_and_does_so_at_its_zero_point() -> None:
    cache = ring()
    cache.reset(base=100)
    for wrong in (99, 101):
        with pytest.raises(
            ShapeError, match="does not follow the zero point 100; commit chunk 100"
        ):
            cache.commit(wrong)
    assert put(cache, 100, 101).chunks == (100, 101)


def test_staging_leaves_the_history_alone_until_it_is_committed() -> None:
    cache = put(ring(), *range(5))
    before = recalled(cache)
    for _ in range(3):  # as a call that fails and is repeated
        for layer in range(SHAPE.layers):
            cache.stage(layer, torch.full_like(before[0][:, :8], 7.0), torch.ones(2, 8, 16))
    assert cache.chunks == (2, 3, 4)
    assert all(map(torch.equal, recalled(cache), before))


def test_what_is_visible_ends_at_the_beginning_and_at_the_depth() -> None:
    cache = put(ring(), *range(6))
    assert [cache.first_visible(6, 0, width) for width in (1, 2, 4, 9)] == [6, 5, 3, 3]
    assert [cache.first_visible(6, place, 3) for place in (0, 1, 2)] == [4, 5, 6]
    assert [ring().first_visible(0, place, 5) for place in (0, 1, 2)] == [0, 0, 0]


# Positions


def look(cache: RollingKVCache, chunk: int) -> Tensor:
    """What a chunk's queries read in the memory, [1, tokens, heads, head_dim]."""
    queries = at(chunk_of(10_000)[0], cache.local(chunk)).transpose(0, 1)[None]
    keys, values = recalled(cache)
    return matmul_attention(queries, keys[None], values[None])


def test_moving_the_zero_point_leaves_attention_as_it_was() -> None:
    chunk = REBASE_CHUNKS + SHAPE.depth - 1
    cache = put(ring(), *range(chunk), rotated=True)
    assert cache.base == 0
    put(cache, chunk, rotated=True).settle()
    assert cache.base == cache.chunks[0] == REBASE_CHUNKS
    near = ring()
    for number, kept in enumerate(cache.chunks):
        near.stage(0, at(chunk_of(kept)[0], number), chunk_of(kept)[1])
        near.commit(number)
    ours, theirs = look(cache, chunk + 1), look(near, SHAPE.depth)
    assert float((ours - theirs).abs().max()) < 1e-5
    assert torch.equal(recalled(cache)[1], recalled(near)[1])


def test_positions_stay_small_however_long_the_stream() -> None:
    cache, bases = ring(), set()
    largest = 0
    for chunk in range(5 * REBASE_CHUNKS):
        cache.settle()
        largest = max(largest, cache.local(chunk))
        cache.commit(chunk)
        bases.add(cache.base)
    assert largest <= REBASE_CHUNKS + SHAPE.depth
    assert len(bases) == 5


def test_a_ring_deeper_than_a_turn_is_not_turned_with_every_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turned: list[int] = []
    monkeypatch.setattr(kv_cache, "shift_time", lambda keys, bands, frames: turned.append(frames))
    cache = ring(depth=2 * REBASE_CHUNKS)
    for chunk in range(6 * REBASE_CHUNKS):
        cache.commit(chunk)
    cache.settle()
    assert turned == [-REBASE_CHUNKS * SHAPE.frames_per_chunk] * 4 * SHAPE.layers


def test_a_shift_in_time_equals_rotating_elsewhere() -> None:
    keys = chunk_of(3)[0]
    moved = at(keys, 9).clone()
    rotary.shift_time(moved, BANDS, -7 * SHAPE.frames_per_chunk)
    assert torch.allclose(moved, at(keys, 2), atol=1e-5)
    assert torch.equal(moved[..., 12:], keys[..., 12:])
    assert not torch.allclose(at(keys, 9), at(keys, 2), atol=1e-2)


def test_bfloat16_keys_lose_one_rounding_when_the_zero_point_moves() -> None:
    keys = at(chunk_of(3)[0], 9).to(torch.bfloat16)
    rotary.shift_time(keys, BANDS, -9 * SHAPE.frames_per_chunk)
    error = float((keys.float() - at(chunk_of(3)[0], 0)).norm() / keys.float().norm())
    assert error < 4 * 2**-9


class Watch(TorchDispatchMode):
    """Sees every tensor that is made, and stops the work in one of the operations that make one."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stop_at, self.made, self.largest = stop_at, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        writes = func is torch.ops.aten.copy_.default
        if self.stop_at == self.made and not writes:
            raise torch.OutOfMemoryError("no room")
        found = func(*args, **(kwargs or {}))
        if not writes:
            self.made += 1
            self.largest = max(self.largest, found.numel())
        return found


def due() -> RollingKVCache:
    """A ring whose positions are to be counted anew."""
    return put(ring(), *range(REBASE_CHUNKS + SHAPE.depth), rotated=True)


def test_counting_positions_anew_makes_nothing_larger_than_one_layer() -> None:
    cache = due()
    with Watch() as watch:
        cache.settle()
    assert cache.base > 0
    assert 0 < watch.largest <= cache.keys[0].numel()


def test_where_counting_anew_stops_for_want_of_memory_it_goes_on() -> None:
    whole = due()
    with Watch() as watch:
        whole.settle()
    for stop_at in range(watch.made):
        cache = due()
        with pytest.raises(torch.OutOfMemoryError), Watch(stop_at):
            cache.settle()
        assert cache.base == 0 and cache.chunks == whole.chunks
        for again in (cache.clone(), cache):
            assert torch.equal(again.to_tensors()["keys"], whole.to_tensors()["keys"])
            assert again.base == whole.base
        cache.reset()
        assert torch.equal(
            put(cache, 0, 1).to_tensors()["keys"], put(ring(), 0, 1).to_tensors()["keys"]
        )


# Copies and scratch


def test_a_copy_and_its_original_go_their_own_ways() -> None:
    cache = put(ring(), *range(4))
    twin = cache.clone()
    before = recalled(cache)
    put(twin, 4, 5)
    assert cache.chunks == (1, 2, 3) and twin.chunks == (3, 4, 5)
    assert all(map(torch.equal, recalled(cache), before))
    put(cache, 4, 5)
    assert all(map(torch.equal, recalled(cache), recalled(twin)))


def test_a_saved_memory_is_the_same_memory() -> None:
    cache = put(ring(), *range(REBASE_CHUNKS + 9), rotated=True)
    again = ring()
    again.load_tensors(cache.to_tensors(), cache.chunks, cache.base)
    assert (again.chunks, again.base) == (cache.chunks, cache.base)
    for layer in range(SHAPE.layers):
        assert all(map(torch.equal, recalled(again, layer), recalled(cache, layer)))
    following = cache.chunks[-1] + 1
    put(cache, following, rotated=True)
    put(again, following, rotated=True)
    assert all(map(torch.equal, recalled(again), recalled(cache)))


def test_a_memory_of_another_size_is_refused() -> None:
    tensors = put(ring(), 0, 1, 2).to_tensors()
    with pytest.raises(ShapeError, match="at most 2 chunks"):
        ring(2).load_tensors(tensors, (0, 1, 2), 0)
    with pytest.raises(ShapeError, match="saved keys"):
        ring().load_tensors(tensors, (0, 1), 0)


def test_nothing_is_allocated_anew_in_the_steady_state() -> None:
    cache = ring()
    put(cache, *range(4))
    room = cache.workspace(2, 6 * SHAPE.tokens)
    places = (cache.keys.data_ptr(), cache.values.data_ptr(), room.keys.data_ptr())
    for chunk in range(4, 4 + 2 * REBASE_CHUNKS):
        put(cache, chunk)
        room = cache.workspace(1 + chunk % 2, (3 + chunk % 4) * SHAPE.tokens)
        assert (cache.keys.data_ptr(), cache.values.data_ptr(), room.keys.data_ptr()) == places


def test_a_reset_memory_is_empty_and_keeps_its_buffers() -> None:
    cache = put(ring(), *range(5))
    place = cache.keys.data_ptr()
    cache.reset(base=3)
    assert (cache.chunks, cache.base, cache.keys.data_ptr()) == ((), 3, place)
    assert put(cache, 3).chunks == (3,)
    assert cache.nbytes == 2 * 4 * math.prod(SHAPE.ring)


@pytest.mark.parametrize("own_scratch", [0, kv_cache.OWN_SCRATCH_BYTES])
def test_the_layout_follows_every_change_of_the_ring(
    monkeypatch: pytest.MonkeyPatch, own_scratch: int
) -> None:
    monkeypatch.setattr(kv_cache, "OWN_SCRATCH_BYTES", own_scratch)
    cache, other = put(ring(), 0, 1, 2), ring()
    other.reset(base=20)
    saved = put(other, 20, 21, 22).to_tensors()

    def laid_out() -> list[Tensor]:
        shown = []
        for layer in range(SHAPE.layers):
            first, last = cache.chunks[0], cache.chunks[-1] + 1
            room = cache.workspace(1, (last - first) * SHAPE.tokens, layer)
            cache.recall(layer, first, last, room, 1)
            shown.append(room.keys[0, :, : (last - first) * SHAPE.tokens].clone())
        return shown

    for change in (lambda: None, lambda: put(cache, 3), lambda: put(cache, 4)):
        change()
        for layer, keys in enumerate(laid_out()):
            expected = [chunk_of(chunk, layer)[0] for chunk in cache.chunks]
            assert torch.equal(keys, torch.cat(expected, dim=1))
    cache.load_tensors(saved, (2, 3, 4), base=0)
    for layer, keys in enumerate(laid_out()):
        assert torch.equal(keys, saved["keys"][layer].transpose(0, 1).flatten(1, 2))


def test_a_layout_that_is_still_right_is_not_made_again() -> None:
    cache = put(ring(), 0, 1)
    room = cache.workspace(2, 3 * SHAPE.tokens)
    cache.recall(0, 0, 2, room, 2)
    room.keys[0, 0, 0, 0] = 99.0
    cache.recall(0, 0, 2, room, 2)
    assert room.keys[0, 0, 0, 0] == 99.0
    cache.recall(1, 0, 2, room, 2)
    cache.recall(0, 0, 2, room, 2)
    assert room.keys[0, 0, 0, 0] == cache.keys[0, cache.slot(0), 0, 0, 0]


def test_a_layout_that_was_interrupted_is_made_anew() -> None:
    cache = put(ring(), 0, 1)
    room = cache.workspace(1, 2 * SHAPE.tokens)
    cache.recall(1, 0, 2, room, 1)
    whole = room.keys.clone()
    with Watch() as watch:
        cache.recall(0, 0, 2, room, 1)
    for stop_at in range(watch.made):
        cache.recall(1, 0, 2, room, 1)
        with pytest.raises(torch.OutOfMemoryError), Watch(stop_at):
            cache.recall(0, 0, 2, room, 1)
        cache.recall(1, 0, 2, room, 1)
        assert torch.equal(room.keys, whole)


def test_the_version_grows_whenever_what_is_kept_changes() -> None:
    cache = put(ring(), *range(REBASE_CHUNKS + SHAPE.depth - 1), rotated=True)
    saved, chunks = cache.to_tensors(), cache.chunks
    versions = [cache.version]
    changes: list[Callable[[], object]] = [
        lambda: cache.commit(cache.chunks[-1] + 1),
        cache.settle,
        cache.reset,
        lambda: cache.load_tensors(saved, chunks, 0),
    ]
    for change in changes:
        change()
        versions.append(cache.version)
    assert versions == sorted(set(versions))
    cache.settle()
    cache.stage(0, *chunk_of(1))
    assert cache.version == versions[-1]


def test_rooms_that_take_turns_do_not_push_each_other_out() -> None:
    cache = put(ring(), 0)
    cache.workspace(2, 6 * SHAPE.tokens)
    place = cache.workspace(3, 5 * SHAPE.tokens).keys.data_ptr()
    assert cache.workspace(2, 6 * SHAPE.tokens).keys.data_ptr() == place
    assert cache.workspace(3, 5 * SHAPE.tokens).keys.data_ptr() == place


def laid_out_rightly(cache: RollingKVCache, wanted: set[int], places: int) -> bool:
    """Whether the slots that are asked for lie side by side as the ring holds them."""
    room, n = cache.laid_out(wanted, places), cache.shape.tokens
    where = {slot: place for place, slot in enumerate(room.slots) if slot is not None}
    return wanted <= set(where) and all(
        torch.equal(line[:, 0, :, where[slot] * n : (where[slot] + 1) * n], kept[:, slot])
        for line, kept in ((room.keys, cache.keys), (room.values, cache.values))
        for slot in wanted
    )


@pytest.mark.parametrize("places", [SHAPE.depth, SHAPE.depth + 1])
def test_what_is_laid_out_is_what_the_ring_holds_whatever_happens_to_it(places: int) -> None:
    cache = ring()

    def in_step(staged: bool = False) -> bool:
        newest = [cache.slot(chunk) for chunk in cache.chunks][staged:]
        return laid_out_rightly(cache, {*newest, *([cache.staging_slot] * staged)}, places)

    assert in_step()
    for chunk in range(REBASE_CHUNKS + SHAPE.depth + 1):
        cache.settle()
        for layer in range(SHAPE.layers):
            cache.stage(layer, *chunk_of(chunk))
        assert in_step(staged=True), chunk
        cache.stage(slice(None), cache.keys[:, 0] + 1, cache.values[:, 0] + 1)
        assert in_step(staged=True), f"{chunk}, staged again"
        cache.commit(chunk)
        assert in_step(), chunk
    cache.settle()
    assert cache.base > 0 and in_step()
    saved, other = cache.to_tensors(), cache.clone()
    put(other, *range(REBASE_CHUNKS + SHAPE.depth + 1, REBASE_CHUNKS + SHAPE.depth + 3))
    cache.load_tensors({name: kept + 1 for name, kept in saved.items()}, cache.chunks, cache.base)
    assert in_step()
    cache = other
    assert in_step()


def test_a_chunk_is_laid_out_once_and_in_one_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = put(ring(), *range(SHAPE.depth))
    wanted = {cache.slot(chunk) for chunk in cache.chunks}
    room = cache.laid_out(wanted, SHAPE.depth)
    held, copied = list(room.slots), []
    monkeypatch.setattr(kv_layout, "quiet_copy", lambda *given: copied.append(given))
    assert cache.laid_out(wanted, SHAPE.depth) is room
    assert room.slots == held and not copied


def test_only_the_oldest_gives_its_place_to_a_new_chunk() -> None:
    cache = put(ring(), *range(SHAPE.depth))
    before = list(cache.laid_out({cache.slot(c) for c in cache.chunks}, SHAPE.depth).slots)
    put(cache, SHAPE.depth)
    after = cache.laid_out({cache.slot(c) for c in cache.chunks}, SHAPE.depth).slots
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("places", [2, SHAPE.depth, SHAPE.depth + 1])
def test_where_a_chunk_lies_follows_from_its_number_and_not_from_what_was_asked_before(
    places: int,
) -> None:
    cache = ring()
    for chunk in range(9):
        put(cache, chunk)
        loaded = ring()
        loaded.load_tensors(cache.to_tensors(), cache.chunks, cache.base)
        wanted = {cache.slot(each) for each in cache.chunks[-places:]}
        lying = [
            [slot if slot in wanted else None for slot in one.laid_out(wanted, places).slots]
            for one in (cache, cache.clone(), loaded)
        ]
        assert lying[0] == lying[1] == lying[2], chunk
        assert torch.equal(cache.keys[:, sorted(wanted)], loaded.keys[:, sorted(wanted)])


def test_a_chunk_that_could_not_be_laid_out_whole_is_laid_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = put(ring(), *range(SHAPE.depth + 2))
    wanted, copy = {cache.slot(c) for c in cache.chunks}, quiet_copy
    given: list[int] = []

    def once(into: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        given.append(1)
        if len(given) == 2:
            raise KeyboardInterrupt
        return copy(into, source)

    monkeypatch.setattr(kv_layout, "quiet_copy", once)
    with pytest.raises(KeyboardInterrupt):
        cache.laid_out(wanted, SHAPE.depth)
    assert laid_out_rightly(cache, wanted, SHAPE.depth)
