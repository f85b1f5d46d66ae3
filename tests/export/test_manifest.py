"""Manifests: what does not fit is refused with both values."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import pytest

import magi_rt
from magi_rt.checkpoints.layout import resolve
from magi_rt.errors import BackendError
from magi_rt.export import manifest
from magi_rt.export.manifest import (
    MANIFEST,
    Manifest,
    PlanIdentity,
    TensorSpec,
    config_digits,
    maker,
    mark_files,
)
from magi_rt.models.vae_config import VAEConfig
from magi_rt.presets import PRESETS
from tests.export.kit import identity

OTHER: dict[str, object] = {
    "inputs": (TensorSpec("x", "float32", (16, 64)),),
    "outputs": (TensorSpec("out", "float16", (8, 64)),),
    "flags": ("refit",),
    "opset": 23,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.engine").write_bytes(b"an engine" * 100)
    Manifest(identity(), mark_files(tmp_path), "2026-11-21T12:00:00+00:00", 1.5).write(tmp_path)
    return tmp_path


def test_what_is_written_is_read_back(folder: Path) -> None:
    manifest = Manifest.read(folder)
    assert manifest.identity == identity() and manifest.build_s == 1.5
    manifest.check(identity(), folder)
    manifest.check_files(folder)
    manifest.check_card((8, 9), "the card here", folder)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [(manifest, "GRAPHS", manifest.GRAPHS + 1), (magi_rt, "__version__", "99.0")],
)
def test_graphs_of_changed_code_are_others(
    monkeypatch: pytest.MonkeyPatch, place: ModuleType, name: str, value: object
) -> None:
    before = maker()
    monkeypatch.setattr(place, name, value)
    assert maker() != before


@pytest.mark.parametrize("name", [f.name for f in fields(PlanIdentity)])
def test_each_field_that_differs_is_refused_with_both_values(folder: Path, name: str) -> None:
    other = OTHER.get(name, "other")
    wanted = identity(**{name: other})
    assert wanted.digits != identity().digits
    with pytest.raises(BackendError) as caught:
        Manifest.read(folder).check(wanted, folder)
    assert caught.value.field == name
    has, needs = identity().differences(wanted)[name]
    assert f"for {name} {has} but this needs {needs}" in caught.value.message


@pytest.mark.parametrize(("card", "has"), [("NVIDIA H200", (9, 0)), ("NVIDIA RTX A6000", (8, 6))])
def test_another_card_is_refused_with_both_capabilities(
    folder: Path, card: str, has: tuple[int, int]
) -> None:
    told = rf"rtx4090 \(compute capability 8\.9\) but {card} has {has[0]}\.{has[1]}"
    with pytest.raises(BackendError, match=told):
        Manifest.read(folder).check_card(has, card, folder)


def test_a_flipped_bit_is_refused(folder: Path) -> None:
    data = bytearray((folder / "plan.engine").read_bytes())
    data[450] ^= 1
    (folder / "plan.engine").write_bytes(data)
    with pytest.raises(BackendError, match=r"plan\.engine has sha256 \w{16}, its manifest \w{16}"):
        Manifest.read(folder).check_files(folder)


def test_a_cut_and_a_missing_file_are_refused(folder: Path) -> None:
    (folder / "plan.engine").write_bytes(b"an engine")
    with pytest.raises(BackendError, match="has 9 bytes, its manifest says 900"):
        Manifest.read(folder).check_files(folder)
    (folder / "plan.engine").unlink()
    with pytest.raises(BackendError, match="is missing"):
        Manifest.read(folder).check_files(folder)


def test_files_of_inner_folders_are_checked_under_their_own_paths(folder: Path) -> None:
    for inner in ("a", "b"):
        (folder / inner).mkdir()
        (folder / inner / "part").write_text(inner)
    marks = mark_files(folder)
    assert {Path(name) for name in marks} == {Path("plan.engine"), Path("a/part"), Path("b/part")}
    card = Manifest(identity(), marks, "2026-11-21T12:00:00+00:00", 1.5)
    card.check_files(folder)
    (folder / "a" / "part").write_text("b")
    with pytest.raises(BackendError, match="part has sha256"):
        card.check_files(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\x00", '{"format": 1, "x"'])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BackendError, match="is not a manifest"):
        Manifest.read(folder)


def test_a_manifest_of_a_later_format_is_refused(folder: Path) -> None:
    card = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**card, "format": 2}))
    with pytest.raises(BackendError, match="has format 2 but this version reads 1"):
        Manifest.read(folder)


def test_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        Manifest.read(tmp_path)


def test_configurations_of_other_sizes_have_other_digits() -> None:
    digits = {name: config_digits(config) for name, config in PRESETS.items()}
    assert digits["4.5B-base"] == digits["4.5B-distill"] != digits["4.5B-distill-fp8"]
    small = PRESETS["4.5B-base"]
    other = replace(small, runtime=replace(small.runtime, seed=5))
    assert config_digits(other) == digits["4.5B-base"]


def test_auto_encoders_of_other_heads_have_other_digits_although_they_share_all_weights() -> None:
    folder = resolve("nano")
    assert folder.vae is not None
    config, vae = folder.config, VAEConfig.from_file(folder.vae / "config.json")
    other = replace(vae, num_heads=2 * vae.num_heads)
    found = {config_digits(config), config_digits(config, vae), config_digits(config, other)}
    assert len(found) == 3
