"""Training sees chunks exactly as the running world does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from magi_rt.backends.ranges import CrossAttention, SelfAttention
from magi_rt.models.attention import matmul_attention
from magi_rt.models.dit import VideoDiT
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.training import flow_loss, self_history
from magi_rt.training.dit_init import initialise
from magi_rt.training.flow_loss import (
    FlowLoss,
    busy_places,
    draw_times,
    pace_weights,
    shifted_logit_normal,
    staircase_times,
    worn,
)
from magi_rt.training.flow_settings import Clips, FlowSettings
from magi_rt.training.nano import model_of
from magi_rt.training.packed_dit import (
    ChunkBatch,
    TextBatch,
    history_batch,
    history_visibility,
    packed_velocity,
    staircase_visibility,
)
from magi_rt.training.self_history import relived

CHUNKS, WIDTH, SIDE = 4, 2, 4
CLEAN_TIME = 0.9999


@pytest.fixture(scope="module")
def dit() -> VideoDiT:
    small = replace(model_of(), num_layers=2, hidden_size=64, kv_channels=8, ffn_hidden_size=64)
    dit = VideoDiT(small)
    initialise(dit, seed=3)
    torch.nn.init.normal_(dit.final_linear.linear.weight, std=0.1)
    return dit.requires_grad_(False)


@pytest.fixture(scope="module")
def text(dit: VideoDiT) -> TextBatch:
    """Row 0 is the null caption; two prompts of different length follow."""
    null = dit.null_text()
    rows = torch.zeros(3, null.shape[0], null.shape[1])
    mask = torch.zeros(rows.shape[:2], dtype=torch.bool)
    rows[0], mask[0] = null, True
    generator = torch.Generator().manual_seed(1)
    for row, tokens in ((1, 5), (2, 9)):
        rows[row, :tokens] = torch.randn(tokens, null.shape[1], generator=generator)
        mask[row, :tokens] = True
    return TextBatch(rows, mask)


def random_latents(frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, frames, SIDE, SIDE, generator=generator)


class Stream:
    """The running world's way: one chunk after another through the ring."""

    def __init__(self, dit: VideoDiT, text: TextBatch) -> None:
        self.dit, self.text = dit, text
        tokens = WIDTH * (SIDE // 2) ** 2
        shape = CacheShape(2, CHUNKS, dit.config.num_query_groups, tokens, 8, WIDTH)
        self.cache = RollingKVCache.allocate(
            shape, dit.rope.bands, torch.float32, torch.device("cpu")
        )

    def call(
        self, latents: Tensor, first: int, times: list[float], prompts: list[int], visible: int
    ) -> Tensor:
        rows = [self.text.rows[p][self.text.mask[p]] for p in prompts]
        branch = Branch(
            tuple(self.dit.text_context(row) for row in rows),
            (visible,) * len(times),
            drop=prompts == [0],
        )
        clean = prompts == [0]
        inputs = DenoiseInputs(
            latents, tuple(times), first, (branch,), stage_branch=0 if clean else None
        )
        gates = self.dit.gates(self.dit.condition(torch.tensor(times), branch.drop))[:, None]
        rope = self.dit.rope_table(first * WIDTH, latents.shape[1], SIDE, SIDE)
        attend = SelfAttention(inputs, self.cache, matmul_attention)
        cross = CrossAttention(inputs.branches, matmul_attention)
        out = self.dit(latents[None], gates, rope, attend, cross)
        if clean:
            self.cache.commit(first)
        result: Tensor = out[0]
        return result

    def remember(self, latents: Tensor, chunk: int) -> None:
        self.call(latents, chunk, [CLEAN_TIME], [0], visible=1)


def test_a_noisy_chunk_after_clean_history_sees_what_the_ring_would_show(
    dit: VideoDiT, text: TextBatch
) -> None:
    clean, noisy = random_latents(CHUNKS * WIDTH, 5), random_latents(CHUNKS * WIDTH, 6)
    times = torch.tensor([0.1, 0.2, 0.4, 0.7])
    prompts = torch.tensor([1, 2, 1, 2])
    place = torch.arange(CHUNKS)
    batch = ChunkBatch(
        latents=torch.cat((clean, noisy), dim=1)[None],
        times=torch.cat((torch.full((CHUNKS,), CLEAN_TIME), times))[None],
        prompt=torch.cat((torch.zeros(CHUNKS, dtype=torch.long), prompts))[None],
        drop=torch.cat((torch.ones(CHUNKS), torch.zeros(CHUNKS))).bool()[None],
        position=torch.cat((place, place)),
        sees=history_visibility(CHUNKS, width=3, clean_width=1),
    )
    packed = packed_velocity(dit, batch, text)[0, :, CHUNKS * WIDTH :]
    stream = Stream(dit, text)
    for chunk in range(CHUNKS):
        span = slice(chunk * WIDTH, (chunk + 1) * WIDTH)
        expected = stream.call(
            noisy[:, span], chunk, [float(times[chunk])], [int(prompts[chunk])], visible=3
        )
        torch.testing.assert_close(packed[:, span], expected, atol=1e-5, rtol=1e-4)
        stream.remember(clean[:, span], chunk)


def test_a_staircase_sees_what_several_chunks_in_flight_see(dit: VideoDiT, text: TextBatch) -> None:
    latents = random_latents(CHUNKS * WIDTH, 8)
    times = torch.tensor([CLEAN_TIME, 0.6, 0.2, 0.05])
    batch = ChunkBatch(
        latents=latents[None],
        times=times[None],
        prompt=torch.tensor([[0, 1, 2, 1]]),
        drop=torch.tensor([[True, False, False, False]]),
        position=torch.arange(CHUNKS),
        sees=staircase_visibility(CHUNKS, torch.tensor([1]), width=3, clean_width=1),
    )
    packed = packed_velocity(dit, batch, text)[0, :, WIDTH:]
    stream = Stream(dit, text)
    stream.remember(latents[:, :WIDTH], 0)
    expected = stream.call(latents[:, WIDTH:], 1, times[1:].tolist(), [1, 2, 1], visible=3)
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=1e-4)


