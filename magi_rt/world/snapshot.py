"""A moment of a world as one object or one file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magi_rt.errors import MagiError, MediaError, SnapshotError
from magi_rt.whole_files import cannot_write, removed_on_error
from magi_rt.world.cards import checked_card
from magi_rt.world.deadline import StepChange, changes_from
from magi_rt.world.identity import ModelIdentity
from magi_rt.world.options import COUNT_LIMIT, checked_whole
from magi_rt.world.orders import PromptEvent, events_from
from magi_rt.world.prompt_text import checked_prompt
from magi_rt.world.start import Start

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "magi_rt snapshot"
VERSION = 1
START, PICTURE = "start.latents", "picture"


@dataclass(frozen=True)
class SamplerShape:
    """The settings that a stream cannot change on its way.

    Attributes:
        steps: denoising steps per chunk.
        window: chunks in flight.
        depth: the depth of memory that was asked for, ``None`` for the model's own.
        height, width: of the pictures, in pixels.
    """

    steps: int
    window: int
    depth: int | None
    height: int
    width: int

    def __str__(self) -> str:
        return (
            f"steps {self.steps}, window {self.window}, depth {self.depth or 'own'}, "
            f"size {self.height}x{self.width}"
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a world is at one moment. It does not change when the world moves on.

    It lies in main memory and takes none of a card; one of a large model is some gigabytes, so keep
    many of them as files.

    Attributes:
        identity: the model that made it.
        shape: sampler settings and picture size.
        chunks, frames: how many the world had handed out.
        prompt: the prompt that the next chunk would carry.
        events: the prompts that led here.
        start: what the world began with.
        state: the stream's numbers as JSON values.
        tensors: the stream's latents [channels, frames, H, W] float32, and the keys and values that
            the model looks back at, [layers, chunks, groups, tokens, d] in its working format.
        changes: the step counts that led here, in a world that keeps a deadline.
        picture: [H, W, 3] uint8, what was shown last, where the model's pictures are deflickered.
    """

    identity: ModelIdentity
    shape: SamplerShape
    chunks: int
    frames: int
    prompt: str
    events: tuple[PromptEvent, ...]
    start: Start
    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    changes: tuple[StepChange, ...] = ()
    picture: Tensor | None = None

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file with a JSON card in its header, whole or not at all.

        Raises:
            SnapshotError: the file cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = Path(path)
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        if self.start.latents is not None:
            tensors[START] = self.start.latents.contiguous()
        if self.picture is not None:
            tensors[PICTURE] = self.picture.contiguous()
        try:
            with removed_on_error(path) as temporary:
                temporary.touch()
                rights = temporary.stat().st_mode
                save_file(tensors, temporary, metadata={"card": json.dumps(self._card())})
                temporary.chmod(rights)  # those of any new file; safetensors lets its owner alone
                os.replace(temporary, path)
        except MediaError as error:
            raise SnapshotError(error.message, field="path") from error
        except (OSError, SafetensorError) as error:
            raise SnapshotError(cannot_write(path, error).message, field="path") from error

    def _card(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "identity": asdict(self.identity),
            "shape": asdict(self.shape),
            "chunks": self.chunks,
            "frames": self.frames,
            "prompt": self.prompt,
            "events": [asdict(event) for event in self.events],
            "start": self.start.card(),
            "state": dict(self.state),
            **({"changes": [asdict(each) for each in self.changes]} if self.changes else {}),
        }

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Reads a saved snapshot; which model it belongs to is checked when it is restored.

        Raises:
            SnapshotError: the file is absent, no snapshot, damaged, or of a later format version.
        """
        path = Path(path)
        card, tensors = _read(path)
        card = checked_card(card, path, FORMAT, VERSION, "snapshot")
        try:
            latents = tensors.pop(START) if card["start"]["kind"] != "nothing" else None
            picture = tensors.pop(PICTURE, None)
            return cls(
                identity=ModelIdentity(**card["identity"]),
                shape=SamplerShape(**card["shape"]),
                chunks=checked_whole("chunks", card["chunks"], 0, COUNT_LIMIT),
                frames=checked_whole("frames", card["frames"], 0, COUNT_LIMIT),
                prompt=checked_prompt(card["prompt"]),
                events=events_from(card["events"]),
                start=Start.from_card(card["start"], latents),
                state=dict(card["state"]),
                tensors=tensors,
                changes=changes_from(card.get("changes", ())),
                picture=picture,
            )
        except (KeyError, TypeError, ValueError, AttributeError, MagiError) as error:
            raise SnapshotError(
                f"{path} is a damaged snapshot ({type(error).__name__}: {error}); save it again",
                field="path",
            ) from error


def _read(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """The card and the tensors of a file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            return card, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise SnapshotError(
            f"{path} cannot be read as a snapshot ({error}); give a file that was written by "
            "snapshot.save",
            field="path",
        ) from error
