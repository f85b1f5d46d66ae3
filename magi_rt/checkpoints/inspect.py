"""What a model folder holds and what is wrong with it, without loading a weight.

A broken folder is no error here: every problem becomes a sentence of the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from magi_rt.checkpoints.expected import expected_tensors
from magi_rt.checkpoints.headers import StoredTensor, open_weights
from magi_rt.checkpoints.layout import (
    SPECIAL_TOKENS,
    VAE_WEIGHTS,
    ModelFolder,
    locate,
    missing_denoiser,
    missing_text_encoder,
    missing_vae,
)
from magi_rt.checkpoints.load import check_tensors, run_time_dtypes
from magi_rt.checkpoints.networks import vae_skeleton
from magi_rt.checkpoints.text_encoder import check_text_encoder
from magi_rt.checkpoints.trained_on import trained_on
from magi_rt.config import MagiConfig, ModelConfig
from magi_rt.errors import CheckpointError, MagiError
from magi_rt.models.special_tokens import SpecialTokens


@dataclass(frozen=True)
class Part:
    """One part of a model folder.

    Attributes:
        name: denoiser, auto-encoder, text encoder or special tokens.
        path: where it lies; None when it is missing.
        files, size_bytes: its weight files and their bytes.
        tensors, parameters: how many tensors, and numbers in them.
        dtypes: stored type -> numbers held in it.
    """

    name: str
    path: str | None = None
    files: int = 0
    size_bytes: int = 0
    tensors: int = 0
    parameters: int = 0
    dtypes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Report:
    """What `inspect` found.

    Attributes:
        folder: the model folder as given.
        family: by structure: "4.5B type" (plain MLP) or "24B type" (gated MLP, doubled latent).
        variant: "base", "distill" or "distill, 8-bit".
        facts: sizes and defaults of the configuration, as words and values for people.
        parts: the parts in the order denoiser, auto-encoder, text encoder, special tokens.
        problems: what keeps the model from being opened; also a part that it could do without,
            where that is there and cannot be read.
        remarks: what is missing but not needed.
    """

    folder: str
    family: str = "unknown"
    variant: str = "unknown"
    facts: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing keeps the model from being opened."""
        return not self.problems

    def to_table(self) -> list[tuple[str, str, str, str, str]]:
        """One row per part: name, place, size, parameters, types."""
        return [
            (
                part.name,
                part.path or "missing",
                f"{part.size_bytes / 1e6:,.1f} MB" if part.path else "",
                f"{part.parameters:,} in {part.tensors}" if part.tensors else "",
                ", ".join(dtype for dtype, _ in part.dtypes),
            )
            for part in self.parts
        ]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"ok": self.ok, **asdict(self), "facts": dict(self.facts)}


def inspect(model: str | Path) -> Report:
    """Looks at a model name or folder; never raises for what it finds there."""
    try:
        found = locate(model)
    except MagiError as error:
        return Report(folder=str(model), problems=(error.message,))
    problems: list[str] = []
    remarks: list[str] = []
    config = found.config
    parts = (
        _denoiser(found, problems),
        _vae(found, problems),
        _text_encoder(found, problems, remarks),
        _special_tokens(found, problems, remarks),
    )
    return Report(
        folder=str(found.folder),
        family=family(config.model),
        variant=variant(config),
        facts=(*_facts(config), *_told(found)),
        parts=parts,
        problems=tuple(problems),
        remarks=tuple(remarks),
    )


def family(model: ModelConfig) -> str:
    """The published family whose structure a model has; its size may differ."""
    signs = (model.gated_linear_unit, model.half_channel_vae)
    return {(False, False): "4.5B type", (True, True): "24B type"}.get(signs, "mixed type")


def variant(config: MagiConfig) -> str:
    """Which of the published kinds of weights a configuration asks for."""
    words = ["distill" if config.engine.distill else "base"]
    return ", ".join(words + (["8-bit"] if config.engine.fp8_quant else []))