def test_seventy_percent_of_times_lie_below_three_tenths() -> None:
    times = shifted_logit_normal((200_000,), torch.Generator().manual_seed(0))
    assert abs(float((times < 0.3).float().mean()) - 0.69) < 0.01


def test_as_many_times_are_drawn_alike_as_the_share_says() -> None:
    early = [
        float((draw_times((50_000,), share, torch.Generator().manual_seed(0)) < 0.3).float().mean())
        for share in (0.0, 0.5, 1.0)
    ]
    assert early == pytest.approx([0.69, 0.495, 0.3], abs=0.01)


def test_chunks_in_flight_are_a_stage_apart_and_the_oldest_is_in_its_last() -> None:
    times, clean = staircase_times(300, 8, torch.Generator().manual_seed(0))
    steps = (3 * times / (1 + 2 * times)).sqrt()  # how far along the grid of the sampler
    windows = []
    for row, first in zip(steps, clean.tolist(), strict=True):
        flying = row[first:][row[first:] > 1e-6]
        if len(flying) > 1:
            stage = float(flying[0] - flying[1])
            windows.append(round(1 / stage))
            expected = flying[0] - stage * torch.arange(len(flying))
            torch.testing.assert_close(flying, expected, rtol=0, atol=1e-3)
            assert stage * windows[-1] == pytest.approx(1, abs=1e-3)
            assert float(flying[0]) >= 1 - stage - 1e-3
    assert set(windows) == {2, 3, 4}


def test_staircases_fall_and_start_after_the_clean_chunks() -> None:
    times, clean = staircase_times(64, 8, torch.Generator().manual_seed(0))
    assert bool((times.diff(dim=1) <= 1e-6).all())
    leading = torch.arange(8)[None] < clean[:, None]
    assert bool((times[leading] == 1).all())
    assert bool((times[~leading] < 1).all())


