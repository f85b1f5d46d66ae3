"""The plan cache: built once, whole or not at all, whoever asks and whatever breaks."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path

import filelock
import pytest

from magi_rt.backends.kept_plans import plan_for
from magi_rt.cli.compile_cpu import _ToldCache
from magi_rt.errors import BackendError, OptionError
from magi_rt.export.manifest import Manifest
from magi_rt.export.plan_cache import DAY_S, PlanCache, default_cache, open_plan
from tests.export.kit import identity


def build(into: Path) -> None:
    (into / "plan.engine").write_bytes(b"an engine")


def refuse(into: Path) -> None:
    raise AssertionError("this plan must not be built")


def nobody_builds() -> None:
    raise AssertionError("there is nobody to wait for")


def test_a_plan_is_built_once_and_then_found(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    first = cache.get(identity(), build, nobody_builds)
    assert first.fresh and first.file(".engine").read_bytes() == b"an engine"
    assert not cache.get(identity(), refuse).fresh
    found = cache.find(identity())
    assert found is not None and found.manifest == first.manifest


def test_a_plan_in_a_folder_that_cannot_be_written_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PlanCache(tmp_path).get(identity(), build)

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(filelock.FileLock, "acquire", read_only)
    assert not PlanCache(tmp_path).get(identity(), refuse).fresh


def test_a_folder_that_may_not_be_looked_into_has_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, is_dir = PlanCache(tmp_path), Path.is_dir

    def locked(path: Path) -> bool:
        if path == cache.place(identity()):
            raise PermissionError("not yours")
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", locked)
    assert cache.get(identity(), build).fresh


def test_another_identity_is_another_plan(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.get(identity(), build)
    assert cache.find(identity(weights="other")) is None
    assert cache.get(identity(runtime_version="2.0"), build).fresh


def test_a_damaged_plan_is_refused_when_opened_and_built_again_when_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = PlanCache(tmp_path)
    place = cache.get(identity(), build).folder
    (place / "plan.engine").write_bytes(b"an angine")
    with pytest.raises(BackendError, match="sha256"):
        cache.find(identity())
    assert cache.get(identity(), build).fresh
    assert caplog.text.count("has sha256") == 1 and "it is built again" in caplog.text
    assert open_plan(place, identity()).manifest.identity == identity()


def test_a_plan_of_another_format_is_built_again_and_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = PlanCache(tmp_path)
    card = cache.get(identity(), build).folder / "manifest.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 0}))
    assert cache.get(identity(), build).fresh
    assert "has format 0 but this version reads 1; it is built again" in caplog.text


def test_a_plan_moved_to_anothers_place_is_refused(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    moved = cache.get(identity(), build).folder.rename(cache.place(identity(weights="other")))
    with pytest.raises(BackendError, match=r"built for weights '0123456789abcdef' but .* 'other'"):
        cache.find(identity(weights="other"))
    assert moved.is_dir()


@pytest.mark.parametrize("kind", [BackendError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing_and_nobody_waits_for_it(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def fail(into: Path) -> None:
        build(into)
        raise kind("the builder refuses")

    cache = PlanCache(tmp_path)
    with pytest.raises(kind, match="the builder refuses") as kept:
        cache.get(identity(), fail)
    assert cache.find(identity()) is None
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert cache.get(identity(), build, nobody_builds).fresh, kept.value


def test_what_a_killed_build_left_is_swept_away(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    place = cache.place(identity())
    left = place.with_name(f".{place.name}.part")
    left.mkdir()
    (left / "half").write_bytes(b"half")
    plan = cache.get(identity(), build)
    assert set(plan.manifest.files) == {"plan.engine"} and not left.exists()


def test_plans_unused_for_long_are_removed_and_those_in_use_stay(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    old, young, busy = (
        cache.get(identity(weights=name), build).folder for name in ("old", "young", "busy")
    )
    for folder in (old, young, busy):
        os.utime(folder / "manifest.json", (1e9, 1e9))
    assert not cache.get(identity(weights="young"), refuse).fresh, "opened, so used today"
    with filelock.FileLock(busy.with_name(f".{busy.name}.lock")):
        removed = cache.prune(30)
    assert [place for place, _ in removed] == [old] and removed[0][1] > len(b"an engine")
    assert not old.exists() and young.is_dir() and busy.is_dir()
    with pytest.raises(OptionError, match="days is -1"):
        cache.prune(-1)


def test_only_folders_that_are_named_as_plans_are_removed(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    for name in ("my-extension", "a-b-0123456789ABCDEF", "a-b-0123456789abcde", ".half.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text('{"name": "of another program"}')
    damaged = cache.get(identity(), build).folder
    (damaged / "manifest.json").write_text("{")
    assert [place for place, _ in cache.prune(0)] == [damaged]
    assert len([place for place in tmp_path.iterdir() if place.is_dir()]) == 4


def test_a_plan_that_cannot_be_removed_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PlanCache(tmp_path)
    place = cache.get(identity(), build).folder

    def in_use(*_: object, **__: object) -> None:  # as on Windows while a file of it is open
        raise PermissionError("a file of it is open")

    monkeypatch.setattr("shutil.rmtree", in_use)
    monkeypatch.setattr("os.replace", in_use)
    assert cache.prune(0) == []
    assert cache.find(identity()) == open_plan(place)


def test_what_killed_builds_left_is_swept_away_with_old_plans(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    left, busy = (
        tmp_path / f".{cache.place(identity(weights=name)).name}.part" for name in ("left", "busy")
    )
    for folder in (left, busy):
        folder.mkdir()
        (folder / "half").write_bytes(b"half")
    with filelock.FileLock(busy.with_suffix(".lock")):
        assert cache.prune(30) == [(left, 4)]
    assert not left.exists() and busy.is_dir()


def test_a_plan_that_is_just_being_opened_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PlanCache(tmp_path)
    place = cache.get(identity(), build).folder
    os.utime(place / "manifest.json", (1e9, 1e9))
    check = Manifest.check_files

    def checked_slowly(manifest: Manifest, folder: Path) -> None:
        check(manifest, folder)
        assert cache.prune(30) == []

    monkeypatch.setattr(Manifest, "check_files", checked_slowly)
    assert cache.get(identity(), refuse).file(".engine").is_file()


def test_a_plan_is_kept_for_as_many_days_as_were_asked_for(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    place = cache.get(identity(), build).folder
    used = time.time() - 30 * DAY_S
    os.utime(place / "manifest.json", (used, used))
    assert cache.prune(31) == [] and place.is_dir()
    assert [removed for removed, _ in cache.prune(29)] == [place]


def test_a_plan_that_is_being_built_is_not_removed(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)

    def build_meanwhile(into: Path) -> None:
        build(into)
        (into / "manifest.json").write_text("{}")
        assert cache.prune(0) == []

    assert cache.get(identity(), build_meanwhile).file(".engine").is_file()


def test_a_plans_file_is_the_one_that_ends_with_the_suffix(tmp_path: Path) -> None:
    def build_two(into: Path) -> None:
        build(into)
        (into / "a.engine.log").write_text("built")

    plan = PlanCache(tmp_path).get(identity(), build_two)
    assert plan.file(".engine").name == "plan.engine"
    with pytest.raises(BackendError, match=r"small-rtx4090-\w{16} has no \.xml file"):
        plan.file(".xml")


def _ask(folder: str, barrier: threading.Barrier, log: str) -> None:
    def slowly(into: Path) -> None:
        with open(log, "a") as stream:
            stream.write("built\n")
        build(into)

    barrier.wait(60)
    PlanCache(folder).get(identity(), slowly)


def blocked(folder: Path) -> Path:
    """A place where no folder can be made, whoever asks."""
    folder.joinpath("file").write_text("not a folder")
    return folder / "file"


def test_a_world_on_a_folder_that_refuses_writing_builds_for_the_run_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class World:
        pass

    world = World()
    plan = plan_for(world, PlanCache(blocked(tmp_path)), identity(), build)
    assert plan.fresh and plan.file(".engine").read_bytes() == b"an engine"
    assert "cannot be kept" in caplog.text and caplog.records[0].name.startswith("magi_rt.backends")
    del world
    gc.collect()
    assert not plan.folder.exists()


def test_plans_that_can_be_written_nowhere_are_told_with_both_places_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = blocked(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(place))
    words = rf"no place for .* neither in {place} .* nor among temporary .*use backend='eager'"
    with pytest.raises(BackendError, match=words):
        plan_for(PlanCache(place), PlanCache(place), identity(), build)


def test_a_command_that_can_keep_nothing_fails_and_names_the_way_out(tmp_path: Path) -> None:
    told = _ToldCache(PlanCache(blocked(tmp_path)), lambda *_: None)
    with pytest.raises(BackendError, match=r"plans cannot be kept in .*file: .*--plans"):
        told.get(identity(), build)


def test_two_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, log = spawn.Barrier(2), tmp_path / "log"
    folder = tmp_path / "plans"
    askers = [spawn.Process(target=_ask, args=(str(folder), barrier, str(log))) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(120)
    assert [asker.exitcode for asker in askers] == [0, 0]
    assert log.read_text() == "built\n"


def test_who_waits_is_told_so_and_gets_the_plan_of_the_other(tmp_path: Path) -> None:
    building, waits = threading.Event(), threading.Event()

    def slow(into: Path) -> None:
        building.set()
        assert waits.wait(60)
        build(into)

    first = threading.Thread(target=lambda: PlanCache(tmp_path).get(identity(), slow))
    first.start()
    assert building.wait(60)
    plan = PlanCache(tmp_path).get(identity(), refuse, waiting=waits.set)
    first.join(60)
    assert not plan.fresh


def test_a_world_that_waits_for_anothers_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building, waits = threading.Event(), threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "another process builds small; it is waited for":
                waits.set()

    logger = logging.getLogger("magi_rt.backends.kept_plans")
    monkeypatch.setattr(logger, "handlers", [Heard()])
    monkeypatch.setattr(logger, "level", logging.INFO)

    def slow(into: Path) -> None:
        building.set()
        waits.wait(20)
        build(into)

    first = threading.Thread(target=lambda: PlanCache(tmp_path).get(identity(), slow))
    first.start()
    assert building.wait(60)
    assert not plan_for(first, PlanCache(tmp_path), identity(), refuse).fresh
    assert waits.is_set()


def test_the_place_of_the_cache_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGI_RT_CACHE", "/some/where")
    assert PlanCache().folder == Path("/some/where/plans")
    monkeypatch.delenv("MAGI_RT_CACHE")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache() == Path("/x/magi_rt")
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache().parent == Path(tempfile.gettempdir())
