"""Training data follow from seed and step alone, whatever was kept on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from magi_rt.checkpoints.layout import resolve
from magi_rt.errors import CheckpointError, OptionError
from magi_rt.training.clip_feed import ClipFeed, Drawn, FeedPlan, PromptReader, worth
from magi_rt.training.dit_beginning import begin, fresh_trainee, spoken_prompts
from magi_rt.training.latent_shards import ShardRecipe, ShardStore
from magi_rt.training.nano_text import (
    build_text_encoder,
    encode_prompts,
    regrown_text_encoder,
)
from magi_rt.training.recordings.source import open_source
from magi_rt.training.seeds import seeded
from magi_rt.training.vae_trainer import NANO_VAE, fresh_vae

NO_STILL = torch.tensor([False])
RECIPE = ShardRecipe(seed=3, scale=0.9, clips=3, chunks=2, still=2)


def store(folder: Path) -> ShardStore:
    return ShardStore(folder, RECIPE, fresh_vae(NANO_VAE, 1).eval())


def test_a_shard_is_the_same_read_or_made_again(tmp_path: Path) -> None:
    first = store(tmp_path / "a").get(1)
    read = store(tmp_path / "a").get(1)
    made = store(tmp_path / "b").get(1)
    for other in (read, made):
        assert torch.equal(first.latents, other.latents)
        assert (first.prompts, first.openings) == (other.prompts, other.openings)
    assert first.latents.shape == (3, 16, 4, 8, 8)


def test_working_processes_make_the_same_shards_ahead_of_time(tmp_path: Path) -> None:
    vae = fresh_vae(NANO_VAE, 1).eval()
    here = ShardStore(tmp_path / "a", RECIPE, vae)
    there = ShardStore(tmp_path / "b", RECIPE, vae, workers=1)
    for index in (0, 1):
        first, second = here.get(index), there.get(index)
        assert first.prompts == second.prompts
        torch.testing.assert_close(first.latents, second.latents, atol=0.02, rtol=0.02)
    assert there.makers is not None and 2 in there.makers.begun
    there.close()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"seed": 4}, "seed 3, and this run has 4"),
        ({"data": "calm-toybox"}, "'world toybox .*', and this run has 'world calm-toybox "),
        ({"scale": 1.0}, "scale 0.9"),
    ],
)
def test_shards_of_another_run_are_refused(
    tmp_path: Path, other: dict[str, Any], says: str
) -> None:
    store(tmp_path).get(0)
    with pytest.raises(OptionError, match=says):
        ShardStore(tmp_path, replace(RECIPE, **other), fresh_vae(NANO_VAE, 1).eval()).get(0)
    with pytest.raises(OptionError, match="with vae"):
        ShardStore(tmp_path, RECIPE, fresh_vae(NANO_VAE, 2).eval()).get(0)


def test_pictures_are_drawn_alike_whatever_precision_training_computes_in(tmp_path: Path) -> None:
    clips = replace(RECIPE, clips=6)
    vae = fresh_vae(NANO_VAE, 1).eval()
    plain = ShardStore(tmp_path / "a", clips, vae).get(0)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ShardStore(tmp_path / "b", clips, vae).get(0)
    assert torch.equal(plain.latents, inside.latents)
    assert any("rain" in p or "snow" in p for clip in plain.prompts for p in clip)


def test_shards_differ_from_each_other(tmp_path: Path) -> None:
    shards = store(tmp_path)
    assert not torch.equal(shards.get(0).latents, shards.get(1).latents)


def test_a_step_draws_the_same_clips_in_a_resumed_run(tmp_path: Path) -> None:
    plan = FeedPlan(batch=2, steps_per_shard=1)
    whole = ClipFeed(store(tmp_path), plan)
    drawn = [whole.draw(step, seeded(3, step)) for step in range(3)]
    resumed = ClipFeed(store(tmp_path), plan)
    again = resumed.draw(2, seeded(3, 2))
    assert torch.equal(again.latents, drawn[2].latents)
    assert again.prompts == drawn[2].prompts
    assert torch.equal(again.still, drawn[2].still)


def test_still_beginnings_hold_their_first_frame_for_one_latent_frame(tmp_path: Path) -> None:
    moving = replace(RECIPE, still=0)
    vae = fresh_vae(NANO_VAE, 1).eval()
    first = ShardStore(tmp_path / "a", RECIPE, vae).get(0)
    other = ShardStore(tmp_path / "b", moving, vae).get(0)
    assert (first.still, other.still) == (2, 0)
    assert torch.equal(first.latents[2], other.latents[2])
    assert not torch.equal(first.latents[:2, :, :2], other.latents[:2, :, :2])


def test_what_follows_a_picture_comes_when_the_prompts_say(tmp_path: Path) -> None:
    """All but the first chunk of a clip that begins with a picture is what it is without one."""
    vae = fresh_vae(NANO_VAE, 1).eval()
    first = ShardStore(tmp_path / "a", RECIPE, vae).get(0)
    other = ShardStore(tmp_path / "b", replace(RECIPE, still=0), vae).get(0)
    assert first.prompts == other.prompts
    torch.testing.assert_close(first.latents[:, :, 2:], other.latents[:, :, 2:])


@pytest.mark.parametrize("left", [0, 5, 4000])
def test_a_shard_that_is_cut_short_is_made_anew(tmp_path: Path, left: int) -> None:
    made = store(tmp_path).get(0)
    path = store(tmp_path).path(0)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert torch.equal(store(tmp_path).get(0).latents, made.latents)
    assert path.stat().st_size == len(whole)


def test_a_shard_for_which_there_is_no_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, to: Path, *__: object) -> None:
        to.write_bytes(b"half")
        raise SafetensorError("no space left")

    monkeypatch.setattr("magi_rt.training.checkpoint.save_file", full)
    with pytest.raises(CheckpointError, match=r"shard-00000.* could not be written"):
        store(tmp_path).get(0)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_does_not_say_how_it_was_made_is_refused(tmp_path: Path) -> None:
    shards = store(tmp_path)
    made = shards.get(0)
    save_file({"latents": made.latents}, shards.path(0), {"prompts": json.dumps(made.prompts)})
    with pytest.raises(OptionError, match="was made with seed None, and this run has 3"):
        store(tmp_path).get(0)


def test_clips_whose_prompt_changes_often_are_drawn_often(tmp_path: Path) -> None:
    clips = [["a"] * 4, ["a", "a", "b", "b"], ["a", "b", "c", "d"]]
    assert worth(clips).tolist() == [0.5, 1.5, 3.5]
    feed = ClipFeed(store(tmp_path), FeedPlan(batch=300, steps_per_shard=1))
    feed._grow(1)
    feed._worth[0] = torch.tensor([0.0, 1.0, 3.0])
    drawn = feed.draw(0, seeded(3, 0)).still.float().mean()
    assert 0.15 < drawn < 0.35, "the first two clips of three begin with a picture"


def test_over_a_run_early_and_late_shards_are_drawn_about_equally_often(tmp_path: Path) -> None:
    feed = ClipFeed(store(tmp_path), FeedPlan(batch=60, steps_per_shard=1))
    shard, counts = feed.store.get(0), torch.zeros(24)
    for number in range(24):
        marked = replace(shard, latents=torch.full_like(shard.latents, number))
        feed.take(marked)
        drawn = feed.draw(number, seeded(1, number)).latents[:, 0, 0, 0, 0]
        counts += torch.bincount(drawn.long(), minlength=24)
    assert counts[:6].sum() < 2.2 * counts[9:15].sum(), "drawn alike it would be 3.2"


def test_openings_are_chunks_told_as_if_a_video_began_with_them(tmp_path: Path) -> None:
    feed = ClipFeed(store(tmp_path), FeedPlan(batch=2, steps_per_shard=1, openings=40))
    told = [["a room", None], [None, "rain in a room"], ["", None]]
    shard = replace(feed.store.get(0), openings=told)
    feed.take(shard)
    openings = feed.draw_openings(0, 2, seeded(3, 0))
    assert openings.latents.shape == (40, 16, 2, 8, 8)
    places = {"a room": (0, 0, True), "rain in a room": (1, 1, False), "": (2, 0, False)}
    seen = set()
    drawn = zip(openings.latents, openings.prompts, openings.still, strict=True)
    for latents, (words,), still in drawn:
        clip, chunk, begins_still = places[words]
        wanted = shard.latents[clip, :, 2 * chunk : 2 * chunk + 2].float()
        assert torch.equal(latents, wanted)
        assert bool(still) == begins_still, "two clips of three begin with a picture"
        seen.add(words)
    assert seen == set(places)


def test_a_made_up_world_is_captioned_where_its_prompt_has_settled() -> None:
    world = open_source("calm-toybox", 64)
    drawn = world.draw(24, 8, seeded(5))
    later = 0
    for prompts, openings in zip(drawn.prompts, drawn.openings, strict=True):
        assert openings[0] == prompts[0]
        for chunk in range(1, 8):
            settled = chunk >= 2 and len(set(prompts[chunk - 2 : chunk + 1])) == 1
            assert (openings[chunk] is not None) == settled
            later += settled
    assert later > 48, "a caption or more in every clip"
    again = open_source("calm-toybox", 64).draw(24, 8, seeded(5))
    assert again.openings == drawn.openings


def test_an_encoder_regrown_for_new_words_keeps_what_it_knew() -> None:
    old_words, new_words = ["gravity pulls left"] * 9, ["gravity pulls left", "dusk falls"] * 9
    model, tokenizer = build_text_encoder(old_words, seed=1)
    with torch.no_grad():
        before, _ = encode_prompts(model, tokenizer, ["gravity pulls left"], 40)
    grown, wider = regrown_text_encoder(model, tokenizer, new_words)
    with torch.no_grad():
        after, _ = encode_prompts(grown, wider, ["gravity pulls left"], 40)
        spoken, mask = encode_prompts(grown, wider, ["dusk falls"], 40)
    assert torch.equal(before, after)
    assert int(mask.sum()) == 3  # two words and the end
    assert bool(spoken.isfinite().all())
    assert regrown_text_encoder(grown, wider, new_words)[1] is wider


def test_going_on_with_words_that_are_known_changes_no_token() -> None:
    clips = open_source("calm-toybox", 128)
    model, tokenizer = build_text_encoder(spoken_prompts(clips, 1), seed=1)
    assert regrown_text_encoder(model, tokenizer, spoken_prompts(clips, 1))[1] is tokenizer


def test_an_encoder_regrown_for_other_words_knows_the_old_ones_still() -> None:
    model, tokenizer = build_text_encoder(["gravity pulls left"] * 9, seed=1)
    _, wider = regrown_text_encoder(model, tokenizer, ["the lantern swings"] * 9)
    for prompt in ("gravity pulls left", "the lantern swings"):
        assert len(wider.pieces(prompt)) == 3


def test_training_goes_on_from_a_guided_world_only() -> None:
    with pytest.raises(OptionError, match="nano-base"):
        begin(None, "nano", ["it snows"], seed=1)
    codec, trainee, tokenizer = begin(None, "nano-base", ["it snows"] * 3, seed=1)
    assert codec.scale == resolve("nano").config.runtime.scale_factor
    assert all(parameter.requires_grad for parameter in trainee.parameters())
    assert len(tokenizer.pieces("it snows")) == 2


def test_every_prompt_of_a_batch_gets_one_row_and_silence_the_null_caption() -> None:
    trainee, tokenizer = fresh_trainee(["gravity points left", "it snows"] * 3, seed=1)
    reader = PromptReader(trainee.dit, trainee.text, tokenizer)
    prompts = [["", "gravity points left"], ["it snows", "gravity points left"]]
    drawn = Drawn(torch.zeros(2, 16, 4, 8, 8), prompts, torch.tensor([False, True]))
    clips, text = reader.read(drawn)
    assert clips.prompt.tolist() == [[0, 1], [2, 1]]
    assert text.rows.shape[0] == 3
    null = trainee.dit.null_text()
    assert torch.equal(text.rows[0, : null.shape[0]], null)
    assert bool(text.mask[0, : null.shape[0]].all())
    assert int(text.mask[1].sum()) < text.mask.shape[1]


def test_a_prompt_of_which_cleaning_leaves_nothing_is_no_prompt() -> None:
    trainee, tokenizer = fresh_trainee(["gravity points left", "it snows"] * 3, seed=1)
    reader = PromptReader(trainee.dit, trainee.text, tokenizer)
    drawn = Drawn(torch.zeros(1, 16, 8, 8, 8), [["<jump>", "it snows", "@left", ""]], NO_STILL)
    clips, text = reader.read(drawn)
    assert clips.prompt.tolist() == [[0, 1, 0, 0]]
    assert bool(text.mask.any(1).all()), "a row without tokens would make the loss not a number"
