"""The log of a run: all that is needed to generate the same frames again.

Noise follows from the seed and the chunk number, so a run is its options, its first picture and
its prompts with the chunk they came before (and, in a world that keeps a deadline, the step counts
that its clock led to). Rewinds, restores and forks leave no trace of their
own: the log tells the timeline that survived.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magi_rt.errors import MagiError, SnapshotError
from magi_rt.whole_files import write_whole
from magi_rt.world.cards import read_card
from magi_rt.world.deadline import StepChange, changes_from
from magi_rt.world.identity import ModelIdentity
from magi_rt.world.options import COUNT_LIMIT, WorldOptions, checked_whole
from magi_rt.world.orders import PromptEvent, events_from
from magi_rt.world.start import Start

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "magi_rt run"
VERSION = 1
EMBED_BYTES = 1_000_000
"""Start latents up to this size stand in the log itself, larger ones in a file beside it."""


@dataclass(frozen=True)
class RunLog:
    """One run as it can be repeated.

    Attributes:
        model: the name or folder the world was opened with.
        identity: the exact weights and configuration.
        options: the options it was opened with, model defaults filled in.
        engine: name, device, dtype and threads of the executor; same frames bit for bit are
            promised only where these are the same.
        start: first picture or video, as latents.
        events: prompts, in order.
        chunks: chunks generated so far.
        changes: the step counts that were taken, in a world that keeps a deadline.
    """

    model: str
    identity: ModelIdentity
    options: WorldOptions
    engine: Mapping[str, Any]
    start: Start
    events: tuple[PromptEvent, ...]
    chunks: int
    changes: tuple[StepChange, ...] = ()

    def save(self, path: str | Path) -> None:
        """Writes the log as JSON, whole or not at all.

        Start latents of more than 1 MB go into a file beside it (:func:`start_file`); the log then
        holds their checksum.

        Raises:
            MediaError: the file cannot be written.
        """
        path = Path(path)
        card = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "identity": asdict(self.identity),
            "options": self.options.to_dict(),
            "engine": dict(self.engine),
            "start": _write_start(self.start, path),
            "events": [asdict(event) for event in self.events],
            "chunks": self.chunks,
            **({"changes": [asdict(each) for each in self.changes]} if self.changes else {}),
        }
        text = json.dumps(card, indent=1, ensure_ascii=False)
        write_whole(path, lambda stream: stream.write(text.encode("utf-8", "surrogatepass")))

    @classmethod
    def load(cls, path: str | Path) -> RunLog:
        """Reads a saved log.

        Raises:
            SnapshotError: the file is absent, no log, damaged, or of a later format version.
        """
        path = Path(path)
        card = read_card(path, FORMAT, VERSION, "log")
        try:
            return cls(
                model=str(card["model"]),
                identity=ModelIdentity(**card["identity"]),
                options=WorldOptions.from_dict(card["options"]),
                engine=dict(card["engine"]),
                start=_read_start(card["start"], path),
                events=events_from(card["events"]),
                chunks=checked_whole("chunks", card["chunks"], 0, COUNT_LIMIT),
                changes=changes_from(card.get("changes", ())),
            )
        except SnapshotError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, MagiError) as error:
            raise SnapshotError(
                f"{path} is a damaged log ({type(error).__name__}: {error}); save it again",
                field="path",
            ) from error


def start_file(path: Path) -> Path:
    """Where a log's start latents lie that are too large for it: ``run.json.start.safetensors``."""
    return path.with_name(f"{path.name}.start.safetensors")


def _write_start(start: Start, path: Path) -> dict[str, Any]:
    card = start.card()
    if start.latents is None:
        return card
    from safetensors.torch import save

    data = save({"latents": start.latents.contiguous()})
    card["sha256"] = hashlib.sha256(data).hexdigest()
    if len(data) <= EMBED_BYTES:
        card["latents"] = base64.b64encode(data).decode("ascii")
    else:
        beside = start_file(path)
        write_whole(beside, lambda stream: stream.write(data))
        card["file"] = beside.name
    return card


def _read_start(card: Mapping[str, Any], path: Path) -> Start:
    latents = _read_latents(card, path) if card["kind"] != "nothing" else None
    return Start.from_card(card, latents)


def _read_latents(card: Mapping[str, Any], path: Path) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load

    beside = path.with_name(Path(str(card.get("file", ""))).name or path.name)
    try:
        data = base64.b64decode(card["latents"]) if "latents" in card else beside.read_bytes()
    except OSError as error:
        raise SnapshotError(
            f"{path} needs {beside.name} beside it: {error.strerror}", field="start"
        ) from error
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        name = path if "latents" in card else beside
        raise SnapshotError(
            f"the first picture in {name} is not the one of the run (other checksum); "
            "copy the log and the file beside it again",
            field="start",
        )
    try:
        return load(data)["latents"]
    except SafetensorError as error:
        raise SnapshotError(f"{path} is a damaged log ({error}); save it again") from error
