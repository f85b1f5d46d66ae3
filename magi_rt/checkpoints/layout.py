"""A model's name or folder -> the files of its parts, in the published layout.

    my-model/
      config.json                      the configuration: any one *.json with "model_config"
      inference_weight[.fp8][.distill]/  the denoiser: an index with shards, or model.safetensors
      vae/                             config.json and diffusion_pytorch_model.safetensors
      t5/t5-v1_1-xxl/                  the T5 text encoder with its tokenizer
      special_tokens.npz               learned caption tokens (optional)
      actions.toml                     the action map: keys and suggestions (optional)

Paths written in the configuration are looked for inside the model folder only; to share a part
between models, link it into each folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from magi_rt.config import EngineConfig, MagiConfig
from magi_rt.errors import CheckpointError
from magi_rt.presets import PRESETS

CONFIG_NAME = "config.json"
BUILT_IN = {"nano": CONFIG_NAME, "nano-base": "base.json"}
"""Worlds whose weights are part of this package -> their configuration in its folder ``nano``.

nano is distilled; nano-base, its guided teacher, is what training goes on from.
"""
BUILT_IN_FOLDER = Path(__file__).resolve().parent.parent / "nano"

T5_FOLDER = "t5-v1_1-xxl"
VAE_WEIGHTS = "diffusion_pytorch_model.safetensors"
SPECIAL_TOKENS = "special_tokens.npz"
ACTIONS = "actions.toml"
MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True)
class ModelFolder:
    """Where the parts of one model lie; a part that is not there is None.

    Attributes:
        name: the built-in name, or the folder's own name.
        folder: the model folder.
        config_file: the configuration that was read.
        config: its content, checked.
        denoiser: folder of the denoiser's weights.
        vae: folder of the auto-encoder.
        text_encoder: folder of the T5 encoder and its tokenizer.
        special_tokens: the file of learned caption tokens.
    """

    name: str
    folder: Path
    config_file: Path
    config: MagiConfig
    denoiser: Path | None
    vae: Path | None
    text_encoder: Path | None
    special_tokens: Path | None


def resolve(model: str | Path) -> ModelFolder:
    """Finds a model that can be opened: its denoiser and auto-encoder must be there.

    Args:
        model: a built-in name, a model folder, or the configuration file inside one; a Path is
            never a built-in name.

    Raises:
        CheckpointError: there is no such model, its weights are not there, or a needed part is
            missing; the message names the place where it was expected.
        ConfigError: the configuration is wrong.
    """
    found = locate(model)
    if found.denoiser is None:
        raise CheckpointError(missing_denoiser(found), field="denoiser")
    if found.vae is None:
        raise CheckpointError(missing_vae(found), field="vae")
    return found


def locate(model: str | Path) -> ModelFolder:
    """As `resolve`, but parts that are missing are None instead of an error."""
    model = spelled(model)
    folder, config_file = _folder_and_config(model)
    config = MagiConfig.from_file(config_file)
    runtime = config.runtime
    tokens = folder / SPECIAL_TOKENS
    return ModelFolder(
        name=model if model in BUILT_IN else folder.resolve().name,
        folder=folder,
        config_file=config_file,
        config=config,
        denoiser=_first(
            place / denoiser_folder_name(config.engine) for place in _places(folder, runtime.load)
        ),
        vae=_first(_places(folder, runtime.vae_pretrained, "vae"), holding="config.json"),
        text_encoder=_first(_text_places(folder, runtime.t5_pretrained), holding="config.json"),
        special_tokens=tokens if tokens.is_file() else None,
    )


def spelled(model: str | Path) -> str:
    """A model as text: a name or path as it is, but a Path never as the name of a built-in one.

    Raises:
        CheckpointError: it is neither.
    """
    if isinstance(model, str):
        return model
    if not isinstance(model, Path):
        raise CheckpointError(
            f"model is {model!r}; give the name of a built-in one, or a folder", field="model"
        )
    return os.path.join(os.curdir, os.path.expanduser(model))


def _folder_and_config(model: str) -> tuple[Path, Path]:
    """The model folder and configuration file that a name or path means."""
    if model in PRESETS and not Path(model).is_dir():
        raise CheckpointError(_preset_without_weights(model), field="model")
    try:
        if model in BUILT_IN:
            return BUILT_IN_FOLDER, built_in_config(model)
        folder = Path(model).expanduser()
        if folder.is_file() and folder.suffix == ".json":
            return folder.parent, folder
        if folder.is_dir():
            return folder, find_config(folder)
    except (OSError, RuntimeError) as error:  # unreadable, too long, or an unknown ~user
        raise CheckpointError(f"cannot look at {model!r}: {error}", field="model") from error
    known = ", ".join((*BUILT_IN, *PRESETS))
    raise CheckpointError(
        f"there is no model folder {model!r}; known names are {known}", field="model"
    )


def denoiser_folder_name(engine: EngineConfig) -> str:
    """The published folder name of a variant's weights."""
    return (
        "inference_weight"
        + (".fp8" if engine.fp8_quant else "")
        + (".distill" if engine.distill else "")
    )


