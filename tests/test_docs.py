"""The README and the pages in docs/ tell the truth: programs, names, places and commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from magi_rt import World
from magi_rt.presets import PRESETS
from tests.test_floors import imports_of, modules

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
PATH = re.compile(r"`((?:magi_rt|tests|docs|examples|[a-z]+)/[\w/]*(?:\.\w+)?)`")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return [code for name, code in BLOCK.findall(page.read_text("utf-8")) if name == language]


def block_below(heading: str) -> str:
    """The one fenced block of the README below a heading."""
    section = (ROOT / "README.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    match = BLOCK.search(section)
    assert match
    return match[2]


def test_the_program_of_the_readme_prints_what_its_comment_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (program, *_) = blocks(ROOT / "README.md", "python")
    assert 5 <= len(program.strip().splitlines()) - program.count("\n\n") <= 6
    exec(compile(program, "README.md", "exec"), {})
    promised = program.rsplit("# ", 1)[1].strip()
    assert capsys.readouterr().out.strip() == promised


def test_the_two_set_up_commands_begin_with_a_fresh_environment_and_end_in_their_jobs() -> None:
    run, test = block_below("Run it").strip(), block_below("Test it").strip()
    for command in (run, test):
        assert "\n" not in command and command.startswith("python3 -m venv .venv && ")
    assert run.endswith(".venv/bin/magi-rt run")
    assert test.split("&&")[-1].split()[:3] == [".venv/bin/python", "-m", "pytest"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_named_place_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    folders = {path.name for path in (ROOT / "magi_rt").iterdir() if path.is_dir()}
    named = {place for place in PATH.findall(text) if place.split("/")[0] in folders}
    assert [place for place in sorted(named) if not (ROOT / "magi_rt" / place).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_of_a_world_that_is_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    of_world = set(re.findall(r"(?<![-/.])\bworld\.([a-z]\w*)", text)) - {"py", "world", "machine"}
    of_class = set(re.findall(r"\bWorld\.([a-z]\w*)", text))
    world = World.open("dummy")
    assert [name for name in sorted(of_world) if not hasattr(world, name)] == []
    assert [name for name in sorted(of_class) if not hasattr(World, name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_is_understood(page: Path) -> None:
    from typer.testing import CliRunner

    from magi_rt.cli.app import app

    lines = [line for code in blocks(page, "sh") for line in code.splitlines()]
    shown = [line.split("magi-rt ", 1)[1] for line in lines if "magi-rt " in line]
    for command in shown:
        words = shlex.split(command)
        verbs = words[: 2 if words[0] in ("train", "bench") else 1]
        found = CliRunner().invoke(app, [*verbs, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert found.exit_code == 0, command
        options = [word for word in words if word.startswith("--")]
        assert [option for option in options if option not in found.output] == []


def test_every_published_variant_stands_in_the_tables() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "models.md"):
        rows = re.findall(r"^\| ([\w.-]+B-[\w-]+) \|", page.read_text("utf-8"), re.M)
        assert sorted(rows) == sorted(PRESETS)


def test_the_tree_of_the_readme_names_every_folder_of_the_package() -> None:
    tree = block_below("What lies where")
    folders = [path.parent.name for path in (ROOT / "magi_rt").glob("*/__init__.py")]
    assert [name for name in folders if f"  {name}/ " not in tree] == []


def test_the_tree_lists_folders_so_that_imports_only_go_up() -> None:
    order = re.findall(r"^  (\w+)/ ", block_below("What lies where"), re.M)
    found = [
        (module, imported)
        for module, path in modules()
        for imported in imports_of(path.read_text("utf-8"), module)
        if {(here := module.split(".")[1]), (there := imported.split(".")[1])} <= set(order)
        and order.index(there) > order.index(here)
    ]
    assert found == []


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    required = project.split("\ndependencies = [")[1].split("\n]")[0]
    names = re.findall(r'"([a-z0-9]+)>=', required)
    reasons = (ROOT / "README.md").read_text("utf-8").split("## Dependencies")[1]
    assert names and [name for name in names if name not in reasons] == []
