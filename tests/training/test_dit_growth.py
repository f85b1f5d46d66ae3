"""A denoiser that is grown to finer tokens starts as the one it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from magi_rt.errors import OptionError
from magi_rt.models.dit import VideoDiT
from magi_rt.training.distill_start import heir
from magi_rt.training.dit_beginning import begin
from magi_rt.training.dit_growth import with_patches
from magi_rt.training.dit_init import initialise
from magi_rt.training.nano import model_of


def small() -> VideoDiT:
    sizes = replace(model_of(), num_layers=2, hidden_size=64, kv_channels=8, ffn_hidden_size=64)
    dit = VideoDiT(sizes).requires_grad_(False)
    initialise(dit, seed=3)
    torch.nn.init.normal_(dit.final_linear.linear.weight)
    return dit


def repeated(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, -2).repeat_interleave(2, -1)


def test_a_finer_token_of_an_even_picture_is_the_token_it_was_cut_from() -> None:
    dit = small()
    latents = repeated(torch.randn(1, 16, 2, 4, 4))
    coarse = dit.embed(latents, ranges=1).unflatten(2, (2, 4, 4))
    fine = with_patches(dit, 1).embed(latents, ranges=1).unflatten(2, (2, 8, 8))
    torch.testing.assert_close(fine[:, :, :, ::2, ::2], coarse, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fine[:, :, :, 1::2, 1::2], coarse, rtol=1e-4, atol=1e-5)


def test_a_finer_token_says_what_its_patch_said_on_average() -> None:
    dit = small()
    hidden = torch.randn(1, 2, 4, 4, 64)
    finer = hidden.repeat_interleave(2, 2).repeat_interleave(2, 3)
    shape = torch.Size((1, 16, 2, 8, 8))
    said = dit.read_out(hidden.flatten(1, 3), shape)
    fine = with_patches(dit, 1).read_out(finer.flatten(1, 3), shape)
    averaged = repeated(torch.nn.functional.avg_pool3d(said, (1, 2, 2)))
    torch.testing.assert_close(fine, averaged, rtol=1e-4, atol=1e-5)


def test_tokens_become_finer_and_not_coarser() -> None:
    dit = small()
    assert with_patches(dit, 2) is dit
    with pytest.raises(OptionError, match="cannot become 2x2"):
        with_patches(with_patches(dit, 1), 2)
    with pytest.raises(OptionError, match="patch is 3"):
        model_of(patch=3)


def test_what_a_student_learned_is_inherited_for_finer_tokens_too() -> None:
    before, student, further = small(), small(), small()
    for dit in (student, further):
        for parameter in dit.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    coarse = with_patches(heir(further, before, student), 1)
    fine = heir(with_patches(further, 1), with_patches(before, 1), with_patches(student, 1))
    for name, parameter in fine.named_parameters():
        torch.testing.assert_close(parameter, coarse.get_parameter(name), rtol=1e-4, atol=1e-5)


def test_training_of_finer_tokens_goes_on_from_the_built_in_world() -> None:
    _, trainee, _ = begin(None, "nano-base", ["it snows"] * 3, seed=1, patch=1)
    assert trainee.dit.config == model_of(patch=1)
    assert all(parameter.requires_grad for parameter in trainee.parameters())