def some_clips(given: bool = False) -> Clips:
    latents = random_latents(CHUNKS * WIDTH, 9)[None]
    return Clips(latents, torch.tensor([[1, 2, 0, 1]]), torch.tensor([given]))


def test_several_noisy_copies_are_told_apart_and_each_is_as_if_alone(
    dit: VideoDiT, text: TextBatch
) -> None:
    settings = FlowSettings(width=3)
    clean = random_latents(CHUNKS * WIDTH, 5)[None]
    noisy = [random_latents(CHUNKS * WIDTH, seed)[None] for seed in (6, 7)]
    times = [torch.tensor([[0.1, 0.2, 0.4, 0.7]]), torch.tensor([[0.6, 0.5, 0.3, 0.0]])]
    prompt, keep = torch.tensor([[1, 2, 1, 2]]), torch.zeros(1, CHUNKS, dtype=torch.bool)

    def velocity(x: list[Tensor], t: list[Tensor]) -> Tensor:
        count = len(x)
        batch = history_batch(
            clean,
            torch.cat(x, 2),
            torch.cat(t, 1),
            prompt.repeat(1, count),
            keep.repeat(1, count),
            settings,
        )
        return packed_velocity(dit, batch, text)[:, :, CHUNKS * WIDTH :]

    together = velocity(noisy, times).chunk(2, dim=2)
    for copy in (0, 1):
        alone = velocity(noisy[copy : copy + 1], times[copy : copy + 1])
        torch.testing.assert_close(together[copy], alone, rtol=1e-4, atol=1e-4)


def per_frame(times: Tensor) -> Tensor:
    """[B, S] -> [B, 1, S * WIDTH, 1, 1]"""
    return times.repeat_interleave(WIDTH, 1)[:, None, :, None, None]


