"""The published configuration format as frozen dataclasses, checked when they are built.

A configuration file is a JSON object with the sections `model_config`, `runtime_config` and
`engine_config`. Field names here are the published key names. Reading a file is strict (every key
must be there, none may be unknown); building a section in Python may rely on the defaults.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints

from magi_rt.errors import ConfigError

PARAMS_DTYPES = ("torch.bfloat16", "torch.float32")
SHORTCUT_MODES = ("8,16,16", "16,16,8")
OUTPUT_INTERLEAVE_GROUPS = 8
"""Head groups in which self- and cross-attention outputs alternate before the projection."""


def _fits(value: object, hint: Any) -> bool:
    """True when a value has the annotated type; a bool is no number, a whole number is a float."""
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, tuple) and all(_fits(item, inner) for item in value)
    if get_args(hint):
        return any(_fits(value, choice) for choice in get_args(hint))
    if hint is int or hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return isinstance(value, int) if hint is int else math.isfinite(value)
    return isinstance(value, hint)


def _spell(hint: Any) -> str:
    """A type as a word for people."""
    if get_origin(hint) is tuple:
        return f"a list of {_spell(get_args(hint)[0])}"
    if get_args(hint):
        return " or ".join(_spell(choice) for choice in get_args(hint))
    names = {int: "whole number", float: "finite number", str: "text", bool: "true or false"}
    return names.get(hint, "null")


class _Section:
    """What the three sections share: strict reading, type checks, writing."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, section: str | None = None) -> Self:
        """Builds a section from JSON values; lists become tuples.

        Raises:
            ConfigError: a key is missing, unknown or wrongly typed, or keys contradict.
        """
        where = section or cls.__name__
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} must be an object, not {data!r}", field=where)
        known = get_type_hints(cls)
        unknown = sorted(str(key) for key in data if key not in known)
        missing = [key for key in known if key not in data]
        if unknown:
            raise ConfigError(
                f"{where} has unknown keys: {', '.join(unknown)}; remove them", field=unknown[0]
            )
        if missing:
            raise ConfigError(
                f"{where} lacks keys: {', '.join(missing)}; every key must be present",
                field=missing[0],
            )
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in data.items()})

    def to_dict(self) -> dict[str, Any]:
        """The section as JSON values; tuples become lists."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    def _check_types(self) -> None:
        for key, hint in get_type_hints(type(self)).items():
            value = getattr(self, key)
            if not _fits(value, hint):
                raise ConfigError(f"{key} is {value!r}; it must be {_spell(hint)}", field=key)

    def _check_positive(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            if value <= 0:
                raise ConfigError(f"{key} is {value}; it must be greater than 0", field=key)

    def _check_choice(self, key: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, key)
        if value not in choices:
            raise ConfigError(
                f"{key} is {value!r}; it must be one of {', '.join(choices)}", field=key
            )


@dataclass(frozen=True)
class ModelConfig(_Section):
    """The denoiser's sizes (`model_config`).

    Raises:
        ConfigError: a size is not positive or the sizes contradict each other.
    """

    num_layers: int
    hidden_size: int
    ffn_hidden_size: int
    num_attention_heads: int
    num_query_groups: int
    kv_channels: int
    model_name: str = "videodit_ardf"
    layernorm_epsilon: float = 1e-6
    apply_layernorm_1p: bool = True
    x_rescale_factor: float = 1
    half_channel_vae: bool = False
    params_dtype: str = "torch.bfloat16"
    patch_size: int = 2
    t_patch_size: int = 1
    in_channels: int = 16
    out_channels: int = 16
    cond_hidden_ratio: float = 0.25
    caption_channels: int = 4096
    caption_max_length: int = 800
    xattn_cond_hidden_ratio: float = 1.0
    cond_gating_ratio: float = 1.0
    gated_linear_unit: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        self._check_positive(
            "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads",
            "num_query_groups", "kv_channels", "layernorm_epsilon", "x_rescale_factor",
            "patch_size", "t_patch_size", "in_channels", "out_channels", "cond_hidden_ratio",
            "caption_channels", "caption_max_length",
        )  # fmt: skip
        self._check_choice("params_dtype", PARAMS_DTYPES)
        self._check_heads()
        self._check_fixed()

    def _check_heads(self) -> None:
        heads, width = self.num_attention_heads, self.kv_channels
        if self.hidden_size != heads * width:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is not num_attention_heads {heads} x "
                f"kv_channels {width} = {heads * width}",
                field="hidden_size",
            )
        if heads % OUTPUT_INTERLEAVE_GROUPS:
            raise ConfigError(
                f"num_attention_heads {heads} is not a multiple of {OUTPUT_INTERLEAVE_GROUPS}",
                field="num_attention_heads",
            )
        if heads % self.num_query_groups:
            raise ConfigError(
                f"num_query_groups {self.num_query_groups} does not divide "
                f"num_attention_heads {heads}",
                field="num_query_groups",
            )
        if width % 8:
            raise ConfigError(
                f"kv_channels {width} is not a multiple of 8 (three rotary axes of an eighth)",
                field="kv_channels",
            )

    def _check_fixed(self) -> None:
        fixed = {
            "apply_layernorm_1p": True,
            "xattn_cond_hidden_ratio": 1.0,
            "cond_gating_ratio": 1.0,
            "t_patch_size": 1,
        }
        for key, only in fixed.items():
            if getattr(self, key) != only:
                raise ConfigError(
                    f"{key} is {getattr(self, key)}; models of this family have {only}", field=key
                )
        if self.in_channels != self.out_channels:
            raise ConfigError(
                f"out_channels {self.out_channels} differs from in_channels {self.in_channels}",
                field="out_channels",
            )
        if self.half_channel_vae and self.in_channels % 2:
            raise ConfigError(
                f"in_channels {self.in_channels} is odd; half_channel_vae doubles the latent",
                field="in_channels",
            )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.kv_channels

    @property
    def latent_channels(self) -> int:
        """Channels of a latent outside the network (half of in_channels for half_channel_vae)."""
        return self.in_channels // 2 if self.half_channel_vae else self.in_channels

    @property
    def rope_bands(self) -> int:
        """Learned rotary frequencies per axis."""
        return self.kv_channels // 8

    @property
    def gate_hidden(self) -> int:
        """Channels of the condition vector that drives the gates."""
        return int(self.hidden_size * self.cond_hidden_ratio)


@dataclass(frozen=True)
class RuntimeConfig(_Section):
    """Sampling defaults and file places (`runtime_config`).

    Raises:
        ConfigError: a number is out of range or steps, window and visibility stages do not fit.
    """

    cfg_number: int = 1
    cfg_t_range: tuple[float, ...] = (0.0, 0.0217, 0.1, 0.3, 0.999)
    prev_chunk_scales: tuple[float, ...] = (1.5,) * 5
    text_scales: tuple[float, ...] = (7.5,) * 5
    noise2clean_kvrange: tuple[int, ...] = ()
    clean_chunk_kvrange: int = -1
    clean_t: float = 1.0
    seed: int = 1234
    num_frames: int = 128
    video_size_h: int = 720
    video_size_w: int = 720
    num_steps: int = 64
    window_size: int = 4
    fps: int = 24
    chunk_width: int = 6
    t5_pretrained: str | None = None
    t5_device: str = "cpu"
    vae_pretrained: str | None = None
    scale_factor: float = 0.18215
    temporal_downsample_factor: int = 4
    load: str | None = None

    def __post_init__(self) -> None:
        self._check_types()
        self._check_positive(
            "num_frames", "video_size_h", "video_size_w", "num_steps", "window_size", "fps",
            "chunk_width", "scale_factor", "temporal_downsample_factor",
        )  # fmt: skip
        if self.cfg_number not in (1, 3):
            raise ConfigError(
                f"cfg_number is {self.cfg_number}; it must be 3 (guided) or 1 (distilled)",
                field="cfg_number",
            )
        if not 0.0 < self.clean_t <= 1.0:
            raise ConfigError(
                f"clean_t is {self.clean_t}; it must be above 0 and at most 1", field="clean_t"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be 0 or more", field="seed")
        self._check_guidance()
        self._check_visibility()

    def _check_guidance(self) -> None:
        count = len(self.cfg_t_range)
        if count == 0 or list(self.cfg_t_range) != sorted(self.cfg_t_range):
            raise ConfigError("cfg_t_range must be a rising list of times", field="cfg_t_range")
        for key in ("prev_chunk_scales", "text_scales"):
            if len(getattr(self, key)) != count:
                raise ConfigError(
                    f"{key} has {len(getattr(self, key))} entries; cfg_t_range has {count}",
                    field=key,
                )

    def _check_visibility(self) -> None:
        if any(width < 1 for width in self.noise2clean_kvrange):
            raise ConfigError(
                f"noise2clean_kvrange is {list(self.noise2clean_kvrange)}; "
                "a chunk sees at least itself (1)",
                field="noise2clean_kvrange",
            )
        if self.clean_chunk_kvrange != -1 and self.clean_chunk_kvrange < 1:
            raise ConfigError(
                f"clean_chunk_kvrange is {self.clean_chunk_kvrange}; it must be -1 (as the last "
                "noise2clean_kvrange entry) or 1 and more",
                field="clean_chunk_kvrange",
            )
        stages = len(self.noise2clean_kvrange) or 1
        for name, divisor in (("window_size", self.window_size), ("noise2clean_kvrange", stages)):
            if self.num_steps % divisor:
                raise ConfigError(
                    f"num_steps {self.num_steps} is not a multiple of {divisor} ({name})",
                    field="num_steps",
                )

    @property
    def frames_per_chunk(self) -> int:
        """Pictures in one chunk."""
        return self.chunk_width * self.temporal_downsample_factor


@dataclass(frozen=True)
class EngineConfig(_Section):
    """Execution settings (`engine_config`).

    `fp8_quant` and `distill` choose the weights and `shortcut_mode` the time grid; the settings of
    distributed runs are kept so that a file survives reading and writing.

    Raises:
        ConfigError: a value is out of range.
    """

    distributed_backend: str = "nccl"
    distributed_timeout_minutes: int = 10
    pp_size: int = 1
    cp_size: int = 1
    cp_strategy: str = "none"
    ulysses_overlap_degree: int = 1
    fp8_quant: bool = False
    distill_nearly_clean_chunk_threshold: float = 0.3
    shortcut_mode: str = "8,16,16"
    distill: bool = False
    kv_offload: bool = True
    enable_cuda_graph: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        self._check_positive(
            "distributed_timeout_minutes", "pp_size", "cp_size", "ulysses_overlap_degree"
        )
        self._check_choice("shortcut_mode", SHORTCUT_MODES)


@dataclass(frozen=True)
class MagiConfig:
    """A whole configuration.

    Raises:
        ConfigError: cfg_number does not fit the weights (distilled and fp8 weights have guidance
            folded in and take 1, all others take 3).
    """

    model: ModelConfig
    runtime: RuntimeConfig
    engine: EngineConfig = EngineConfig()

    def __post_init__(self) -> None:
        folded = self.engine.fp8_quant or self.engine.distill
        needed = 1 if folded else 3
        if self.runtime.cfg_number != needed:
            reason = "fp8_quant or distill is set" if folded else "the model is not distilled"
            raise ConfigError(
                f"cfg_number is {self.runtime.cfg_number}; {reason}, so it must be {needed}",
                field="cfg_number",
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MagiConfig:
        """Builds a configuration from the JSON object of a published file.

        Raises:
            ConfigError: a section or key is missing, unknown or wrong; `field` names it.
        """
        if not isinstance(data, Mapping):
            raise ConfigError("a configuration must be a JSON object")
        sections = ("model_config", "runtime_config", "engine_config")
        for key in data:
            if key not in sections:
                raise ConfigError(f"unknown section {key!r}; remove it", field=str(key))
        for key in sections:
            if key not in data:
                raise ConfigError(f"section {key!r} is missing", field=key)
        return cls(
            model=ModelConfig.from_dict(data["model_config"], section="model_config"),
            runtime=RuntimeConfig.from_dict(data["runtime_config"], section="runtime_config"),
            engine=EngineConfig.from_dict(data["engine_config"], section="engine_config"),
        )

    @classmethod
    def from_file(cls, path: str | Path) -> MagiConfig:
        """Reads a configuration file (JSON, UTF-8).

        Raises:
            ConfigError: the file cannot be read, is no JSON, or holds a wrong configuration.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        try:
            return cls.from_dict(data)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", field=error.field) from error

    def to_dict(self) -> dict[str, Any]:
        """The configuration as the JSON object of a published file."""
        return {
            "model_config": self.model.to_dict(),
            "runtime_config": self.runtime.to_dict(),
            "engine_config": self.engine.to_dict(),
        }
