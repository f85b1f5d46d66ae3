"""A folder of clips serves training clips: the right pictures under the right prompts."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from magi_rt.errors import MediaError, OptionError
from magi_rt.media.pictures import Pixels
from magi_rt.training.recordings import Recordings, open_source
from magi_rt.training.recordings.folder import open_clip, survey
from magi_rt.training.recordings.from_world import record_clips
from magi_rt.training.recordings.report import check_folder
from magi_rt.training.recordings.sections import Section, sections
from magi_rt.training.recordings.world_source import WorldSource
from magi_rt.training.seeds import seeded
from magi_rt.training.worlds.base import SPLITS
from tests.training.recording_kit import damage, level, shown, write_clip, write_video


def at(source: Recordings, seed: int, chunks: int = 2, split: str = "train") -> list[list[str]]:
    return source.prompts(40, chunks, seeded(seed), split)


def test_a_chunk_has_the_prompt_that_holds_at_its_first_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", 200, {8: "left", 16: "right", 19: "", 40: "up"})
    clip = open_clip(tmp_path / "run.mp4")
    assert [clip.prompt_at(frame) for frame in (0, 7, 8, 15, 16, 18, 19, 39, 40, 199)] == [
        "", "", "left", "left", "right", "right", "", "", "up", "up",
    ]  # fmt: skip


@pytest.mark.parametrize("fps", [24, 30, 60, 23.976])
def test_no_prompt_comes_a_frame_late_at_any_rate(tmp_path: Path, fps: float) -> None:
    frames = {frame: f"prompt {frame}" for frame in range(0, 110, 7)}
    write_clip(tmp_path / "run.mp4", 120, frames, fps=fps)
    clip = open_clip(tmp_path / "run.mp4")
    for frame, prompt in frames.items():
        first = int(np.ceil(frame / fps * 24 - 0.12))  # milliseconds leave an eighth of a frame
        assert clip.prompt_at(first) == prompt
        assert frame == 0 or clip.prompt_at(first - 1) != prompt


def test_the_same_seed_draws_the_same_clips_and_another_seed_others(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 150, {0: "one", 60: "two"})
    write_clip(tmp_path / "b.mp4", 90, {0: "three"})
    first, again = (Recordings(tmp_path, 32).draw(4, 2, seeded(7)) for _ in range(2))
    other = Recordings(tmp_path, 32).draw(4, 2, seeded(8))
    assert first.pixels.shape == (4, 16, 32, 32, 3) and first.pixels.dtype == torch.uint8
    assert torch.equal(first.pixels, again.pixels) and first.prompts == again.prompts
    assert not torch.equal(first.pixels, other.pixels)


def test_a_clip_that_is_damaged_in_its_middle_is_told_once_and_left_out_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", 600, {0: "left"})
    write_clip(tmp_path / "b.mp4", 200, {0: "right"})
    damage(tmp_path / "a.mp4", 0.3, 0.4)
    source = Recordings(tmp_path, 16)
    drawn, again = (source.draw(24, 2, seeded(1)) for _ in range(2))
    assert torch.equal(drawn.pixels, again.pixels) and drawn.prompts == again.prompts
    assert drawn.pixels.shape[0] == len(drawn.prompts) == 24
    told = capsys.readouterr().err
    assert told.count("a.mp4 cannot be decoded between") == 1 and "Training goes on" in told
    assert not check_folder(tmp_path).problems
    (found,) = check_folder(tmp_path, full=True).problems
    assert found.path.name == "a.mp4" and "between 4.0 and 8.0 s" in str(found.problem)


def test_a_folder_of_which_nothing_can_be_decoded_is_given_up(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 90, {0: "left"})
    damage(tmp_path / "a.mp4", 0.0, 1.0)
    with pytest.raises(MediaError, match="cut that part off, or record it again"):
        Recordings(tmp_path, 16).draw(1, 2, seeded(1))


def test_prompts_alone_are_those_of_the_draw(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 150, {frame: f"prompt {frame}" for frame in range(0, 150, 5)})
    source = Recordings(tmp_path, 32)
    assert source.prompts(4, 2, seeded(7)) == source.draw(4, 2, seeded(7)).prompts


def test_a_prompt_begins_where_a_chunk_begins(tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", 81, {0: "before", 37: "after"})
    source = Recordings(tmp_path, 32)
    drawn = source.draw(16, 3, seeded(1), "all")
    seen = 0
    for pixels, prompts in zip(drawn.pixels, drawn.prompts, strict=True):
        if set(prompts) == {"before", "after"}:
            seen += 1
            first = shown(pixels[8 * prompts.index("after")].unsqueeze(0).numpy())[0]
            assert abs(first - level(37)) <= 2
    assert seen > 1


def test_training_never_sees_what_is_held_out(tmp_path: Path) -> None:
    frames = {frame: str(frame) for frame in range(200)}
    write_clip(tmp_path / "run.mp4", 200, frames)
    source = Recordings(tmp_path, 32)
    trained = {int(prompt) for clip in at(source, 1) for prompt in clip}
    held_out = {int(prompt) for clip in at(source, 1, split="held_out") for prompt in clip}
    assert max(trained) + 8 <= 136 <= min(held_out)


@pytest.mark.parametrize(
    ("frames", "train", "held_out"),
    [
        ([1000], [(0, 0, 900)], [(0, 900, 1000)]),
        ([200, 90], [(0, 0, 136), (1, 0, 90)], [(0, 136, 200)]),
        ([90, 90], [(0, 0, 90)], [(1, 0, 90)]),
        ([90], [(0, 0, 90)], []),
        ([80] * 11, [(clip, 0, 80) for clip in range(11) if clip != 9], [(9, 0, 80)]),
    ],
)
def test_a_tail_is_held_out_or_whole_clips_when_there_are_many(
    frames: list[int], train: list[tuple[int, int, int]], held_out: list[tuple[int, int, int]]
) -> None:
    def parts(split: str) -> list[tuple[int, int, int]]:
        return [(part.clip, part.first, part.end) for part in sections(frames, split)]

    assert parts("train") == train and parts("held_out") == held_out
    assert parts("all") == [(clip, 0, count) for clip, count in enumerate(frames)]
    with pytest.raises(OptionError, match="train, held_out, all"):
        sections(frames, "test")


def test_many_clips_are_divided_without_comparing_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compared(one: Section, other: object) -> bool:
        raise AssertionError("sections were compared")

    monkeypatch.setattr(Section, "__eq__", compared)
    assert [len(sections([720] * 20_000, split)) for split in SPLITS] == [18_000, 2_000, 20_000]


def test_a_folder_is_divided_once_and_not_at_every_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "run.mp4", 90, {0: "left"})
    source = Recordings(tmp_path, 32)
    drawn = source.prompts(4, 2, seeded(1))
    monkeypatch.setattr("magi_rt.training.recordings.folder.sections", None)
    assert source.prompts(4, 2, seeded(1)) == drawn


def test_clips_too_short_to_measure_with_are_never_held_out() -> None:
    frames = [1440] * 9 + [20] + [1440] * 9 + [20]
    assert [part.clip for part in sections(frames, "held_out")] == [10]
    assert 9 in [part.clip for part in sections(frames, "train")]


def test_a_split_without_a_stretch_so_long_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", 30, {})
    source = Recordings(tmp_path, 32)
    for split, chunks in (("train", 8), ("held_out", 1)):
        with pytest.raises(MediaError, match="record longer clips, or more of them"):
            source.draw(1, chunks, seeded(1), split)


def test_other_captions_are_other_data(tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", 30, {0: "left"})
    before = Recordings(tmp_path, 32).identity
    assert Recordings(tmp_path, 32).identity == before
    captions = tmp_path / "run.srt"
    captions.write_text(captions.read_text().replace("left", "right"))
    assert Recordings(tmp_path, 32).identity != before


def spoil_video(folder: Path) -> None:
    (folder / "run.mp4").write_bytes(b"not a video")


def cut_video(folder: Path) -> None:
    whole = (folder / "run.mp4").read_bytes()
    (folder / "run.mp4").write_bytes(whole[: len(whole) // 2])


def remove_captions(folder: Path) -> None:
    (folder / "run.srt").unlink()


def late_caption(folder: Path) -> None:
    (folder / "run.srt").write_text("1\n00:00:09,000 --> 00:00:10,000\nlate\n")


def add_namesake(folder: Path) -> None:
    write_video(folder / "run.mkv", 3)


def add_orphan(folder: Path) -> None:
    (folder / "ruin.srt").write_text("")


def add_sound(folder: Path) -> None:
    with av.open(str(folder / "run.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_video, "run.mp4 is not a video that can be read"),
        (cut_video, "run.mp4 is not a video that can be read"),
        (remove_captions, "write run.srt, an empty file if nothing is asked for"),
        (late_caption, "run.srt line 2: the caption starts at 00:00:09,000, after the end"),
        (add_namesake, "shares its captions with another video; rename one"),
        (add_orphan, "ruin.srt belongs to no video; give the video the same name"),
        (add_sound, "run.mp4 has no video track"),
    ],
)
def test_a_folder_with_something_unusable_says_what_and_what_to_do(
    tmp_path: Path, spoil: object, says: str
) -> None:
    write_clip(tmp_path / "run.mp4", 30, {0: "left"})
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(MediaError) as refused:
        Recordings(tmp_path, 32)
    assert says in refused.value.message and "record --check" in refused.value.message


def test_a_folder_without_clips_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no clips; it needs videos"):
        survey(tmp_path)
    with pytest.raises(MediaError, match="is no folder"):
        survey(tmp_path / "none")
    with pytest.raises(OptionError, match="no world"):
        open_source(tmp_path / "none", 32)


def test_a_report_counts_clips_seconds_and_prompts(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 96, {0: "left", 48: "right", 72: ""})
    write_clip(tmp_path / "b.mp4", 48, {0: "left"})
    (tmp_path / "c.mp4").write_bytes(b"")
    report = check_folder(tmp_path)
    assert [clip.file.path.name for clip in report.clips] == ["a.mp4", "b.mp4"]
    assert [finding.path.name for finding in report.problems] == ["c.mp4"]
    assert report.seconds == pytest.approx(6.0) and report.silent_s == pytest.approx(1.0)
    assert report.prompts == [("left", 4.0), ("right", 1.0)]


def likeness(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / error))


def test_a_recorded_world_is_the_world_up_to_what_video_costs(tmp_path: Path) -> None:
    world = WorldSource("toybox", 64)
    list(record_clips(world, tmp_path, clips=2, seconds=2, seed=3))
    clips = Recordings(tmp_path, 64).clips
    assert len(clips) == 2
    for number, clip in enumerate(clips, 1):
        pixels, (prompts,), _ = world.draw(1, 6, seeded(3, 5, number))
        assert clip.frames == 48
        assert [clip.prompt_at(8 * chunk) for chunk in range(6)] == prompts
        assert likeness(clip.file.read(0, 48, fps=24, size=64), pixels[0].numpy()) > 28


def test_a_world_and_a_folder_answer_the_same_call(tmp_path: Path) -> None:
    list(record_clips(WorldSource("toybox", 32), tmp_path, clips=2, seconds=3))
    for source in (open_source("toybox", 32), open_source(tmp_path, 32)):
        for split in ("train", "held_out"):
            drawn = source.draw(3, 2, seeded(1), split)
            assert drawn.pixels.shape == (3, 16, 32, 32, 3) and drawn.pixels.dtype == torch.uint8
            assert source.prompts(3, 2, seeded(1), split) == drawn.prompts
        assert source.size == 32 and source.identity


def test_recording_goes_on_where_it_stopped(tmp_path: Path) -> None:
    world = WorldSource("toybox", 16)
    (first,) = record_clips(world, tmp_path, clips=1, seconds=0.3)
    written = first.stat().st_mtime_ns
    assert len(list(record_clips(world, tmp_path, clips=2, seconds=0.3))) == 2
    assert first.stat().st_mtime_ns == written


def test_a_clip_that_has_no_room_in_memory_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.training.recordings.from_world.free_in_main", lambda: 10**6)
    with pytest.raises(OptionError, match=r"128x128 pixels takes .* GB .* smaller pictures"):
        next(record_clips(WorldSource("toybox", 128), tmp_path / "clips", clips=1, seconds=1))
    assert not (tmp_path / "clips").exists()


def test_a_folder_takes_one_recording_of_a_world_at_a_time(tmp_path: Path) -> None:
    world = WorldSource("toybox", 32)
    first = record_clips(world, tmp_path, clips=2, seconds=0.3)
    next(first)
    with pytest.raises(OptionError, match="another recording is at work"):
        next(record_clips(world, tmp_path, clips=1, seconds=0.3))
    assert len(list(first)) == 1
    assert len(list(record_clips(world, tmp_path, clips=2, seconds=0.3))) == 2
