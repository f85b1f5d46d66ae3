"""Every case of a folder of goldens through one executor: what was compared, and how far off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from magi_rt.errors import CheckpointError, MagiError
from magi_rt.verify.golden_model import Setting
from magi_rt.verify.goldens import Check, GoldenCase
from magi_rt.verify.kinds import is_weights, kind_of, missing_of


@dataclass(frozen=True)
class CaseResult:
    """One case.

    kind: how names of its kind begin, "" where it is unknown.
    checks: what was compared before the case ended.
    problem: a sentence, where the case could not be computed.
    """

    case: str
    kind: str
    checks: tuple[Check, ...] = ()
    problem: str = ""
    seconds: float = 0.0

    @property
    def known(self) -> bool:
        return bool(self.kind)

    @property
    def passed(self) -> bool:
        """True when something was compared and nothing was too far off."""
        return not self.problem and bool(self.checks) and all(each.passed for each in self.checks)

    @property
    def worst(self) -> Check | None:
        """The comparison that is nearest to its tolerance, or farthest beyond it."""
        return max(self.checks, key=_strain, default=None)


@dataclass(frozen=True)
class Row:
    """One comparison, or the sentence of a case that could not be computed (error NaN)."""

    case: str
    what: str
    error: float
    tolerance: float
    passed: bool


@dataclass(frozen=True)
class Report:
    """All cases of a folder, in the order of their names."""

    results: tuple[CaseResult, ...]

    @property
    def rows(self) -> list[Row]:
        rows = []
        for result in self.results:
            rows += [
                Row(result.case, each.name, each.error, each.tolerance, each.passed)
                for each in result.checks
            ]
            if result.known and (result.problem or not result.checks):
                what = result.problem or "nothing was compared"
                rows.append(Row(result.case, what, float("nan"), 0.0, False))
        return rows

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        return tuple(each for each in self.results if each.known and not each.passed)

    @property
    def unknown(self) -> tuple[CaseResult, ...]:
        """Cases of kinds that this version does not know; they are neither passed nor failed."""
        return tuple(each for each in self.results if not each.known)

    @property
    def passed(self) -> bool:
        return not self.failed and any(each.known for each in self.results)


def run_folder(
    folder: str | Path,
    backend: str = "eager",
    dtype: str = "float32",
    *,
    device: str = "cpu",
    only: str = "*",
    told: Callable[[CaseResult], None] | None = None,
) -> Report:
    """Compute every case of a folder and compare.

    Args:
        folder: manifests ``<case>.json`` with their ``<case>.safetensors``.
        backend, dtype, device: what computes the forwards, the guided steps and the walks. The
            published tolerances are for float32; in bfloat16 these cases are held to its rounding
            noise instead. All other kinds have a number format of their own and stay on the CPU.
        only: a pattern of case names; * stands for any letters, and a part of a name will do.
        told: called after each case.

    Raises:
        CheckpointError: the folder cannot be read, or holds no case that the pattern names.
        BackendError, OptionError: backend, dtype or device are not there.
    """
    setting = Setting.named(backend, dtype, device)
    results = []
    for path in manifests(Path(folder), only):
        result = run_case(path, setting)
        if result is not None:
            results.append(result)
            if told is not None:
                told(result)
    if not results:
        raise CheckpointError(f"{folder} holds weights but no case that uses them", field="folder")
    return Report(tuple(results))


def manifests(folder: Path, only: str = "*") -> list[Path]:
    """The manifests of a folder whose names fit a pattern, in order; weights are among them.

    Raises:
        CheckpointError: there is none.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"{folder} {what}; give a folder of golden cases (<case>.json and .safetensors)",
            field="folder",
        )
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise CheckpointError(f"{folder} holds no golden case (<case>.json)", field="folder")
    chosen = [path for path in paths if fnmatchcase(path.stem, only) or only in path.stem]
    if not chosen:
        raise CheckpointError(
            f"none of the {len(paths)} cases in {folder} is named like {only!r}; "
            f"the first is {paths[0].stem!r}",
            field="only",
        )
    return chosen


def run_case(path: Path, setting: Setting) -> CaseResult | None:
    """One case by its manifest; ``None`` for weights, which are no case."""
    begun = time.perf_counter()
    try:
        case = GoldenCase.read(path)
    except CheckpointError as error:
        return CaseResult(path.stem, "unreadable", problem=str(error))
    if is_weights(case):
        return None
    kind = kind_of(case)
    if kind is None:
        return _unfit(case)
    checks: list[Check] = []
    problem = ""
    try:
        checks.extend(kind.check(case, setting))
    except MagiError as error:
        problem = str(error)
    except Exception as error:  # whatever a damaged case makes the arithmetic raise is its result
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    seconds = time.perf_counter() - begun
    return CaseResult(case.name, kind.prefix, tuple(checks), problem, seconds)


def _unfit(case: GoldenCase) -> CaseResult:
    """A case without a kind: incomplete when its name is that of a kind, else unknown."""
    like = missing_of(case)
    if like is None:
        return CaseResult(case.name, "", problem="a kind that this version does not know")
    prefix, missing = like
    return CaseResult(case.name, prefix, problem=f"the manifest lacks {', '.join(missing)}")


def _strain(check: Check) -> float:
    if check.passed:
        return check.error / check.tolerance if check.tolerance else 0.0
    return float("inf")
