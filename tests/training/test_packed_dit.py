"""Training sees chunks exactly as the running world does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from magi_rt.backends.ranges import CrossAttention, SelfAttention
from magi_rt.models.attention import matmul_attention
from magi_rt.models.dit import VideoDiT
from magi_rt.models.inputs import Branch, DenoiseInputs
from magi_rt.models.kv_cache import CacheShape, RollingKVCache
from magi_rt.training import self_history
from magi_rt.training.dit_init import initialise
from magi_rt.training.flow_loss import FlowLoss, shifted_logit_normal, staircase_times, worn
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


def test_each_chunk_of_history_is_worn_for_itself_and_half_of_them_not_at_all() -> None:
    latents = torch.ones(64, 2, 8 * WIDTH, 4, 4)
    seen = worn(latents, 8, 0.2, torch.Generator().manual_seed(1)) - latents
    by_chunk = seen.unflatten(2, (8, WIDTH)).abs().amax((1, 3, 4, 5))
    clean = by_chunk == 0
    assert 0.4 < float(clean.float().mean()) < 0.6
    assert bool((clean.any(1) & ~clean.all(1)).float().mean() > 0.9)


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
