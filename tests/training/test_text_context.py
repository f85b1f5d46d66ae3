"""Before a denoiser listens, text rows learn what stands beside each word."""

from __future__ import annotations

from copy import deepcopy
from itertools import permutations, product
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from magi_rt.training import dit_beginning, dit_trainer
from magi_rt.training.loop import CHECKPOINT, Outcome
from magi_rt.training.nano_text import build_text_encoder, encode_prompts
from magi_rt.training.recordings.source import open_source
from magi_rt.training.text_context import teach_context

COLOURS = ("red", "blue", "green", "orange", "purple", "yellow")
SHAPES = ("ball", "box")
PROMPTS = [
    f"a {first} {one} and a {second} {other}"
    for first, second in permutations(COLOURS, 2)
    for one, other in product(SHAPES, SHAPES)
]
UNHEARD = PROMPTS[::5]
HEARD = [prompt for prompt in PROMPTS if prompt not in UNHEARD]


@pytest.fixture(scope="module")
def untaught() -> tuple[Any, Any]:
    """An encoder and its tokenizer, as a training from nothing begins with them."""
    return build_text_encoder(PROMPTS * 2, seed=1)


@pytest.fixture(scope="module")
def taught(untaught: tuple[Any, Any]) -> Any:
    model = deepcopy(untaught[0])
    teach_context(model, untaught[1], HEARD, seed=1, steps=100)
    return model


def colour_rows(model: Any, tokenizer: Any, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Rows of each prompt's first colour, [P, channels], and 1 where a ball has it, else -1."""
    with torch.no_grad():
        rows, _ = encode_prompts(model, tokenizer, prompts, 40)
    balls = [prompt.split()[2] == "ball" for prompt in prompts]
    return rows[:, 1].double(), torch.tensor(balls).double() * 2 - 1


def shapes_read(model: Any, tokenizer: Any) -> float:
    """Share of unheard prompts whose first shape a linear reader finds in the row of its colour."""
    rows, shape = colour_rows(model, tokenizer, HEARD)
    apart, ridge = rows - rows.mean(0), 10.0 * torch.eye(rows.shape[1]).double()
    weights = torch.linalg.solve(apart.T @ apart + ridge, apart.T @ shape)
    others, truth = colour_rows(model, tokenizer, UNHEARD)
    return float((((others - rows.mean(0)) @ weights).sign() == truth).double().mean())


def test_the_row_of_a_colour_tells_the_shape_that_has_it(
    untaught: tuple[Any, Any], taught: Any
) -> None:
    assert shapes_read(*untaught) < 0.75
    assert shapes_read(taught, untaught[1]) > 0.95


def test_rows_that_a_denoiser_knows_already_stay_near_what_they_are(
    untaught: tuple[Any, Any], taught: Any
) -> None:
    model, tokenizer = untaught
    near = deepcopy(model)
    teach_context(near, tokenizer, HEARD, seed=1, steps=100, in_use=True)
    with torch.no_grad():
        before, free, kept = (
            encode_prompts(each, tokenizer, HEARD, 40)[0] for each in (model, taught, near)
        )
    assert 0 < (kept - before).square().mean() < 0.3 * (free - before).square().mean()


def test_the_lesson_follows_from_its_seed_and_leaves_the_random_state_alone(
    untaught: tuple[Any, Any],
) -> None:
    model, tokenizer = untaught
    before = torch.random.get_rng_state()
    found = [deepcopy(model) for _ in range(3)]
    for each, seed in zip(found, (1, 1, 2), strict=True):
        teach_context(each, tokenizer, HEARD, seed=seed, steps=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    first, same, other = (each.encoder.final_layer_norm.weight for each in found)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_world_in_which_nothing_is_said_teaches_nothing(untaught: tuple[Any, Any]) -> None:
    model, tokenizer = untaught
    same = deepcopy(model)
    assert teach_context(same, tokenizer, ["", "  "], seed=1, steps=3) == 0
    assert torch.equal(same.shared.weight, model.shared.weight)


class LoopOfNoSteps:
    """Stands for the loop: keeps the card, leaves a checkpoint, trains nothing."""

    cards: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, folder: Path, *_: Any, card: dict[str, Any], **__: Any) -> None:
        self.folder, self.card = folder, card

    def run(self, *, resume: bool) -> Outcome:
        self.cards.append(self.card)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / CHECKPOINT).touch()
        return Outcome(0, 0.0, resume, {})


@pytest.mark.parametrize(("asked", "times"), [(None, 0), (0, 0), (2, 1)])
def test_a_run_teaches_its_text_encoder_once_and_not_again_when_it_is_taken_up(
    asked: int | None, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons: list[int] = []

    def teach(*_: Any, steps: int, **__: Any) -> None:
        lessons.append(steps)

    monkeypatch.setattr(dit_trainer, "Loop", LoopOfNoSteps)
    monkeypatch.setattr(dit_trainer, "teach_words", teach)
    monkeypatch.setattr(LoopOfNoSteps, "cards", [])
    for _ in range(2):
        dit_trainer.train_dit(tmp_path, start="nano-base", steps=1, text_steps=asked)
    assert lessons == [asked] * times
    assert [card.get("text_steps", 0) for card in LoopOfNoSteps.cards] == [asked or 0] * 2


@pytest.mark.parametrize(("asked", "taken"), [(None, "calm-toybox"), ("toybox", "toybox")])
def test_a_run_goes_on_with_what_its_start_was_trained_on_unless_told_otherwise(
    asked: str | None, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dit_trainer, "Loop", LoopOfNoSteps)
    monkeypatch.setattr(LoopOfNoSteps, "cards", [])
    dit_trainer.train_dit(tmp_path, start="nano-base", steps=1, data=asked)
    assert LoopOfNoSteps.cards[0]["data"] == open_source(taken, 128).identity


def test_a_trainer_teaches_the_prompts_that_its_world_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = open_source("calm-toybox", 128)
    monkeypatch.setattr(dit_beginning, "CONTEXT_CLIPS", 8)
    _, trainee, tokenizer = dit_beginning.begin(None, "nano-base", ["it snows"] * 3, seed=1)
    before = deepcopy(trainee.text)
    dit_beginning.teach_words(trainee, tokenizer, source, seed=1, steps=2, in_use=True)
    same = [
        torch.equal(*pair)
        for pair in zip(before.parameters(), trainee.text.parameters(), strict=True)
    ]
    assert not any(same)
