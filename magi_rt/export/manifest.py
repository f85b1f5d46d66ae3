"""What a plan was made from: written beside it, and compared before it is used.

A plan is a folder: the runtime's own files and ``manifest.json``. Whatever differs between what the
manifest says and what is wanted is an error that names both values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import magi_rt
from magi_rt.config import MagiConfig
from magi_rt.errors import BackendError
from magi_rt.models.vae_config import VAEConfig

FORMAT = 1
GRAPHS = 4
"""Grows whenever the code changes what graphs compute; plans of other graphs are not used."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    shape: sizes; -1 where a size varies.
    smallest, usual, largest: the profile of an input whose sizes vary, else empty.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    smallest: tuple[int, ...] = ()
    usual: tuple[int, ...] = ()
    largest: tuple[int, ...] = ()

    @classmethod
    def spanning(
        cls,
        name: str,
        dtype: str,
        smallest: tuple[int, ...],
        usual: tuple[int, ...],
        largest: tuple[int, ...],
    ) -> TensorSpec:
        """Sizes that vary where the smallest and the largest differ."""
        if smallest == largest:
            return cls(name, dtype, largest)
        pairs = zip(smallest, largest, strict=True)
        shape = tuple(low if low == high else -1 for low, high in pairs)
        return cls(name, dtype, shape, smallest, usual, largest)

    @property
    def dynamic(self) -> bool:
        return -1 in self.shape

    def sizes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The smallest, usual and largest sizes; all the same where none varies."""
        return (self.smallest, self.usual, self.largest) if self.dynamic else (self.shape,) * 3

    def __str__(self) -> str:
        sizes = "x".join("?" if size < 0 else str(size) for size in self.shape)
        span = f" from {self.smallest} to {self.largest}" if self.dynamic else ""
        return f"{self.name} {self.dtype} [{sizes}]{span}"


@dataclass(frozen=True)
class PlanIdentity:
    """Everything that decides whether two plans are the same.

    graph: what is computed, "decoder" or "denoiser-1x4" for one.
    weights: digits that tell these weights from others (``backends/fingerprint.py``).
    config: digits of the model's configuration (:func:`config_digits`).
    precision, target: names of ``targets.py``.
    capability: CUDA compute capability, "8.9" for one, "" for processors.
    runtime, runtime_version: what built it; plans do not move between versions.
    flags: the builder's settings, in words.
    maker: the version of magi_rt that wrote the graph, and of its graphs (:func:`maker`).
    """

    graph: str
    weights: str
    config: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: str
    target: str
    capability: str
    runtime: str
    runtime_version: str
    flags: tuple[str, ...]
    opset: int
    maker: str

    @property
    def digits(self) -> str:
        """16 hexadecimal digits; the plan cache files plans under them."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: PlanIdentity) -> dict[str, tuple[str, str]]:
        """Name of every field that differs -> this value, the other's value."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return {
            name: (_spell(mine), _spell(theirs))
            for name, (mine, theirs) in pairs.items()
            if mine != theirs
        }


@dataclass(frozen=True)
class FileMark:
    """A file of a plan, as it was when written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The card beside a plan.

    built_at: UTC, ISO 8601.
    build_s: seconds that export and build took.
    """

    identity: PlanIdentity
    files: Mapping[str, FileMark]
    built_at: str
    build_s: float

    def check(self, wanted: PlanIdentity, place: Path) -> None:
        """Refuse a plan that is not what is wanted.

        Raises:
            BackendError: something differs; the message says both values of the first such thing.
        """
        found = self.identity.differences(wanted)
        if not found:
            return
        name, (has, needs) = next(iter(found.items()))
        others = f" (also: {', '.join(list(found)[1:])})" if len(found) > 1 else ""
        raise BackendError(
            f"the plan {place} was built for {name} {has} but this needs {needs}{others}; "
            "build it again with magi-rt compile",
            field=name,
        )

    def check_card(self, capability: tuple[int, int], card: str, place: Path) -> None:
        """Refuse a plan made for another kind of card.

        Raises:
            BackendError: the compute capabilities differ.
        """
        here = f"{capability[0]}.{capability[1]}"
        if self.identity.capability != here:
            raise BackendError(
                f"the plan {place} was built for {self.identity.target} (compute capability "
                f"{self.identity.capability or 'none'}) but {card} has {here}; "
                "build one for this card with magi-rt compile --target",
                field="target",
            )

    def check_files(self, folder: Path) -> None:
        """Refuse a plan whose files are not those that were written.

        Raises:
            BackendError: a file is missing, cut or changed.
        """
        for name, mark in self.files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else -1
            if size != mark.bytes:
                has = "is missing" if size < 0 else f"has {size} bytes"
                raise _damaged(path, f"{has}, its manifest says {mark.bytes}")
            digits = sha256_of(path)
            if digits != mark.sha256:
                raise _damaged(path, f"has sha256 {digits[:16]}, its manifest {mark.sha256[:16]}")

    def write(self, folder: Path) -> None:
        """Put it beside the plan's files."""
        card = {"format": FORMAT, **asdict(self)}
        text = json.dumps(card, indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a plan folder.

        Raises:
            BackendError: it is missing, unreadable, or of another format.
        """
        path = folder / MANIFEST
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            if card["format"] != FORMAT:
                raise BackendError(
                    f"{path} has format {card['format']!r} but this version reads {FORMAT}; "
                    "build the plan again with magi-rt compile",
                    field="format",
                )
            files = {name: FileMark(**mark) for name, mark in card["files"].items()}
            identity = _read_identity(card["identity"])
            return cls(identity, files, card["built_at"], card["build_s"])
        except OSError as error:
            raise _damaged(path, f"cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, f"is not a manifest ({error!r})") from error


def mark_files(folder: Path) -> dict[str, FileMark]:
    """Every file of a plan folder but the manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        str(path.relative_to(folder)): FileMark(path.stat().st_size, sha256_of(path))
        for path in paths
    }


def sha256_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def maker() -> str:
    """What writes graphs here."""
    return f"{magi_rt.__version__}, graphs {GRAPHS}"


def config_digits(config: MagiConfig, vae: VAEConfig | None = None) -> str:
    """16 hexadecimal digits of the sizes and switches that shape a model's graphs.

    Args:
        vae: the auto-encoder's, where the graph is of it: two can share all weights and differ.
    """
    card = {"model": config.model.to_dict(), "fp8": config.engine.fp8_quant}
    if vae is not None:
        card["vae"] = vae.to_dict()
    text = json.dumps(card, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_identity(card: dict[str, Any]) -> PlanIdentity:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
    for key in ("inputs", "outputs"):
        values[key] = tuple(_read_spec(spec) for spec in card[key])
    return PlanIdentity(**values)


def _read_spec(card: dict[str, Any]) -> TensorSpec:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
    return TensorSpec(**values)


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(map(str, value)) or "none"
    return repr(value)


def _damaged(path: Path, what: str) -> BackendError:
    return BackendError(
        f"{path} {what}; remove {path.parent} and build it again with magi-rt compile",
        field="plan",
    )
