"""A student is told and taught exactly what the running world tells its models."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from magi_rt.config import EngineConfig, MagiConfig
from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.sampling.schedule import STEPS, SamplerConfig
from magi_rt.training import distill_loss
from magi_rt.training.distill_grid import (
    FINEST,
    codes_of,
    draw_places,
    grid_times,
    history_codes,
    stride_cycle,
    strides_of_step,
)
from magi_rt.training.distill_history import Lived, OwnHistory
from magi_rt.training.distill_layouts import AfterHistory, InFlight, Sight
from magi_rt.training.distill_loss import DistillLoss, DistillSettings
from magi_rt.training.distill_start import fresh_student, heir
from magi_rt.training.distill_targets import (
    Situation,
    Teacher,
    own_null,
    student_velocity,
    two_steps,
)
from magi_rt.training.packed_dit import TextBatch, packed_condition
from tests.sampling.kit import WIDTH, WatchedExecutor
from tests.support import small_config
from tests.training.distill_kit import (
    CHUNKS,
    ask_the_sampler,
    denoiser,
    random_latents,
    some_clips,
    text_batch,
)

DISTILLED = small_config(distill=True)


@pytest.fixture(scope="module")
def dit() -> VideoDiT:
    return denoiser()


@pytest.fixture(scope="module")
def text(dit: VideoDiT) -> TextBatch:
    return text_batch(dit)


@pytest.fixture(scope="module")
def teacher(dit: VideoDiT) -> Teacher:
    return Teacher.from_config(dit, small_config())


@pytest.fixture(scope="module")
def sight() -> Sight:
    return Sight.from_config(small_config().runtime)


def after_history(sight: Sight, place: list[int], given: bool = False) -> Situation:
    """One clip, one copy of its chunks at these places."""
    clips = some_clips(given=given)
    return Situation(
        AfterHistory(clips.latents, clips.prompt, sight),
        random_latents(CHUNKS * WIDTH, 5)[None],
        torch.tensor([place]),
        torch.tensor([8]),
        clips.given,
        clips.latents[:, :, 0],
    ).pinned()


def in_flight(sight: Sight, place: list[int], leading: int) -> Situation:
    clips = some_clips()
    return Situation(
        InFlight(clips.latents, clips.prompt, sight, torch.tensor([leading])),
        random_latents(CHUNKS * WIDTH, 6)[None],
        torch.tensor([place]),
        torch.tensor([8]),
        clips.given,
        clips.latents[:, :, 0],
    )


def chunk(latents: torch.Tensor, index: int) -> torch.Tensor:
    return latents[0, :, index * WIDTH : (index + 1) * WIDTH]


@pytest.mark.parametrize("steps", [each for each in STEPS if each != 12])
def test_a_step_is_coded_and_timed_as_the_sampler_does_it(steps: int) -> None:
    sampler = SamplerConfig.from_config(DISTILLED, steps=steps, window=1)
    stride, times = FINEST // steps, grid_times()
    assert [float(time) for time in times[::stride]] == list(sampler.times)
    codes = {sampler.step_code(step) for step in range(steps)}
    assert codes == {float(codes_of(torch.tensor(stride)))}


@pytest.mark.parametrize("mode", ["8,16,16", "16,16,8"])
def test_the_mixed_mode_of_twelve_steps_has_only_steps_that_were_learned(mode: str) -> None:
    engine = EngineConfig(distill=True, shortcut_mode=mode)
    config = MagiConfig(DISTILLED.model, DISTILLED.runtime, engine)
    sampler = SamplerConfig.from_config(config, steps=12, window=1)
    place, times = 0, grid_times()
    for step in range(12):
        stride = int(4 * sampler.intervals[step])
        assert place % stride == 0
        assert sampler.times[step] == float(times[place])
        assert sampler.step_code(step) == float(codes_of(torch.tensor(stride)))
        place += stride
    assert place == FINEST


def test_step_codes_enter_the_condition_as_at_run_time(dit: VideoDiT) -> None:
    times, codes = torch.tensor([[0.1, 0.3, 0.9999]]), torch.tensor([[32.0, 4.0, 2.0]])
    packed = packed_condition(dit, times, torch.zeros(1, 3, dtype=torch.bool), codes)
    for which in range(3):
        expected = dit.condition(times[0, which], False, float(codes[0, which]))
        torch.testing.assert_close(packed[0, which], expected)


def test_the_history_of_some_clips_is_read_as_in_the_mixed_mode() -> None:
    stride = torch.tensor([1, 4, 4, 16])
    codes = history_codes(stride, torch.tensor([0.1, 0.1, 0.9, 0.1]))
    assert codes.tolist() == [32.0, 4.0, 8.0, 2.0]


def test_strides_take_turns_eight_to_one_each_whatever_the_batch() -> None:
    assert strides_of_step(3, 12, shortest=4).tolist() == [1] * 8 + [2, 4, 8, 16]
    turns = torch.cat([strides_of_step(step, 5, shortest=8) for step in range(11)])
    assert torch.bincount(turns).tolist() == [0, 40, 5, 0, 5, 0, 0, 0, 5]


def test_no_other_fewest_number_of_steps_is_promised() -> None:
    with pytest.raises(OptionError, match="5 steps cannot be distilled; use 4 or 8"):
        stride_cycle(5)


@pytest.mark.parametrize("place", [0, 15, 16, 32, 40, 48, 63])
def test_the_teacher_says_what_the_running_guided_model_says(
    teacher: Teacher, text: TextBatch, sight: Sight, place: int
) -> None:
    situation = after_history(sight, [place] * CHUNKS)
    velocity = teacher.velocity(situation, text)
    for index in (0, 2, 3):
        expected = ask_the_sampler(
            WatchedExecutor(),
            situation.layout.history[0, :, : index * WIDTH],
            [chunk(situation.noisy, index)],
            [int(situation.layout.prompt[0, index])],
            [place],
            steps=64,
            window=1,
        )
        torch.testing.assert_close(chunk(velocity, index), expected[0], atol=1e-3, rtol=1e-3)


def test_first_chunks_may_be_guided_more_than_those_with_a_history(
    dit: VideoDiT, text: TextBatch, sight: Sight
) -> None:
    config = small_config()
    strong = replace(config, runtime=replace(config.runtime, text_scales=(9.0,) * 5))
    usual, more, only_first = (
        Teacher.from_config(dit, config),
        Teacher.from_config(dit, strong),
        Teacher.from_config(dit, config, opening_text=9.0),
    )
    for situation in (after_history(sight, [32] * CHUNKS), in_flight(sight, [40, 24, 8, 0], 0)):
        found, wanted, rest = (each.velocity(situation, text) for each in (only_first, more, usual))
        torch.testing.assert_close(chunk(found, 0), chunk(wanted, 0))
        torch.testing.assert_close(found[:, :, WIDTH:], rest[:, :, WIDTH:])
        assert not torch.allclose(chunk(found, 0), chunk(rest, 0), atol=1e-3)
    late = after_history(sight, [60] * CHUNKS)
    assert torch.equal(only_first.velocity(late, text), usual.velocity(late, text))


def test_the_teacher_says_so_of_several_chunks_in_flight_too(
    teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    place = [0, 40, 24, 8]
    situation = in_flight(sight, place, leading=1)
    velocity = teacher.velocity(situation, text)
    expected = ask_the_sampler(
        WatchedExecutor(),
        situation.layout.history[0, :, :WIDTH],
        [chunk(situation.noisy, index) for index in (1, 2, 3)],
        situation.layout.prompt[0, 1:].tolist(),
        place[1:],
        steps=64,
        window=4,
    )
    for index in (1, 2, 3):
        torch.testing.assert_close(
            chunk(velocity, index), expected[index - 1], atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("steps", [64, 8, 4])
def test_a_student_is_told_what_the_running_distilled_model_is_told(
    dit: VideoDiT, text: TextBatch, sight: Sight, steps: int
) -> None:
    stride = FINEST // steps
    done = steps // 2
    situation = after_history(sight, [done * stride] * CHUNKS)
    velocity = student_velocity(dit, situation, torch.tensor([stride]), text)
    for index in (0, 3):
        expected = ask_the_sampler(
            WatchedExecutor(distill=True),
            situation.layout.history[0, :, : index * WIDTH],
            [chunk(situation.noisy, index)],
            [int(situation.layout.prompt[0, index])],
            [done],
            steps=steps,
            window=1,
        )
        torch.testing.assert_close(chunk(velocity, index), expected[0], atol=1e-4, rtol=1e-3)


def test_a_student_is_told_so_of_several_chunks_in_flight_too(
    dit: VideoDiT, text: TextBatch, sight: Sight
) -> None:
    place = [0, 40, 24, 8]
    situation = in_flight(sight, place, leading=1)
    velocity = student_velocity(dit, situation, torch.tensor([8]), text)
    expected = ask_the_sampler(
        WatchedExecutor(distill=True),
        situation.layout.history[0, :, :WIDTH],
        [chunk(situation.noisy, index) for index in (1, 2, 3)],
        situation.layout.prompt[0, 1:].tolist(),
        [5, 3, 1],
        steps=8,
        window=4,
    )
    for index in (1, 2, 3):
        torch.testing.assert_close(
            chunk(velocity, index), expected[index - 1], atol=1e-4, rtol=1e-3
        )


def test_a_long_step_is_taught_as_two_euler_steps_of_half_its_size(
    dit: VideoDiT, text: TextBatch, sight: Sight
) -> None:
    place = [0, 8, 32, 56]
    situation = after_history(sight, place, given=True)
    times, half = grid_times(), torch.tensor([4])
    first = student_velocity(dit, situation, half, text)
    middle, noisy = situation.noisy.clone(), situation.noisy
    for index, at in enumerate(place):
        frames = slice(index * WIDTH, (index + 1) * WIDTH)
        middle[:, :, frames] += (times[at + 4] - times[at]) * first[:, :, frames]
    middle[:, :, 0] = situation.picture
    between = Situation(
        situation.layout, middle, situation.place + 4, half, situation.given, situation.picture
    )
    second = student_velocity(dit, between, half, text)
    target = two_steps(dit, situation, text)
    for index, at in enumerate(place):
        frames = slice(index * WIDTH + (index == 0), (index + 1) * WIDTH)
        end = middle[:, :, frames] + (times[at + 8] - times[at + 4]) * second[:, :, frames]
        one_step = noisy[:, :, frames] + (times[at + 8] - times[at]) * target[:, :, frames]
        torch.testing.assert_close(one_step, end, atol=1e-5, rtol=1e-4)


def test_a_student_of_the_same_teacher_starts_as_the_earlier_student() -> None:
    before, student, further = denoiser(1), denoiser(2), denoiser(3)
    again = heir(before, before, student)
    for name, parameter in again.named_parameters():
        torch.testing.assert_close(parameter, student.get_parameter(name))
    moved = heir(further, before, student)
    assert all(parameter.requires_grad for parameter in moved.parameters())
    changed = before.final_linear.linear.weight, moved.final_linear.linear.weight
    wanted = further.final_linear.linear.weight + student.final_linear.linear.weight - changed[0]
    torch.testing.assert_close(changed[1], wanted)


def test_a_student_takes_after_none_of_another_size() -> None:
    small = small_config().model
    other = VideoDiT(replace(small, ffn_hidden_size=2 * small.ffn_hidden_size))
    with pytest.raises(OptionError, match="leave like out"):
        heir(denoiser(), denoiser(), other)


def test_a_fresh_student_heeds_no_step_size_and_is_its_teacher() -> None:
    teacher = denoiser()
    student = fresh_student(teacher)
    times = torch.linspace(0, 1, 9)
    before = teacher.condition(times, False)
    for code in (32.0, 16.0, 8.0, 4.0, 2.0):
        apart = (student.condition(times, False, code) - before).square().mean()
        assert apart < 1e-2 * before.square().mean()


def distil(
    dit: VideoDiT, teacher: Teacher, sight: Sight, **settings: float
) -> tuple[DistillLoss, VideoDiT]:
    student = fresh_student(dit)
    return DistillLoss(student, dit, teacher, sight, DistillSettings(**settings)), student  # type: ignore[arg-type]


@pytest.mark.parametrize("staircase", [0.0, 1.0])
def test_the_loss_is_repeatable_and_reaches_every_parameter_of_the_student_only(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight, staircase: float
) -> None:
    loss, student = distil(dit, teacher, sight, staircase_share=staircase)
    clips, stride = some_clips(5, given=True), torch.tensor([1, 1, 2, 8, 16])
    values = [loss(clips, text, stride, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(values[0][0].detach(), values[1][0].detach())
    assert set(values[0][1]) == {"teacher", "shortcut"}
    values[0][0].backward()
    # Neither a shift of keys nor the modulation of dropped text can change what a student says.
    without = [name for name, each in student.named_parameters() if each.grad is None]
    assert [name for name in without if "k_layernorm_xattn.bias" not in name] == []
    assert all(each.grad is None for each in dit.parameters())


def test_situations_lie_where_steps_of_their_size_begin(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    stride = torch.tensor([1, 2, 4, 8, 16])
    for staircase in (0.0, 1.0):
        loss, _ = distil(dit, teacher, sight, staircase_share=staircase)
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            situation, counted = loss._situation(some_clips(5), text, stride, generator)
            assert bool((situation.place % stride[:, None] == 0).all())
            assert int(situation.place.min()) >= 0
            assert int((situation.place + stride[:, None]).max()) <= FINEST
            assert bool((counted.sum(dim=1) > 0).all())


def test_given_pictures_are_shown_as_they_are_and_do_not_count(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    clips = replace(some_clips(2), given=torch.tensor([True, False]))
    frames, stride = clips.latents.shape[2], torch.tensor([1, 8])
    for staircase in (0.0, 1.0):
        loss, _ = distil(dit, teacher, sight, staircase_share=staircase)
        situation, counted = loss._situation(clips, text, stride, torch.Generator().manual_seed(1))
        for first in range(0, counted.shape[1], frames):
            assert torch.equal(situation.noisy[0, :, first], clips.latents[0, :, 0])
            assert not torch.equal(situation.noisy[1, :, first], clips.latents[1, :, 0])
            assert counted[0, first] == 0
        if not staircase:
            assert counted[0].sum() == counted.shape[1] - 2 and bool(counted[1].all())


def test_chunks_in_flight_are_a_stage_apart_the_oldest_in_its_last_and_only_they_count(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    loss, _ = distil(dit, teacher, sight, staircase_share=1.0)
    stride, stages, oldest = torch.tensor([1] * 16), set(), set()
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        situation, counted = loss._situation(some_clips(16), text, stride, generator)
        assert isinstance(situation.layout, InFlight)
        flying = counted.unflatten(1, (CHUNKS, WIDTH)).bool()
        for row, first in enumerate(situation.layout.leading.tolist()):
            places = situation.place[row][flying[row].all(-1)].tolist()
            assert flying[row].all(-1).tolist().index(True) == first
            oldest.add(places[0])
            if len(places) > 1:
                stage = places[0] - places[1]
                stages.add(stage)
                assert places == list(range(places[0], -1, -stage))[: CHUNKS - first]
                assert FINEST - stage <= places[0] < FINEST
    assert stages == {16, 32}
    assert len(oldest) > 10


def test_the_memory_of_a_student_is_worn_as_its_settings_say(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    clips, apart = some_clips(8), []
    for most in (0.0, 0.3):
        loss, _ = distil(dit, teacher, sight, staircase_share=0.0, history_noise=most)
        generator = torch.Generator().manual_seed(1)
        situation, _ = loss._situation(clips, text, torch.ones(8, dtype=torch.long), generator)
        apart.append(float((situation.layout.history - clips.latents).abs().max()))
    assert apart[0] == 0 < apart[1]


def test_the_teacher_answers_for_single_steps_and_the_average_for_longer_ones(
    dit: VideoDiT, text: TextBatch, sight: Sight
) -> None:
    student, average, teacher = (denoiser(seed) for seed in (1, 2, 3))
    taught = Teacher.from_config(teacher, small_config())
    loss = DistillLoss(student, average, taught, sight, DistillSettings(staircase_share=0.0))
    stride = torch.tensor([1, 1, 8])
    situation, _ = loss._situation(some_clips(3), text, stride, torch.Generator().manual_seed(1))
    nobodys = replace(text, rows=torch.cat((torch.zeros_like(text.rows[:1]), text.rows[1:])))
    target = loss._target(situation, nobodys)
    single = taught.velocity(situation.rows(slice(0, 2)), own_null(text, teacher))
    longer = two_steps(average, situation.rows(slice(2, None)), own_null(text, average))
    torch.testing.assert_close(target, torch.cat((single, longer)))


def test_the_loss_is_the_mean_over_what_counts_and_its_parts_are_named_after_their_targets(
    dit: VideoDiT,
    teacher: Teacher,
    text: TextBatch,
    sight: Sight,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loss, _ = distil(dit, teacher, sight, staircase_share=0.0)
    codes: list[torch.Tensor] = []

    def nothing(_: object, situation: Situation, *given: torch.Tensor) -> torch.Tensor:
        codes.append(given[2])
        return torch.zeros_like(situation.noisy)

    def target(situation: Situation, _: object) -> torch.Tensor:
        wanted = torch.ones_like(situation.noisy)
        wanted[1] = 3
        for first in situation.pinned_frames:
            wanted[:, :, first] = 1000  # given pictures
        return wanted

    monkeypatch.setattr(distill_loss, "student_velocity", nothing)
    monkeypatch.setattr(loss, "_target", target)
    clips, stride = some_clips(2, given=True), torch.tensor([1, 4])
    for seed in range(30):
        value, parts = loss(clips, text, stride, torch.Generator().manual_seed(seed))
        assert float(value) == pytest.approx(5)
        assert {name: float(part) for name, part in parts.items()} == {"teacher": 1, "shortcut": 9}
    told = {float(each[1]) for each in codes}
    assert told == {8.0, 4.0}, "a part of the histories is read as in the mode of twelve steps"


def test_few_places_lie_where_all_is_noise_and_none_is_left_out() -> None:
    stride = torch.tensor([1, 2, 4, 8, 16])
    places = draw_places(stride, 4000, torch.Generator().manual_seed(1))
    times = grid_times()[places]
    assert 0.05 < float((times[0] < 0.05).float().mean()) < 0.2, "drawn alike it would be 0.375"
    for each, row in zip(stride.tolist(), places, strict=True):
        assert sorted(set(row.tolist())) == list(range(0, FINEST, each))


def test_a_history_of_ones_own_takes_the_place_of_the_truth(
    dit: VideoDiT, teacher: Teacher, text: TextBatch, sight: Sight
) -> None:
    lived = Lived(*(torch.full_like(some_clips(2).latents, value) for value in (0.5, 3.0)))
    settings = DistillSettings(staircase_share=0.0, history_noise=0.0)
    loss = DistillLoss(dit, dit, teacher, sight, settings, history=lambda *_: lived)
    generator = torch.Generator().manual_seed(0)
    situation, _ = loss._situation(some_clips(2), text, torch.tensor([1, 2]), generator)
    assert torch.equal(situation.layout.history, lived.history)
    late = grid_times()[situation.place] > 0.5
    shown = situation.noisy.unflatten(2, (late.shape[1], -1)).mean((1, 3, 4, 5))
    assert late.any() and bool((shown[late] > 1.2).all()), "what follows is made noisy, not truth"


def test_each_network_brings_its_own_null_caption(dit: VideoDiT, text: TextBatch) -> None:
    other = denoiser(seed=1)
    own = own_null(text, other)
    assert torch.equal(own.rows[0], other.null_text())
    assert torch.equal(own.rows[1:], text.rows[1:])


def test_own_history_is_made_from_noise_by_the_student_but_keeps_given_pictures(
    dit: VideoDiT, text: TextBatch, sight: Sight
) -> None:
    clips, student = some_clips(3, given=True), fresh_student(dit)
    always, never = (OwnHistory(student, sight, share) for share in (1.0, 0.0))
    generator = torch.Generator().manual_seed(2)
    assert all(torch.equal(one, clips.latents) for one in never(clips, text, generator))
    lives = [always(clips, text, torch.Generator().manual_seed(seed)) for seed in range(8)]
    rounds = [torch.equal(life.follows, clips.latents) for life in lives]
    assert any(rounds) and not all(rounds), "once or twice"
    assert not any(torch.equal(life.follows, life.history) for life in lives)
    lived = [always(clips, text, torch.Generator().manual_seed(seed))[0] for seed in (2, 2, 3)]
    assert torch.equal(lived[0], lived[1])
    assert not torch.equal(lived[0], lived[2])
    assert (lived[0] - clips.latents).square().mean() > 0.1
    given = clips.given
    assert torch.equal(lived[0][given, :, 0], clips.latents[given, :, 0])
    assert lived[0].isfinite().all()
