"""A steered world knows which prompt shaped which chunk, wherever it jumps."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from magi_rt.errors import ClosedWorldError, MediaError, OptionError, PromptError
from magi_rt.stream.snapshot_folder import MOST_FILES, SUFFIX, SnapshotFolder
from magi_rt.stream.steered import MadeChunk, SteeredWorld
from tests.stream.pictures import png
from tests.world.kit import dummy_world, same_pixels


def steered(folder: Path | None = None, first_prompt: str = "", **options: int) -> SteeredWorld:
    """A steered dummy world of 32 x 32 pixels."""
    return SteeredWorld(dummy_world(**options), SnapshotFolder(folder), first_prompt=first_prompt)


def made(world: SteeredWorld, count: int) -> list[MadeChunk]:
    return [world.advance() for _ in range(count)]


def test_before_the_first_prompt_chunks_carry_prompt_0() -> None:
    chunks = made(steered(), 2)
    assert [(chunk.prompt, chunk.text, chunk.chunk) for chunk in chunks] == [(0, "", 0), (0, "", 1)]


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_id_of_a_prompt_comes_with_the_first_chunk_it_shaped(window: int) -> None:
    world = steered(window=window)
    made(world, 2)
    world.prompt(1, "rain", "next")
    ids = [chunk.prompt for chunk in made(world, window)]
    assert ids == [0] * (window - 1) + [1]


def test_a_world_that_keeps_nothing_tells_the_old_prompt_until_the_new_one_shapes_a_chunk() -> None:
    world = steered(window=4, history=0)
    world.prompt(1, "rain", "next")
    made(world, 2)
    world.prompt(2, "snow", "next")
    assert [(chunk.prompt, chunk.text) for chunk in made(world, 4)] == [
        *[(1, "rain")] * 3,
        (2, "snow"),
    ]


def test_a_prompt_for_now_comes_with_the_next_chunk() -> None:
    world = steered(window=4)
    made(world, 2)
    world.prompt(1, "rain", "now")
    assert world.advance().prompt == 1


def test_the_same_words_again_are_another_prompt() -> None:
    world = steered()
    world.prompt(1, "rain", "next")
    made(world, 1)
    world.prompt(2, "rain", "next")
    assert world.advance().prompt == 2


def test_a_prompt_replaced_before_any_chunk_shows_it_is_named() -> None:
    world = steered(window=4)
    made(world, 1)
    assert world.prompt(1, "rain", "next") == []
    assert world.prompt(2, "snow", "next") == [1]
    assert world.prompt(3, "fog", "now") == [1, 2]


@pytest.mark.parametrize("window", [1, 2, 4])
def test_text_and_id_agree_through_any_requests(window: int, tmp_path: Path) -> None:
    dice, world, texts = random.Random(window), steered(tmp_path, window=window), {0: ""}
    shown: list[MadeChunk] = []
    unseen: list[MadeChunk] = []
    for number in range(1, 400):
        match dice.randrange(9):
            case 0 | 1 | 2:
                texts[number] = f"prompt {number}"
                world.prompt(number, texts[number], dice.choice(["next", "now"]))
            case 3:
                world.flush(unseen)
                unseen = []
            case 4 if world.world.rewindable > len(unseen):
                world.rewind(dice.randint(1, world.world.rewindable - len(unseen)), unseen)
                unseen = []
            case 5:
                world.fork(dice.choice("ab"), len(unseen))
            case 6:
                world.snapshot(dice.choice("cd"), len(unseen))
            case 7 if world.restore(dice.choice("abcd")) is not None:
                unseen = []
            case _:
                unseen.append(world.advance())
        if len(unseen) > 1:
            shown.append(unseen.pop(0))
    assert len(shown) > 20 and len({chunk.prompt for chunk in shown}) > 5
    for chunk in shown:
        assert chunk.text == chunk.frames[0].prompt == texts[chunk.prompt]


def test_flush_takes_unseen_chunks_back_and_begins_an_epoch() -> None:
    world = steered()
    first, *unseen = made(world, 3)
    world.flush(unseen)
    world.prompt(1, "rain", "next")
    again = world.advance()
    assert (again.chunk, again.epoch, again.reason, again.cut) == (1, 1, "flush", False)
    assert again.prompt == 1 and first.epoch == 0


def test_chunks_after_a_flush_follow_what_was_seen() -> None:
    world, plain = steered(), dummy_world()
    _, *unseen = made(world, 3)
    plain.advance()
    world.flush(unseen)
    world.prompt(1, "rain", "next")
    assert same_pixels(list(world.advance().frames), plain.advance("rain"))


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_flush_before_a_jump_was_seen_leaves_the_jump_a_cut(ahead: int) -> None:
    world = steered()
    made(world, 3)
    world.rewind(1, [])
    world.flush(made(world, ahead))
    again = world.advance()
    assert (again.chunk, again.epoch, again.reason, again.cut) == (2, 2, "flush", True)
    assert not world.advance().cut


def test_flush_drops_the_prompts_that_only_unseen_chunks_show() -> None:
    world = steered()
    made(world, 1)
    world.prompt(1, "rain", "next")
    unseen = made(world, 1)
    assert world.flush(unseen) == [1]
    world.prompt(2, "snow", "next")
    assert world.advance().text == "snow"


def test_without_history_flush_goes_on_after_the_unseen_chunks() -> None:
    world = steered(history=0)
    world.flush(made(world, 1))
    assert (world.advance().chunk, world.epoch) == (1, 1)


def test_rewind_counts_from_what_was_seen() -> None:
    world = steered()
    _, _, *unseen = made(world, 3)
    world.rewind(1, unseen)
    again = world.advance()
    assert (again.chunk, again.reason, again.cut) == (1, "rewind", True)


def test_rewinding_too_far_is_refused_and_changes_nothing() -> None:
    world = steered()
    unseen = made(world, 2)[1:]
    with pytest.raises(OptionError, match="take 1 to 1"):
        world.rewind(2, unseen)
    assert (world.advance().chunk, world.epoch) == (2, 0)


def test_a_reset_begins_with_the_same_frames() -> None:
    world = steered()
    first = world.advance()
    world.prompt(1, "rain", "next")
    assert world.begin_anew() == [1]
    again = world.advance()
    assert (again.chunk, again.epoch, again.reason, again.prompt) == (0, 1, "reset", 0)
    assert same_pixels(list(first.frames), list(again.frames))


def test_a_reset_with_another_seed_begins_differently() -> None:
    world = steered()
    first = world.advance()
    world.begin_anew(seed=99)
    assert not np.array_equal(first.frames[0].pixels, world.advance().frames[0].pixels)


def test_an_image_is_what_the_world_begins_with() -> None:
    world = steered()
    world.begin_anew(image=png((250, 10, 10)))
    red = world.advance()
    world.begin_anew(image=png((10, 10, 250)))
    blue = world.advance()
    assert (red.reason, blue.reason) == ("image", "image")
    assert red.frames[0].pixels[..., 0].mean() > blue.frames[0].pixels[..., 0].mean() + 50


@pytest.mark.parametrize("data", [b"no picture", png((1, 2, 3))[:40], b"GIF89a" + bytes(50)])
def test_a_damaged_image_is_refused_and_changes_nothing(data: bytes) -> None:
    world = steered()
    world.advance()
    with pytest.raises(MediaError):
        world.begin_anew(image=data)
    assert (world.advance().chunk, world.epoch) == (1, 0)


def test_the_first_prompt_holds_from_every_beginning() -> None:
    world = steered(first_prompt="rain")
    unseen = made(world, 1)
    assert (unseen[0].prompt, unseen[0].text) == (1, "rain")
    world.flush(unseen)
    assert world.advance().text == "rain"
    world.prompt(2, "snow", "next")
    world.begin_anew()
    assert world.advance().text == "rain"


def test_a_new_beginning_may_have_a_first_prompt_of_its_own() -> None:
    world = steered(first_prompt="rain")
    world.advance()
    world.begin_anew(text="snow", image=png((250, 10, 10)))
    assert world.advance().text == "snow"
    assert world.flush(made(world, 1)) == []
    world.rewind(1, [])
    assert world.advance().text == "snow", "also after going back to the beginning"
    world.begin_anew(text="")
    assert world.advance().prompt == 0
    world.begin_anew()
    assert world.advance().text == "rain"


def test_a_fork_keeps_the_prompt_of_its_beginning() -> None:
    world = steered()
    world.begin_anew(text="snow")
    world.advance()
    world.fork("here", 0)
    world.begin_anew(text="fog")
    world.restore("here")
    world.rewind(1, [])
    assert world.advance().text == "snow"


@pytest.mark.parametrize(("text", "says"), [(None, "rain"), ("snow", "snow"), ("", "")])
def test_a_fork_of_the_very_beginning_begins_with_its_prompt(text: str | None, says: str) -> None:
    world = steered(first_prompt="rain")
    world.advance()
    world.begin_anew(text=text)
    world.fork("here", 0)
    world.advance()
    world.restore("here")
    assert world.advance().text == says


def test_a_prompt_whose_only_chunk_is_lost_is_told() -> None:
    world = steered(history=0)
    world.prompt(1, "rain", "next")
    assert world.flush(made(world, 1)) == [1]
    assert world.advance().text == "rain", "it holds all the same"


def test_halves_of_surrogate_pairs_are_left_out_of_first_prompts() -> None:
    assert steered(first_prompt="rain\ud800").advance().text == "rain"


def test_a_first_prompt_that_is_none_changes_nothing() -> None:
    world = steered()
    world.advance()
    with pytest.raises(PromptError, match="4,000"):
        world.begin_anew(text="x" * 4001)
    assert (world.advance().chunk, world.epoch) == (1, 0)


def test_a_fork_goes_on_from_what_was_seen_when_it_was_made() -> None:
    world = steered()
    made(world, 2)
    assert world.fork("here", 1) == ["here"]
    expected = world.world.fork()
    expected.rewind(1)
    world.prompt(1, "rain", "next")
    made(world, 2)
    world.restore("here")
    again = world.advance()
    assert (again.chunk, again.reason) == (1, "restore")
    assert same_pixels(list(again.frames), expected.advance())


def test_a_fork_can_be_restored_twice() -> None:
    world = steered()
    made(world, 1)
    world.fork("here", 0)
    world.restore("here")
    first = world.advance()
    world.restore("here")
    assert same_pixels(list(first.frames), list(world.advance().frames))


def test_a_fork_that_was_taken_is_the_callers_and_makes_room_for_another() -> None:
    world = steered()
    world.advance()
    for number in range(8):
        world.fork(f"f{number}", 0)
    taken = world.take_fork("f3")
    with pytest.raises(OptionError, match="no fork named 'f3'"):
        world.take_fork("f3")
    assert world.restore("f3") is None
    assert "one-more" in world.fork("one-more", 0)
    expected = list(world.advance().frames)
    world.close()
    assert same_pixels(list(taken.advance()), expected)


def test_at_most_eight_forks_are_kept() -> None:
    world = steered()
    names = [world.fork(f"f{number}", 0) for number in range(8)][-1]
    assert len(names) == 8
    with pytest.raises(OptionError, match="8 forks"):
        world.fork("one-more", 0)
    assert world.fork("f3", 0) == names


def test_what_a_fork_takes_the_place_of_is_closed() -> None:
    world = steered()
    made(world, 1)
    world.fork("here", 0)
    replaced, before = world._forks["here"].world, world.world
    world.fork("here", 0)
    world.restore("here")
    for each in (replaced, before):
        with pytest.raises(ClosedWorldError):
            each.advance()


def test_a_snapshot_of_another_run_tells_its_prompt(tmp_path: Path) -> None:
    before = steered(tmp_path)
    before.prompt(1, "rain", "next")
    made(before, 1)
    assert before.snapshot("wet", 0) == (tmp_path / f"wet{SUFFIX}").stat().st_size
    after = steered(tmp_path)
    after.restore("wet")
    chunk = after.advance()
    assert (chunk.text, chunk.chunk) == ("rain", 1) and chunk.prompt > 0


def test_a_snapshot_that_another_server_wrote_over_tells_its_prompt(tmp_path: Path) -> None:
    mine = steered(tmp_path, first_prompt="rain")
    mine.advance()
    mine.snapshot("here", 0)
    other = steered(tmp_path, first_prompt="snow")
    other.advance()
    other.snapshot("here", 0)
    mine.restore("here")
    chunk = mine.advance()
    assert chunk.text == "snow" and chunk.prompt > 1
    mine.snapshot("here", 0)
    mine.restore("here")
    assert mine.advance().prompt == chunk.prompt, "its own is known by its id"


@pytest.mark.parametrize(("text", "says"), [(None, "rain"), ("snow", "snow"), ("", "")])
def test_a_snapshot_of_the_very_beginning_begins_with_its_prompt(
    text: str | None, says: str, tmp_path: Path
) -> None:
    world = steered(tmp_path, first_prompt="rain")
    world.begin_anew(text=text)
    world.snapshot("here", 0)
    world.advance()
    world.restore("here")
    assert world.advance().text == says
    later = steered(tmp_path, first_prompt="fog")
    later.advance()
    later.restore("here")
    assert later.advance().text == "fog"


def test_what_was_never_kept_is_not_found(tmp_path: Path) -> None:
    world = steered(tmp_path)
    made(world, 1)
    assert world.restore("nothing") is None
    assert steered().restore("nothing") is None
    assert (world.advance().chunk, world.epoch) == (1, 0)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "a.b", "x" * 65, "a\n", "C:a", "a\0"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    folder = SnapshotFolder(inner)
    with pytest.raises(OptionError):
        folder.save(name, dummy_world().snapshot())
    with pytest.raises(OptionError):
        folder.load(name)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    inner, outside = tmp_path / "inner", tmp_path / f"outside{SUFFIX}"
    inner.mkdir()
    dummy_world().snapshot().save(outside)
    (inner / f"link{SUFFIX}").symlink_to(outside)
    assert SnapshotFolder(inner).load("link") is None


def test_a_full_folder_takes_no_new_names(tmp_path: Path) -> None:
    for number in range(MOST_FILES):
        (tmp_path / f"s{number}{SUFFIX}").touch()
    folder, state = SnapshotFolder(tmp_path), dummy_world().snapshot()
    with pytest.raises(OptionError, match="256"):
        folder.save("new", state)
    assert folder.save("s3", state) > 0


def test_a_server_without_a_folder_says_how_to_get_one() -> None:
    with pytest.raises(OptionError, match="--snapshots"):
        steered().snapshot("a", 0)
    with pytest.raises(OptionError, match="make it first"):
        SnapshotFolder("/nowhere/at/all")


def test_prompts_that_are_given_up_leave_the_world_as_it_was() -> None:
    world, plain = steered(), dummy_world()
    made(world, 1)
    plain.advance()
    world.prompt(1, "rain", "next")
    assert world.give_up_prompts() == [1]
    assert world.give_up_prompts() == []
    assert same_pixels(list(world.advance().frames), plain.advance())
