"""The sizes of the auto-encoder and its ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from magi_rt.config import MOST_LAYERS
from magi_rt.config_section import ConfigSection
from magi_rt.errors import ConfigError

Grid = tuple[int, int, int]

DROP_RATES = ("drop_rate", "attn_drop_rate", "drop_path_rate")
OPTIONAL_KEYS: dict[str, Any] = {
    "with_cls_token": True,
    "norm_code": False,
    "use_rope": False,
    "use_final_proj": False,
}
ONLY: dict[str, Any] = {
    "double_z": True,
    "with_cls_token": True,
    "norm_code": False,
    "ln_in_attn": True,
    "use_rope": False,
    "use_final_proj": False,
    "model_type": "vit",
}


@dataclass(frozen=True)
class VAEConfig(ConfigSection):
    """Sizes of the auto-encoder, with the published key names.

    Attributes:
        video_size: pictures side in pixels for which the position table is stored.
        video_length: frames for which the position table is stored.
        conv_last_layer: True ends the decoder in a 3x3x3 convolution over embed_dim / (pixels
            per patch) channels, as published; False in one linear layer from token to pixels.
    """

    video_size: int
    video_length: int
    patch_size: int
    patch_length: int
    in_chans: int
    z_chans: int
    double_z: bool
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    qkv_bias: bool
    ln_in_attn: bool
    conv_last_layer: bool
    with_cls_token: bool = True
    norm_code: bool = False
    use_rope: bool = False
    use_final_proj: bool = False
    model_type: str = "vit"

    def __post_init__(self) -> None:
        self.check_types()
        sizes = ("video_size", "video_length", "patch_size", "patch_length", "in_chans", "z_chans")
        self.check_positive(*sizes, "embed_dim", "depth", "num_heads", "mlp_ratio")
        self.check_most("depth", MOST_LAYERS)
        for key, value in ONLY.items():
            if getattr(self, key) != value:
                self.refuse(key, f"only {json.dumps(value)} is supported")
        for key, step in (
            ("video_size", "patch_size"),
            ("video_length", "patch_length"),
            ("embed_dim", "num_heads"),
        ):
            if getattr(self, key) % getattr(self, step):
                self.refuse(key, f"it must be a multiple of {step}, {getattr(self, step)}")
        if self.conv_last_layer and self.embed_dim % self.patch_volume:
            self.refuse("embed_dim", f"it must be a multiple of a patch's {self.patch_volume}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, section: str | None = None) -> Self:
        """Builds the sizes from a ``ddconfig`` object; flags the model never varies may be absent,
        and rates of dropout may stand there as long as they are 0.

        Raises:
            ConfigError: a key is missing, unknown, wrongly typed or has an unsupported value.
        """
        given: Any = data
        if isinstance(data, Mapping):
            said = {key: value for key, value in data.items() if not _idle(key, value)}
            given = {**OPTIONAL_KEYS, "model_type": "vit", **said}
        return super().from_dict(given, section=section or "ddconfig")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Reads the ``config.json`` of an auto-encoder folder.

        Raises:
            ConfigError: the file cannot be read, is no JSON object, or its values are wrong.
        """
        try:
            card = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
        try:
            return cls.from_card(card)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", field=error.field) from error

    @classmethod
    def from_card(cls, card: object) -> Self:
        """Builds the sizes from the content of a ``config.json``.

        Raises:
            ConfigError: a key is missing, unknown or wrong; keys with a leading _ are notes.
        """
        if not isinstance(card, Mapping) or not isinstance(card.get("ddconfig"), Mapping):
            raise ConfigError("an auto-encoder's config.json needs an object 'ddconfig'")
        extra = [k for k in card if k not in ("ddconfig", "model_type") and not k.startswith("_")]
        if extra:
            raise ConfigError(f"config.json has unknown keys: {', '.join(extra)}", field=extra[0])
        return cls.from_dict({**card["ddconfig"], "model_type": card.get("model_type", "vit")})

    def to_card(self) -> dict[str, Any]:
        """The content of a ``config.json`` that from_card reads back."""
        sizes = self.to_dict()
        model_type = sizes.pop("model_type")
        return {"_class_name": "ViTVAE", "ddconfig": sizes, "model_type": model_type}

    @property
    def grid(self) -> Grid:
        """Latent grid (t, h, w) of the stored position table."""
        side = self.video_size // self.patch_size
        return self.video_length // self.patch_length, side, side

    @property
    def patch_volume(self) -> int:
        """Pixels of one token."""
        return self.patch_length * self.patch_size**2


def _idle(key: str, value: object) -> bool:
    """True for a setting that changes nothing here at the value it has."""
    return (key in DROP_RATES and value == 0) or (key == "qk_scale" and value is None)
