"""The text encoder: T5 v1.1, words -> rows of numbers (Raffel et al. 2020; MAGI-1 paper 2.3)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magi_rt.errors import CheckpointError
from magi_rt.models.caption_cleaning import clean_prompt

TOKENIZER_FILES = ("tokenizer.json", "spiece.model")
_BLOCK = re.compile(r"encoder\.block\.\d+\.")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")


class T5TextEncoder:
    """A T5 encoder with its tokenizer, in float32.

    Args:
        model: a transformers T5EncoderModel.
        tokenizer: its tokenizer; it appends the end-of-text token.
        max_length: tokens after which a prompt is cut, that last token included.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int) -> None:
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        max_length: int,
        channels: int,
        device: torch.device | str = "cpu",
    ) -> T5TextEncoder:
        """Reads a T5 folder in the layout of transformers; nothing is downloaded.

        Args:
            max_length: most tokens of a prompt, 800 for the published models.
            channels: the width the denoiser expects, 4096 for the published models.

        Raises:
            CheckpointError: a file is absent or damaged, weights are missing or only pickled, or
                the width is another one.
        """
        folder = Path(folder)
        check_folder(folder, channels)
        with quiet_transformers():
            model, tokenizer = _read_model(folder), _read_tokenizer(folder)
        model = model.float().eval().requires_grad_(False).to(device)
        clean_prompt("")  # loads what it needs now, not while the first prompt waits
        return cls(model, tokenizer, max_length)

    @torch.inference_mode()
    def encode(self, text: str) -> Tensor:
        """Last hidden states of the cleaned text's own tokens and the end-of-text token.

        Returns:
            [tokens, channels] float32; no rows when cleaning leaves nothing of the text.
        """
        cleaned = clean_prompt(text)
        device = self.model.device
        if not cleaned:
            return torch.zeros(0, self.model.config.d_model, device=device)
        ids = self.tokenizer(cleaned, truncation=True, max_length=self.max_length)["input_ids"]
        rows: Tensor = self.model(input_ids=torch.tensor([ids], device=device)).last_hidden_state
        return rows[0].float()


def check_folder(folder: Path, channels: int) -> None:
    """Refuses, with a way out, what can be known of a T5 folder without reading weights.

    Raises:
        CheckpointError: as in :meth:`T5TextEncoder.from_folder`.
    """
    path, config = folder / "config.json", _read_config(folder, "model_type", "d_model")
    kind, width, rate = config["model_type"], config["d_model"], config.get("dropout_rate", 0)
    if kind != "t5":
        raise CheckpointError(
            f"{path} describes a {kind!r} model; the text encoder must be a T5", field="model_type"
        )
    if width != channels:
        raise CheckpointError(
            f"the text encoder in {folder} gives rows of width {width}, but the denoiser expects "
            f"{channels}; use the T5 that belongs to the model",
            field="d_model",
        )
    if not (isinstance(rate, int | float) and 0 <= rate <= 1):
        raise CheckpointError(
            f"{path} has a dropout_rate of {rate!r}; it must be from 0 to 1", field="dropout_rate"
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer; copy {' or '.join(TOKENIZER_FILES)} into it",
            field="tokenizer",
        )
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        raise CheckpointError(
            f"{folder} has no {WEIGHT_FILES[0]}; pickled weights (.bin) are not read, as they can "
            "run programs: convert them with transformers' save_pretrained",
            field="model.safetensors",
        )


def check_layers(folder: Path, tensors: Iterable[str]) -> None:
    """Refuses weights of more or fewer layers than the configuration beside them says.

    Args:
        tensors: the names of all that is stored.

    Raises:
        CheckpointError: the two differ, or there is no readable configuration.
    """
    wanted = _read_config(folder, "num_layers")["num_layers"]
    found = {int(name.split(".")[2]) for name in tensors if _BLOCK.match(name)}
    if not found or (len(found), max(found) + 1) != (wanted, wanted):
        raise CheckpointError(
            f"the text encoder in {folder} has weights of {len(found)} layers and a configuration "
            f"of {wanted!r}; copy the whole folder again",
            field="num_layers",
        )


def _read_config(folder: Path, *keys: str) -> dict[str, Any]:
    """The configuration of a T5 folder, which has these keys; CheckpointError where it has not."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for key in keys:
            config[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a readable T5 configuration ({error!r}); copy the whole "
            f"{folder.name} folder again",
            field="config.json",
        ) from error
    return config


def _read_model(folder: Path) -> Any:
    import transformers

    encoder: Any = transformers.T5EncoderModel  # its annotations forget the notes
    try:
        model, notes = encoder.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises whatever its libraries raise
        raise CheckpointError(
            f"the text encoder in {folder} cannot be read: {error}", field="text_encoder"
        ) from error
    missing = sorted(notes["missing_keys"])
    if missing:
        raise CheckpointError(
            f"the text encoder in {folder} lacks {len(missing)} tensors, {missing[0]} first; "
            "copy its weight files again",
            field=missing[0],
        )
    check_layers(folder, [*model.state_dict(), *notes["unexpected_keys"]])
    return model


def _read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # as above
        raise CheckpointError(
            f"the tokenizer in {folder} cannot be read: {error}", field="tokenizer"
        ) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and log lines of transformers inside; its settings come back after."""
    import transformers.utils

    logging: Any = transformers.utils.logging  # without annotations
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