@pytest.mark.parametrize("layout", ["history", "staircase"])
def test_from_every_noisy_chunk_the_target_leads_to_the_truth_whatever_its_history(
    dit: VideoDiT, layout: str
) -> None:
    loss = FlowLoss(dit, FlowSettings(copies=2), WIDTH)
    clips, frames = some_clips(), CHUNKS * WIDTH
    lived = random_latents(frames, 11)[None]
    for seed in range(4):  # staircases of several lengths
        build = loss._history if layout == "history" else loss._staircase
        batch, target, counted = build(clips, lived, torch.Generator().manual_seed(seed))
        arrived = batch.latents + (1 - per_frame(batch.times)) * target
        noise = batch.latents - per_frame(batch.times) * target
        noisy = counted[0] > 0
        truth = clips.latents.repeat(1, 1, target.shape[2] // frames, 1, 1)
        torch.testing.assert_close(arrived[:, :, noisy], truth[:, :, noisy], rtol=1e-4, atol=1e-4)
        assert float(noise[:, :, noisy].std()) == pytest.approx(1, abs=0.1)
        assert abs(float((noise * truth)[:, :, noisy].mean())) < 0.15


def test_clean_chunks_of_both_layouts_are_the_history_without_text(dit: VideoDiT) -> None:
    settings = FlowSettings()
    loss, clips = FlowLoss(dit, settings, WIDTH), some_clips()
    lived = random_latents(CHUNKS * WIDTH, 11)[None]
    leading = set()
    for seed in range(8):
        for build in (loss._history, loss._staircase):
            batch, _, counted = build(clips, lived, torch.Generator().manual_seed(seed))
            is_clean = batch.times[0] == settings.clean_time
            count = int(is_clean.sum())
            leading.add(count)
            span = slice(0, count * WIDTH)
            assert bool(is_clean[:count].all())
            assert torch.equal(batch.latents[:, :, span], lived[:, :, span])
            assert not batch.prompt[:, :count].any() and not counted[:, span].any()
            if build == loss._staircase:
                assert bool(batch.drop[:, :count].all())
    assert leading == set(range(CHUNKS + 1))


def test_chunks_that_are_not_begun_do_not_count(dit: VideoDiT) -> None:
    loss, clips = FlowLoss(dit, FlowSettings(), WIDTH), some_clips()
    waiting = 0
    for seed in range(12):
        batch, _, counted = loss._staircase(
            clips, clips.latents, torch.Generator().manual_seed(seed)
        )
        by_chunk = counted[0].unflatten(0, (CHUNKS, WIDTH)) > 0
        begun = (batch.times[0] > 0) & (batch.times[0] < CLEAN_TIME)
        assert torch.equal(by_chunk.all(-1), begun) and torch.equal(by_chunk.any(-1), begun)
        waiting += int((batch.times[0] == 0).sum())
    assert waiting


def test_one_clip_in_ten_has_a_history_under_the_modulation_of_kept_text(dit: VideoDiT) -> None:
    loss, many = FlowLoss(dit, FlowSettings(copies=1), WIDTH), 500
    clips = Clips(
        random_latents(CHUNKS * WIDTH, 9)[None].expand(many, -1, -1, -1, -1),
        torch.tensor([[1, 2, 0, 1]]).repeat(many, 1),
        torch.zeros(many, dtype=torch.bool),
    )
    batch, _, _ = loss._history(clips, clips.latents, torch.Generator().manual_seed(4))
    history = batch.drop[:, :CHUNKS]
    assert bool((history == history[:, :1]).all())
    assert 0.85 < float(history[:, 0].float().mean()) < 0.95


def test_the_loss_is_the_mean_over_what_counts(
    dit: VideoDiT, text: TextBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = FlowLoss(dit, FlowSettings(staircase_share=0.0), WIDTH)
    batch, target, _ = loss._history(
        some_clips(), some_clips().latents, torch.Generator().manual_seed(4)
    )
    counted = torch.zeros(target.shape[0], target.shape[2])
    counted[:, 3], counted[:, 5] = 3.0, 1.0
    missed = torch.full_like(target, 50.0)
    missed[:, :, 3], missed[:, :, 5] = 1.0, 5.0
    monkeypatch.setattr(loss, "_history", lambda *_: (batch, target, counted))
    monkeypatch.setattr(flow_loss, "packed_velocity", lambda *_: target + missed)
    found = loss(some_clips(), text, torch.Generator().manual_seed(4))
    assert float(found) == pytest.approx((3 * 1 + 25) / 4)


def at_paces(*paces: float) -> Tensor:
    """Latents of one clip, [1, 2, chunks * WIDTH, 1, 1], that change at given paces."""
    line = torch.tensor(paces).repeat_interleave(WIDTH).cumsum(0)
    return line[None, None, :, None, None].expand(1, 2, -1, 1, 1)


def test_chunks_count_by_the_inverse_of_their_motion_within_limits() -> None:
    usual = flow_loss.USUAL**0.5
    weights = pace_weights(at_paces(9.0, usual, usual / 2**0.5, usual / 4, usual * 4, 0.0), 6, 3.0)
    each = weights.unflatten(1, (-1, WIDTH))
    assert torch.equal(each[0, :, 0], each[0, :, 1])
    assert each[0, :, 0].tolist() == pytest.approx([1.0, 1.0, 2.0, 3.0, 0.5, 1.0], rel=1e-4)


def test_without_a_weight_of_pace_and_in_clips_of_one_chunk_all_frames_count_alike() -> None:
    assert torch.equal(pace_weights(at_paces(1.0, 0.1), 2, 0.0), torch.ones(1, 2 * WIDTH))
    assert torch.equal(pace_weights(at_paces(0.1), 1, 3.0), torch.ones(1, WIDTH))


def test_every_copy_of_a_slow_chunk_counts_more_in_the_loss(
    dit: VideoDiT, text: TextBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced = at_paces(1.0, 0.1, 1.0, 1.0)
    slow = replace(some_clips(), latents=paced[:, :1].expand_as(some_clips().latents))
    settings = FlowSettings(staircase_share=0.0, pace_weight=3.0)
    loss, even = FlowLoss(dit, settings, WIDTH), torch.ones(2, CHUNKS * WIDTH)
    batch, target, counted = loss._history(slow, slow.latents, torch.Generator().manual_seed(4))
    assert counted.shape[1] == 3 * even.shape[1]  # the history, and two copies
    monkeypatch.setattr(loss, "_history", lambda *_: (batch, target, torch.cat([even] * 3, 1)))
    told = []
    for copy in range(3):
        missed = torch.zeros_like(target)
        missed[:, :, copy * CHUNKS * WIDTH + WIDTH : copy * CHUNKS * WIDTH + 2 * WIDTH] = 1.0
        monkeypatch.setattr(flow_loss, "packed_velocity", lambda *_, missed=missed: target + missed)
        told.append(float(loss(slow, text, torch.Generator().manual_seed(4))))
    assert told == pytest.approx([told[0]] * 3)
    share = pace_weights(slow.latents, CHUNKS, 3.0)
    expected = share[:, WIDTH : 2 * WIDTH].sum() / (3 * share.sum())
    assert told[0] == pytest.approx(float(expected)) and told[0] > 1.2 / (3 * CHUNKS)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_layouts_and_histories_are_drawn_as_often_as_their_shares_say(
    dit: VideoDiT, text: TextBatch, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FlowSettings(staircase_share=share, own_history=share, history_noise=0.0)
    loss, clips = FlowLoss(dit, settings, WIDTH), some_clips()
    lived = random_latents(CHUNKS * WIDTH, 11)[None]
    monkeypatch.setattr(flow_loss, "relived", lambda *_: lived)
    seen: list[tuple[str, Tensor]] = []
    for layout in ("_history", "_staircase"):
        build = getattr(loss, layout)

        def noted(
            *given: Any, layout: str = layout, build: Any = build
        ) -> tuple[ChunkBatch, Tensor, Tensor]:
            seen.append((layout, given[1]))
            found: tuple[ChunkBatch, Tensor, Tensor] = build(*given)
            return found

        monkeypatch.setattr(loss, layout, noted)
    loss(clips, text, torch.Generator().manual_seed(4))
    ((layout, history),) = seen
    assert layout == ("_staircase" if share else "_history")
    assert torch.equal(history, lived if share else clips.latents)


def test_the_history_of_a_batch_is_worn(
    dit: VideoDiT, text: TextBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FlowSettings(staircase_share=0.0, history_noise=0.3)
    loss, clips = FlowLoss(dit, settings, WIDTH), some_clips()
    build, seen = loss._history, list[Tensor]()

    def noted(*given: Any) -> tuple[ChunkBatch, Tensor, Tensor]:
        seen.append(given[1])
        return build(*given)

    monkeypatch.setattr(loss, "_history", noted)
    for seed in range(3):
        loss(clips, text, torch.Generator().manual_seed(seed))
    assert any(not torch.equal(history, clips.latents) for history in seen)


def test_a_given_picture_is_shown_clean_and_not_asked_for(dit: VideoDiT) -> None:
    loss = FlowLoss(dit, FlowSettings(copies=2), WIDTH)
    for build in (loss._history, loss._staircase):
        clips = some_clips(given=True)
        batch, _, counted = build(clips, clips.latents, torch.Generator().manual_seed(4))
        frames = clips.latents.shape[2]
        firsts = range(frames, batch.latents.shape[2], frames) if build == loss._history else (0,)
        for first in firsts:
            assert torch.equal(batch.latents[:, :, first], clips.latents[:, :, 0])
            assert counted[0, first] == 0


def test_a_first_chunk_counts_as_much_as_it_is_told_to(dit: VideoDiT) -> None:
    loss = FlowLoss(dit, FlowSettings(copies=2, first_weight=0.25, onset_weight=1.0), WIDTH)
    clips = some_clips()
    frames = clips.latents.shape[2]
    _, _, counted = loss._history(clips, clips.latents, torch.Generator().manual_seed(4))
    for copy in counted[:, frames:].split(frames, 1):
        assert (copy[:, :WIDTH] == 0.25).all()
        assert (copy[:, WIDTH:] == 1).all()
    assert (counted[:, :frames] == 0).all()


def test_a_chunk_counts_more_where_its_prompt_is_new(dit: VideoDiT) -> None:
    loss = FlowLoss(dit, FlowSettings(copies=2, onset_weight=3.0), WIDTH)
    clips = replace(some_clips(), prompt=torch.tensor([[1, 1, 2, 2]]))
    frames = clips.latents.shape[2]
    _, _, counted = loss._history(clips, clips.latents, torch.Generator().manual_seed(4))
    for copy in counted[0, frames:].split(frames):
        assert copy.tolist() == [1.0] * 2 * WIDTH + [3.0] * WIDTH + [1.0] * WIDTH
    opening = Clips(clips.latents[:, :, :WIDTH], clips.prompt[:, :1], clips.given)
    _, _, alone = loss._history(opening, opening.latents, torch.Generator().manual_seed(4))
    assert alone[0].tolist() == [1.0] * 2 * WIDTH


def test_an_opening_is_not_laid_beside_a_history_that_nobody_sees(
    dit: VideoDiT, text: TextBatch
) -> None:
    clips, settings = some_clips(), FlowSettings(copies=2)
    opening = Clips(clips.latents[:, :, :WIDTH], clips.prompt[:, :1], clips.given)
    loss = FlowLoss(dit, settings, WIDTH)
    batch, _, counted = loss._history(opening, opening.latents, torch.Generator().manual_seed(4))
    assert (batch.times.shape, counted.shape) == ((1, 2), (1, 2 * WIDTH))
    beside = history_batch(
        opening.latents, batch.latents, batch.times, batch.prompt, batch.drop, settings
    )
    whole = packed_velocity(dit, beside, text)[:, :, WIDTH:]
    torch.testing.assert_close(packed_velocity(dit, batch, text), whole, rtol=1e-4, atol=1e-4)


def test_a_caption_is_dropped_only_where_it_tells_nothing_new(dit: VideoDiT) -> None:
    loss = FlowLoss(dit, FlowSettings(copies=2, caption_dropout=1.0), WIDTH)
    clips = replace(some_clips(), prompt=torch.tensor([[1, 1, 2, 2]]))
    batch, _, _ = loss._history(clips, clips.latents, torch.Generator().manual_seed(4))
    assert batch.prompt[0, CHUNKS:].tolist() == [0, 0, 2, 0] * 2
    assert batch.drop[0, CHUNKS:].tolist() == [True, True, False, True] * 2


def test_history_lived_by_the_model_differs_from_the_truth_and_starts_from_it(
    dit: VideoDiT, text: TextBatch
) -> None:
    clips = some_clips()
    history = relived(dit, clips, text, FlowSettings(), torch.Generator().manual_seed(1))
    again = relived(dit, clips, text, FlowSettings(), torch.Generator().manual_seed(1))
    assert torch.equal(history, again)
    assert history.shape == clips.latents.shape
    noise = random_latents(CHUNKS * WIDTH, 10)[None]
    assert 0 < (history - clips.latents).norm() < (noise - clips.latents).norm()


def test_a_model_that_knows_the_answer_lives_the_truth(dit: VideoDiT, text: TextBatch) -> None:
    clips = some_clips()
    frames = clips.latents.shape[2]

    def velocity(_: object, batch: ChunkBatch, __: TextBatch) -> Tensor:
        times = batch.times[:, CHUNKS:].repeat_interleave(WIDTH, 1)[:, None, :, None, None]
        noisy = batch.latents[:, :, frames:]
        toward = (clips.latents - noisy) / (1 - times)
        return torch.cat((torch.zeros_like(toward), toward), dim=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_history, "packed_velocity", velocity)
        history = relived(dit, clips, text, FlowSettings(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(history, clips.latents, rtol=1e-4, atol=1e-4)


def test_places_count_by_what_happens_there_in_the_whole_clip() -> None:
    latents = torch.zeros(2, 16, 8, 4, 4)
    latents[0, :, 5, 1, 2] = 3.0
    places = busy_places(latents, 4.0)[:, 0, 0]
    assert torch.allclose(places.mean((1, 2)), torch.ones(2))
    assert torch.allclose(places[0, 1, 2], 5 * places[0, 0, 0])
    assert torch.allclose(places[1], torch.ones(4, 4))
    assert torch.equal(busy_places(latents, 0.0), torch.ones(2, 1, 1, 4, 4))


def test_each_chunk_of_history_is_worn_for_itself_and_half_of_them_not_at_all() -> None:
    latents = torch.ones(64, 2, 8 * WIDTH, 4, 4)
    seen = worn(latents, 8, 0.2, torch.Generator().manual_seed(1)) - latents
    by_chunk = seen.unflatten(2, (8, WIDTH)).abs().amax((1, 3, 4, 5))
    clean = by_chunk == 0
    assert 0.4 < float(clean.float().mean()) < 0.6
    assert bool((clean.any(1) & ~clean.all(1)).float().mean() > 0.9)


def test_history_is_worn_by_no_more_than_is_asked_for() -> None:
    seen = worn(torch.zeros(64, 8, 8 * WIDTH, 8, 8), 8, 0.2, torch.Generator().manual_seed(1))
    share = seen.unflatten(2, (8, WIDTH)).transpose(1, 2).flatten(2).std(-1)
    assert 0.18 < float(share.max()) < 0.21
    assert torch.equal(worn(seen, 8, 0.0, torch.Generator().manual_seed(1)), seen)


def test_history_is_taken_up_again_between_a_tenth_and_the_middle_of_the_way(
    dit: VideoDiT, text: TextBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Tensor] = []

    def velocity(_: object, batch: ChunkBatch, __: TextBatch) -> Tensor:
        asked.append(batch.times[:, CHUNKS:])
        return torch.zeros_like(batch.latents)

    monkeypatch.setattr(self_history, "packed_velocity", velocity)
    starts = []
    for seed in range(30):
        asked.clear()
        relived(dit, some_clips(), text, FlowSettings(), torch.Generator().manual_seed(seed))
        starts += [asked[turn] for turn in range(0, len(asked), self_history.STEPS)]
    times = torch.cat(starts)
    assert 0.1 <= float(times.min()) < 0.13 and 0.47 < float(times.max()) <= 0.5


def test_a_history_lived_again_keeps_the_pictures_that_were_given(
    dit: VideoDiT, text: TextBatch
) -> None:
    clips = replace(some_clips(), given=torch.tensor([True]))
    live = TextBatch(torch.cat((dit.null_text()[None], text.rows[1:])), text.mask)
    with torch.no_grad():
        history = relived(dit, clips, live, FlowSettings(), torch.Generator().manual_seed(1))
    kept = (history == clips.latents).flatten(3).all(-1)[:, 0]
    assert kept.tolist() == [[place == 0 for place in range(kept.shape[1])]]
    loss = FlowLoss(dit, FlowSettings(own_history=1.0), WIDTH)
    assert bool(loss(clips, live, torch.Generator().manual_seed(4)).isfinite())


def test_the_loss_reaches_every_parameter_and_is_repeatable(text: TextBatch) -> None:
    small = replace(model_of(), num_layers=2, hidden_size=64, kv_channels=8, ffn_hidden_size=64)
    dit = VideoDiT(small)
    initialise(dit, seed=3)
    torch.nn.init.normal_(dit.final_linear.linear.weight, std=0.1)
    live = TextBatch(torch.cat((dit.null_text()[None], text.rows[1:])), text.mask)
    loss = FlowLoss(dit, FlowSettings(), WIDTH)
    clips = some_clips()
    values = [loss(clips, live, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(values[0].detach(), values[1].detach())
    values[0].backward()
    without = [
        name
        for name, parameter in dit.named_parameters()
        if parameter.grad is None and "k_layernorm_xattn.bias" not in name
    ]
    assert without == []