def built_in_config(name: str) -> Path:
    """The configuration of a world that is part of this package.

    Raises:
        CheckpointError: this copy of the package was built without its weights.
    """
    config = BUILT_IN_FOLDER / BUILT_IN[name]
    if not config.is_file():
        raise CheckpointError(
            f"the built-in world {name!r} has no weights in this copy of magi_rt ({config}); "
            "install the released package, or give the folder of another model",
            field="model",
        )
    return config


def find_config(folder: Path) -> Path:
    """The configuration of a model folder: config.json, else the only JSON with a model_config.

    Raises:
        CheckpointError: there is none, or several and none is config.json.
    """
    preferred = folder / CONFIG_NAME
    if _has_model_config(preferred):
        return preferred
    found = [path for path in sorted(folder.glob("*.json")) if _has_model_config(path)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(
            f"{folder} holds several configurations ({names}); give the path of one of them",
            field="config",
        )
    raise CheckpointError(
        f"{folder} holds no configuration: no JSON file there has the key model_config",
        field="config",
    )


def missing_denoiser(found: ModelFolder) -> str:
    """The sentence for a model folder without the weights of its variant."""
    wanted = denoiser_folder_name(found.config.engine)
    others = sorted(path.name for path in found.folder.glob("inference_weight*"))
    hint = f"; there is {', '.join(others)}, which is another variant" if others else ""
    return f"{found.folder} has no denoiser: no folder {wanted}{hint}"


def missing_vae(found: ModelFolder) -> str:
    """The sentence for a model folder without its auto-encoder."""
    return (
        f"{found.folder} has no auto-encoder: put its config.json and {VAE_WEIGHTS} into "
        f"{found.folder / 'vae'}"
    )


def missing_text_encoder(found: ModelFolder) -> str:
    """The sentence for a model folder without its text encoder."""
    return (
        f"{found.folder} has no T5 text encoder, so prompts cannot be read: put it into "
        f"{found.folder / 't5' / T5_FOLDER}"
    )


def _preset_without_weights(name: str) -> str:
    variant = denoiser_folder_name(PRESETS[name].engine)
    return (
        f"{name!r} is a published model whose weights are not part of this package: download "
        f"them into one folder (config.json, {variant}/, vae/, t5/{T5_FOLDER}/, and optionally "
        f"{SPECIAL_TOKENS}) and open that folder"
    )


def _has_model_config(path: Path) -> bool:
    """True for a JSON file with the key; a broken config.json counts, so that it gets named."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
            return False
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return "model_config" in text
    return isinstance(data, dict) and "model_config" in data


def _places(folder: Path, written: str | None, *standard: str) -> Iterator[Path]:
    """Where a path of the configuration may mean, all inside the model folder.

    The written path, then ever shorter endings of it, then the standard names.
    """
    parts = PurePosixPath((written or "").replace("\\", "/")).parts
    inner = [part for part in parts if part not in ("/", "..", ".") and not part.endswith(":")]
    for start in range(len(inner)):
        yield folder.joinpath(*inner[start:])
    for name in standard or (".",):
        yield folder / name


def _text_places(folder: Path, written: str | None) -> Iterator[Path]:
    for place in _places(folder, written, "t5", "."):
        yield place / T5_FOLDER
        if place.name == T5_FOLDER:
            yield place


def _first(places: Iterator[Path], holding: str | None = None) -> Path | None:
    """The first existing folder, if asked so only one that holds a file of that name."""
    for place in places:
        if place.is_dir() and (holding is None or (place / holding).is_file()):
            return place
    return None
