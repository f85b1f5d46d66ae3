"""Plans on disk, filed by their identity: built once, under a lock, there whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from magi_rt.errors import BackendError, OptionError
from magi_rt.export.manifest import MANIFEST, Manifest, PlanIdentity, mark_files

CACHE_VARIABLE = "MAGI_RT_CACHE"
LOCK_POLL_S = 0.2
DAY_S = 86_400.0
BUILD_LIMIT_S = 6 * 3600.0  # a waiter gives up after this; no build takes so long

_PLACE = re.compile(r".+-.+-[0-9a-f]{16}")
"""Names of plans' folders; ``manifest.json`` is a name that others use too."""

logger = logging.getLogger(__name__)

BuildInto = Callable[[Path], None]
"""Writes a plan's files into an empty folder."""


@dataclass(frozen=True)
class Plan:
    """A plan that was checked and can be loaded.

    fresh: it was built by this call, not found.
    """

    folder: Path
    manifest: Manifest
    fresh: bool = False

    def file(self, suffix: str) -> Path:
        """The plan's file with this suffix.

        Raises:
            BackendError: the plan has none.
        """
        for name in self.manifest.files:
            if name.endswith(suffix):
                return self.folder / name
        raise BackendError(f"the plan {self.folder} has no {suffix} file", field="plan")


def default_cache() -> Path:
    """``$MAGI_RT_CACHE``, else ``magi_rt`` in the user's cache folder; in the folder for temporary
    files where the user has no home."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "magi_rt"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "magi_rt"


class PlanCache:
    """Plans under ``folder``; the folder is made when the first plan is written."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_cache() / "plans"

    def place(self, identity: PlanIdentity) -> Path:
        """The folder of a plan, built or not."""
        return self.folder / f"{identity.graph}-{identity.target}-{identity.digits}"

    def find(self, identity: PlanIdentity) -> Plan | None:
        """The plan when it is there, ``None`` when not.

        Raises:
            BackendError: it is there but damaged, or not what its place says.
        """
        folder = self.place(identity)
        return open_plan(folder, identity) if folder.is_dir() else None

    def get(
        self,
        identity: PlanIdentity,
        build: BuildInto,
        waiting: Callable[[], None] = lambda: None,
    ) -> Plan:
        """The plan of this identity, built when it is not there.

        A plan that is there is only read, so the folder may be read-only then. Of several
        processes that ask at once, one builds and the others wait for it. A damaged plan is built
        again in its place.

        Args:
            build: called with an empty folder; what it leaves there becomes the plan.
            waiting: called once when another process is building.

        Raises:
            OSError: it is not there, and the folder cannot be written.
        """
        import filelock

        place = self.place(identity)
        found = _whole(place, identity)
        if found is not None:
            return found
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(place.with_name(f".{place.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            waiting()
            lock.acquire(timeout=BUILD_LIMIT_S, poll_interval=LOCK_POLL_S)
        try:
            return _whole(place, identity, to_build=True) or _build(place, identity, build)
        finally:
            lock.release()

    def prune(self, days: float) -> list[tuple[Path, int]]:
        """Removes plans that nobody has opened for so many days, and what killed builds left;
        returns them and their bytes.

        Plans that another process is building, or that cannot be removed, stay, and so does all
        that is not named as plans are.

        Raises:
            OptionError: days is below 0.
        """
        import filelock

        if not days >= 0:
            raise OptionError(f"days is {days}; it must be 0 or more", field="days")
        removed = []
        for left in sorted(self.folder.glob(".*.part")):
            if not _PLACE.fullmatch(left.stem[1:]):
                continue
            lock = filelock.FileLock(left.with_suffix(".lock"))
            with suppress(OSError, filelock.Timeout), lock.acquire(timeout=0):
                size = _bytes_in(left)
                shutil.rmtree(left)
                removed.append((left, size))
        for manifest in sorted(self.folder.glob(f"[!.]*/{MANIFEST}")):
            place = manifest.parent
            if not _PLACE.fullmatch(place.name):
                continue
            lock = filelock.FileLock(place.with_name(f".{place.name}.lock"))
            with suppress(OSError, filelock.Timeout), lock.acquire(timeout=0):
                if time.time() - manifest.stat().st_mtime < days * DAY_S:
                    continue
                size, part = _bytes_in(place), _part(place)
                os.replace(place, part)  # a folder with an open file refuses on Windows: it stays
                removed.append((place, size))
                shutil.rmtree(part)
        return removed


def unwritable(folder: Path, error: OSError) -> BackendError:
    """The error of a command whose purpose is to keep plans."""
    return BackendError(
        f"plans cannot be kept in {folder}: {error}; name another folder by --plans, or by "
        f"{CACHE_VARIABLE}",
        field="plans",
    )


def open_plan(folder: Path, wanted: PlanIdentity | None = None) -> Plan:
    """A plan whose manifest and files are right.

    Raises:
        BackendError: it is damaged, or was built for something else than wanted.
    """
    manifest = Manifest.read(folder)
    if wanted is not None:
        manifest.check(wanted, folder)
    with suppress(OSError):  # of a folder that may only be read
        os.utime(folder / MANIFEST)  # when it was used last, for prune; before reading gigabytes
    manifest.check_files(folder)
    return Plan(folder, manifest)


def _whole(place: Path, identity: PlanIdentity, to_build: bool = False) -> Plan | None:
    """The plan when it is there, undamaged and may be read; told where it is to be built again."""
    try:
        return open_plan(place, identity) if place.is_dir() else None
    except (BackendError, OSError) as error:
        if to_build:
            logger.warning("%s; it is built again", str(error).rsplit("; ", 1)[0])
        return None


def _build(place: Path, identity: PlanIdentity, build: BuildInto) -> Plan:
    part = _part(place)
    shutil.rmtree(part, ignore_errors=True)  # what a killed build left; the lock is ours
    part.mkdir()
    begun = time.perf_counter()
    try:
        build(part)
        files = mark_files(part)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(identity, files, now, round(time.perf_counter() - begun, 3))
        manifest.write(part)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(part, place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Plan(place, manifest, fresh=True)


def _part(place: Path) -> Path:
    """Where a plan lies before it is whole, and when it is no plan any more."""
    return place.with_name(f".{place.name}.part")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
