"""The published configuration format as frozen dataclasses, checked when they are built.

A configuration file is a JSON object with the sections `model_config`, `runtime_config` and
`engine_config`. Field names here are the published key names. Reading a file is strict (every key
must be there, none may be unknown); building a section in Python may rely on the defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magi_rt.config_section import ConfigSection, optional_key
from magi_rt.errors import ConfigError

PARAMS_DTYPES = ("torch.bfloat16", "torch.float32")
SHORTCUT_MODES = ("8,16,16", "16,16,8")
MOST_LAYERS = 1000
"""Beyond this a configuration is damaged: every layer is described before a weight is read."""
OUTPUT_INTERLEAVE_GROUPS = 8
"""Head groups in which self- and cross-attention outputs alternate before the projection."""


@dataclass(frozen=True)
class ModelConfig(ConfigSection):
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
        self.check_types()
        self.check_positive(
            "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads",
            "num_query_groups", "kv_channels", "layernorm_epsilon", "x_rescale_factor",
            "patch_size", "t_patch_size", "in_channels", "out_channels", "cond_hidden_ratio",
            "caption_channels", "caption_max_length",
        )  # fmt: skip
        self.check_most("num_layers", MOST_LAYERS)
        self.check_choice("params_dtype", PARAMS_DTYPES)
        self._check_heads()
        self._check_fixed()

    def _check_heads(self) -> None:
        heads, width = self.num_attention_heads, self.kv_channels
        if self.hidden_size != heads * width:
            product = f"num_attention_heads {heads} x kv_channels {width} = {heads * width}"
            self.refuse("hidden_size", f"it must be {product}")
        if heads % OUTPUT_INTERLEAVE_GROUPS:
            self.refuse("num_attention_heads", f"it must divide by {OUTPUT_INTERLEAVE_GROUPS}")
        if heads % self.num_query_groups:
            self.refuse("num_query_groups", f"it must divide num_attention_heads {heads}")
        if width % 8:
            self.refuse("kv_channels", "it must divide by 8 (three rotary axes of an eighth each)")

    def _check_fixed(self) -> None:
        fixed = {
            "apply_layernorm_1p": True,
            "xattn_cond_hidden_ratio": 1.0,
            "cond_gating_ratio": 1.0,
            "t_patch_size": 1,
            "out_channels": self.in_channels,
        }
        for key, only in fixed.items():
            if getattr(self, key) != only:
                self.refuse(key, f"models of this family have {only}")
        if self.half_channel_vae and self.in_channels % 2:
            self.refuse("in_channels", "it must be even, as half_channel_vae doubles the latent")

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
class RuntimeConfig(ConfigSection):
    """Sampling defaults and file places (`runtime_config`).

    Published files lack `shortest_steps`, the fewest that a distilled model was taught, and
    `deflicker`, the jumps from latent to latent, of 255 grey levels, that are spread over the later
    one's pictures (`media/deflicker.py`).

    Raises:
        ConfigError: a number is out of range, or steps, window, stages, fps and width do not fit.
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
    shortest_steps: int | None = optional_key()
    deflicker: float | None = optional_key()

    def __post_init__(self) -> None:
        self.check_types()
        self.check_positive(
            "num_frames", "video_size_h", "video_size_w", "num_steps", "window_size", "fps",
            "chunk_width", "scale_factor", "temporal_downsample_factor",
        )  # fmt: skip
        if self.cfg_number not in (1, 3):
            self.refuse("cfg_number", "it must be 3 (guided) or 1 (distilled)")
        if not 0.0 < self.clean_t <= 1.0:
            self.refuse("clean_t", "it must be above 0 and at most 1")
        if self.seed < 0:
            self.refuse("seed", "it must be 0 or more")
        if self.shortest_steps is not None and not 0 < self.shortest_steps <= self.num_steps:
            self.refuse("shortest_steps", f"it must be from 1 to num_steps, {self.num_steps}")
        if self.deflicker is not None and not 0 < self.deflicker <= 255:
            self.refuse("deflicker", "it must be above 0 and at most 255; leave it out for none")
        self._check_guidance()
        self._check_visibility()
        self._check_pieces()

    def _check_guidance(self) -> None:
        count = len(self.cfg_t_range)
        if count == 0 or list(self.cfg_t_range) != sorted(self.cfg_t_range):
            self.refuse("cfg_t_range", "it must be a rising list of times")
        if self.cfg_t_range[0] > 0:
            self.refuse("cfg_t_range", "its first time must be 0, where every chunk begins")
        for key in ("prev_chunk_scales", "text_scales"):
            if len(getattr(self, key)) != count:
                self.refuse(key, f"it needs {count} entries, one for each of cfg_t_range")

    def _check_visibility(self) -> None:
        if any(width < 1 for width in self.noise2clean_kvrange):
            self.refuse("noise2clean_kvrange", "a chunk sees at least itself (1)")
        if self.clean_chunk_kvrange != -1 and self.clean_chunk_kvrange < 1:
            self.refuse(
                "clean_chunk_kvrange",
                "it must be 1 or more, or -1 (as the last noise2clean_kvrange entry)",
            )
        stages = len(self.noise2clean_kvrange) or 1
        if self.num_steps % self.window_size:
            self.refuse("num_steps", f"it must divide by window_size {self.window_size}")
        if self.num_steps % stages:
            self.refuse("num_steps", f"it must divide by the {stages} noise2clean_kvrange stages")

    def _check_pieces(self) -> None:
        """The decoder makes one picture, not four, of a piece that is a single latent frame."""
        piece = self.fps // 2 // self.temporal_downsample_factor
        if piece < 2 or self.chunk_width % piece == 1:
            what = f"of the {self.frames_per_chunk} pictures of a chunk some would be lost"
            self.refuse("fps", f"the decoder takes half a second at a time, so {what}; use 24")

    @property
    def frames_per_chunk(self) -> int:
        """Pictures in one chunk."""
        return self.chunk_width * self.temporal_downsample_factor


@dataclass(frozen=True)
class EngineConfig(ConfigSection):
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
        self.check_types()
        self.check_positive(
            "distributed_timeout_minutes", "pp_size", "cp_size", "ulysses_overlap_degree"
        )
        self.check_choice("shortcut_mode", SHORTCUT_MODES)


@dataclass(frozen=True)
class MagiConfig:
    """A whole configuration.

    Raises:
        ConfigError: cfg_number does not fit the weights (distilled and fp8 weights have guidance
            folded in and take 1, all others take 3).
    """

    model: ModelConfig
    runtime: RuntimeConfig
    engine: EngineConfig

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
        for key in (key for key in data if key not in sections):
            raise ConfigError(f"unknown section {key!r}; remove it", field=str(key))
        for key in (key for key in sections if key not in data):
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
