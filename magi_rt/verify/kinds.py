"""What kind of check a golden case is, from its name and from what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from magi_rt.verify import block_cases, dit_cases, prompt_cases, sampling_cases, vae_cases
from magi_rt.verify import walk_cases as walks
from magi_rt.verify.golden_model import Setting
from magi_rt.verify.goldens import Check, GoldenCase

Checker = Callable[[GoldenCase, Setting], Iterator[Check]]

CALL = ("x", "t", "y", "mask", "kv_range")
"""The inputs of one forward."""


@dataclass(frozen=True)
class Kind:
    """A kind of case.

    prefix: how names of this kind begin.
    tensors, meta: what a case of this kind holds at least.
    check: yields its comparisons; raising is a failure.
    """

    prefix: str
    tensors: tuple[str, ...]
    meta: tuple[str, ...]
    check: Checker

    def lacks(self, case: GoldenCase) -> list[str]:
        """What a case would need to be of this kind."""
        tensors = [name for name in self.tensors if name not in case.listed]
        return tensors + [f"meta.{key}" for key in self.meta if key not in case.meta]


def _plain(check: Callable[[GoldenCase], Iterator[Check]]) -> Checker:
    """A check that no setting changes: exact arithmetic, or a number format of its own."""
    return lambda case, setting: check(case)


KINDS = (
    Kind("schedule_walk_plans", (), ("plans",), _plain(sampling_cases.check_walk_plans)),
    Kind("schedule_time", ("t.0",), ("cases",), _plain(sampling_cases.check_schedule_time)),
    Kind("schedule_sequences", (), ("cases",), _plain(sampling_cases.check_sequences)),
    Kind(
        "cfg_scales",
        ("t", "prev", "text"),
        ("published", "custom"),
        _plain(sampling_cases.check_cfg_scales),
    ),
    Kind("cfg_dispatch_", (*CALL, "velocity"), ("kwargs",), walks.check_dispatch),
    Kind("walk_", ("noise", "y", "mask"), ("calls", "yields"), walks.check_walk),
    Kind(
        "bf16_dit_forward_",
        (*CALL, "out_bf16mode", "out_fp32"),
        ("rel_l2_bf16_vs_fp32",),
        dit_cases.check_bf16_forward,
    ),
    Kind("dit_forward_", (*CALL, "out"), ("tokens_per_chunk",), dit_cases.check_forward),
    Kind("fp8_dit_forward_", (*CALL, "out"), ("tokens_per_chunk",), dit_cases.check_forward),
    Kind("bf16_timestep", ("t", "sinusoid_bf16", "out"), (), _plain(dit_cases.check_bf16_timestep)),
    Kind("fp8_", ("x", "q", "y", "weight"), (), _plain(dit_cases.check_fp8_linear)),
    Kind("block_timestep", ("t", "sinusoid", "out"), (), _plain(block_cases.check_timestep)),
    Kind(
        "block_caption_embedder",
        ("y", "xattn_drop0", "adaln_drop0"),
        (),
        _plain(block_cases.check_caption_embedder),
    ),
    Kind("block_rope_tables", ("bands",), ("shapes",), _plain(block_cases.check_rope_tables)),
    Kind(
        "block_",
        ("x", "t", "hidden_in", "condition", "rope", "kv_range"),
        ("layer", "tokens_per_chunk"),
        _plain(block_cases.check_block),
    ),
    Kind("vae_block", ("x", "block_in", "block_out"), (), _plain(vae_cases.check_vae_block)),
    Kind("vae_prefix_pipeline", ("frames_thwc", "latent"), (), _plain(vae_cases.check_vae)),
    Kind("vae_tiled_encode", ("x", "z"), vae_cases.TILING, _plain(vae_cases.check_vae)),
    Kind("vae_tiled_decode", ("z", "y"), vae_cases.TILING, _plain(vae_cases.check_vae)),
    Kind("vae_encode", ("x", "z"), (), _plain(vae_cases.check_vae)),
    Kind("vae_decode", ("z", "y"), (), _plain(vae_cases.check_vae)),
    Kind("prompt_special_tokens", ("other_tokens",), (), _plain(prompt_cases.check_special_tokens)),
    Kind("prompt_clean_caption", (), ("pairs",), _plain(prompt_cases.check_clean_caption)),
    Kind(
        "prompt_",
        ("caption", "caption_mask", "y", "y_mask"),
        ("flags", "chunk_num"),
        _plain(prompt_cases.check_prompt),
    ),
)
"""All known kinds; where several would fit, the first one is meant."""

WEIGHTS = ("rope.bands", "encoder.pos_embed")
"""Tensors that only weights hold."""


def is_weights(case: GoldenCase) -> bool:
    """True for cases that others load."""
    return any(name in case.listed for name in WEIGHTS)


def kind_of(case: GoldenCase) -> Kind | None:
    """The kind whose name and content fit; else one whose content alone fits; else ``None``."""
    fitting = [kind for kind in KINDS if not kind.lacks(case)]
    named = [kind for kind in fitting if case.name.startswith(kind.prefix)]
    return next(iter(named or fitting), None)


def missing_of(case: GoldenCase) -> tuple[str, list[str]] | None:
    """For a case named like a kind that it does not fill: the kind's prefix and what is missing."""
    for kind in KINDS:
        if case.name.startswith(kind.prefix):
            return kind.prefix, kind.lacks(case)
    return None