def _facts(config: MagiConfig) -> tuple[tuple[str, str], ...]:
    model, runtime = config.model, config.runtime
    return (
        ("layers", str(model.num_layers)),
        ("hidden size", str(model.hidden_size)),
        (
            "heads",
            f"{model.num_attention_heads} x {model.head_dim}, {model.num_query_groups} groups",
        ),
        ("precision", model.params_dtype.removeprefix("torch.")),
        ("picture", f"{runtime.video_size_h} x {runtime.video_size_w}, {runtime.fps} per second"),
        ("chunk", f"{runtime.frames_per_chunk} pictures, {runtime.chunk_width} latent frames"),
        ("steps", f"{runtime.num_steps}, {runtime.window_size} chunks in flight"),
        ("guidance branches", str(runtime.cfg_number)),
    )


def _told(found: ModelFolder) -> tuple[tuple[str, str], ...]:
    data = trained_on(found)
    return () if data is None else (("trained on", data),)


def _denoiser(found: ModelFolder, problems: list[str]) -> Part:
    if found.denoiser is None:
        problems.append(missing_denoiser(found))
        return Part("denoiser")
    config = found.config
    shapes = {name: tensor.shape for name, tensor in expected_tensors(config).items()}
    dtypes = run_time_dtypes(config)

    def check(folder: Path) -> Part:
        files = open_weights(folder)
        try:
            check_tensors(files, shapes, dtypes)
        except CheckpointError as error:
            problems.append(error.message)
        return _weights("denoiser", folder, files.tensors)

    return _tolerant("denoiser", found.denoiser, check, problems)


def _vae(found: ModelFolder, problems: list[str]) -> Part:
    if found.vae is None:
        problems.append(missing_vae(found))
        return Part("auto-encoder")

    def check(folder: Path) -> Part:
        files = open_weights(folder, VAE_WEIGHTS)
        try:
            state = vae_skeleton(folder, found.config).state_dict()
            shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
            check_tensors(files, shapes, dict.fromkeys(shapes, torch.float32))
        except MagiError as error:
            problems.append(error.message)
        return _weights("auto-encoder", folder, files.tensors)

    return _tolerant("auto-encoder", found.vae, check, problems)


def _text_encoder(found: ModelFolder, problems: list[str], remarks: list[str]) -> Part:
    if found.text_encoder is None:
        remarks.append(missing_text_encoder(found))
        return Part("text encoder")

    def check(folder: Path) -> Part:
        files, _ = check_text_encoder(folder, found.config.model.caption_channels)
        return _weights("text encoder", folder, files.tensors)

    return _tolerant("text encoder", found.text_encoder, check, problems)


def _special_tokens(found: ModelFolder, problems: list[str], remarks: list[str]) -> Part:
    if found.special_tokens is None:
        remarks.append(f"{found.folder} has no {SPECIAL_TOKENS}; prompts go without them")
        return Part("special tokens")

    def check(path: Path) -> Part:
        SpecialTokens.read(path, found.config.model.caption_channels)
        return Part("special tokens", str(path), files=1, size_bytes=path.stat().st_size)

    return _tolerant("special tokens", found.special_tokens, check, problems)


def _tolerant(name: str, place: Path, check: Callable[[Path], Part], sentences: list[str]) -> Part:
    """Runs a check; a refusal becomes a sentence and a part without numbers."""
    try:
        return check(place)
    except MagiError as error:
        sentences.append(error.message)
        return Part(name, str(place))


def _weights(name: str, folder: Path, tensors: Mapping[str, StoredTensor]) -> Part:
    dtypes: Counter[str] = Counter()
    for tensor in tensors.values():
        dtypes[tensor.dtype] += tensor.elements
    return Part(
        name=name,
        path=str(folder),
        files=len({tensor.file for tensor in tensors.values()}),
        size_bytes=sum(tensor.end - tensor.begin for tensor in tensors.values()),
        tensors=len(tensors),
        parameters=sum(dtypes.values()),
        dtypes=tuple(dtypes.most_common()),
    )
