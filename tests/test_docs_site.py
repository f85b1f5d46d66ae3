"""The site is built strictly: no broken link, no name that leads nowhere, no page left out."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import magi_rt

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
HEADER = ROOT / "bindings/c/include/magi_rt.h"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of the builder fails the tests that look at it."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip('the builder is not installed: pip install -e ".[docs]"')
    out = tmp_path_factory.mktemp("site")
    options = ["-q", "-n", "-W", "--keep-going", "-d", str(out / "memory")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")],
        capture_output=True, text=True, timeout=600, cwd=ROOT,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return out / "html"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_has_every_page(site: Path) -> None:
    pages = {page.stem for page in DOCS.glob("*.md")}
    assert {page.stem for page in site.glob("*.html")} >= pages


@pytest.mark.slow
def test_every_public_name_is_explained_in_the_python_reference(site: Path) -> None:
    told = (site / "api.html").read_text("utf-8")
    public = {name for name in magi_rt.__all__ if not name.startswith("_")}
    places = {name: (f"magi_rt.{name}", f"magi_rt.errors.{name}") for name in public}
    assert [n for n, ids in places.items() if not any(f'id="{i}"' in told for i in ids)] == []


@pytest.mark.slow
def test_every_function_of_the_c_header_is_on_its_page(site: Path) -> None:
    told = re.sub(r"<[^>]+>", "", (site / "c-header.html").read_text("utf-8"))
    functions = re.findall(r"^MAGI_API .*?(magi_\w+)\(", HEADER.read_text("utf-8"), re.M)
    assert len(functions) > 10
    assert [name for name in functions if f"{name}(" not in told] == []


def test_the_c_header_is_shown_part_by_part() -> None:
    parts = re.findall(r"^/\* ---- (.+?) -+ \*/", HEADER.read_text("utf-8"), re.M)
    headings = re.findall(r"^## (.+)", (DOCS / "c-header.md").read_text("utf-8"), re.M)
    assert headings == ["Manual", *parts]


def test_the_pictures_are_small_enough_for_a_clone() -> None:
    pictures = [path for path in (DOCS / "pictures").iterdir() if path.suffix != ".py"]
    assert pictures and sum(path.stat().st_size for path in pictures) < 400_000
