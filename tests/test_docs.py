"""The README and the pages in docs/ tell the truth: programs, names, places and commands."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

import pytest

from magi_rt import World
from magi_rt.presets import PRESETS
from tests.test_floors import imports_of, modules

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted([README, *ROOT.glob("docs/*.md")])
WITH_COMMANDS = sorted(
    [*PAGES, *ROOT.glob("engines/*.md"), *ROOT.glob("examples/**/*.md")]
)  # and those that the site does not have
BUILT = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
PATH = re.compile(r"`((?:magi_rt|tests|docs|examples|[a-z]+)/[\w/]*(?:\.\w+)?)`")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return [code for name, code in BLOCK.findall(page.read_text("utf-8")) if name == language]


def section(heading: str, page: Path = README) -> str:
    """What stands in a page below a heading."""
    return page.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]


def block_below(heading: str, page: Path = README) -> str:
    """The first fenced block of a page below a heading."""
    match = BLOCK.search(section(heading, page))
    assert match
    return match[2]


def links(page: Path) -> set[Path]:
    """The files that a page links to."""
    found = re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
    return {(page.parent / link).resolve() for link in found if "://" not in link}


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
    assert [place for place in links(page) if not place.exists()] == []
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


def members() -> dict[str, set[str]]:
    """What every class of the package has, by the class's name."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "magi_rt").rglob("*.py"):
        for made in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(made, ast.ClassDef):
                continue
            names = found.setdefault(made.name, set())
            for each in ast.walk(made):
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(each.name)
                elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                    names.add(each.target.id)
    return found


def test_every_member_of_our_classes_that_pages_name_exists() -> None:
    ours = members()
    named = {pair for page in PAGES for pair in re.findall(r"`([A-Z]\w+)\.(\w+)", page.read_text())}
    known = {(kind, name) for kind, name in named if kind in ours}
    assert len(known) > 20  # The pattern still finds what pages name.
    assert [f"{kind}.{name}" for kind, name in known if name not in ours[kind]] == []


def commands(page: Path) -> list[list[str]]:
    """The words behind `magi-rt` in a page: of its blocks for a shell, plain blocks and text."""
    text = page.read_text("utf-8")
    shell = [line for code in blocks(page, "sh") for line in code.splitlines()]
    lines = [line.split("magi-rt ", 1)[1] for line in shell if "magi-rt " in line]
    plain = "".join(blocks(page, ""))
    lines += re.findall(r"^(?:\$ )?magi-rt (.+)$", plain, re.M)
    lines += re.findall(r"`magi-rt ([^`]+)`", BLOCK.sub("", text))
    return [shlex.split(line, comments=True) for line in lines]


@cache
def help_of(*verbs: str) -> str:
    """What `magi-rt VERBS --help` prints; it must be a command."""
    from typer.testing import CliRunner

    from magi_rt.cli.app import app

    found = CliRunner().invoke(app, [*verbs, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert found.exit_code == 0, verbs
    return found.output


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_is_understood(page: Path) -> None:
    for words in commands(page):
        verbs = words[: 2 if words[0] in ("train", "bench") else 1]
        options = [word for word in words if word.startswith("--")]
        assert [option for option in options if option not in help_of(*verbs)] == []
        if words[0] == "train" and words[1] != "average" and len(words) > 2:
            assert {"--minutes", "--steps"} & set(options), f"no budget: {' '.join(words)}"


def test_every_published_variant_stands_in_the_tables() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "models.md"):
        rows = re.findall(r"^\| ([\w.-]+B-[\w-]+) \|", page.read_text("utf-8"), re.M)
        assert sorted(rows) == sorted(PRESETS)


def test_the_tree_names_every_folder_of_the_package() -> None:
    tree = block_below("What lies where", BUILT)
    folders = [path.parent.name for path in (ROOT / "magi_rt").glob("*/__init__.py")]
    assert [name for name in folders if f"  {name}/ " not in tree] == []


def test_the_tree_lists_folders_so_that_imports_only_go_up() -> None:
    order = re.findall(r"^  (\w+)/ ", block_below("What lies where", BUILT), re.M)
    assert order
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
    reasons = section("Dependencies", BUILT)
    assert names and [name for name in names if name not in reasons] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = {README}, [README]
    while ahead:
        new = {page for page in links(ahead.pop()) if page.suffix == ".md"} - reached
        reached |= new
        ahead += new
    assert [page.name for page in PAGES if page not in reached] == []
    assert ROOT / "docs" / "troubleshooting.md" in links(README)


def test_the_first_screen_boasts_only_of_what_was_measured() -> None:
    boast = re.search(r"^\*\*(.+?)\*\*$", README.read_text("utf-8"), re.M | re.S)
    assert boast
    table = section("Measured") + section("A world")
    numbers = re.findall(r"\d+", boast[1])
    assert [n for n in numbers if not re.search(rf"\b{n}\b", table)] == []
    assert numbers and "bit for bit" in table


def test_the_readme_says_how_its_first_command_is_typed_on_windows() -> None:
    assert r".venv\Scripts\magi-rt run" in section("Run it")


def test_the_source_archive_holds_what_its_own_files_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    held = set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    built = re.findall(r"add_subdirectory\(([\w.]+)", (ROOT / "CMakeLists.txt").read_text("utf-8"))
    named = {path.relative_to(ROOT).parts[0] for page in PAGES for path in links(page)}
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    named |= {*built, *re.findall(r"include\} \.\./([\w.]+)", pages), ".ci"}
    assert {"bindings", "examples"} <= named and named <= held


def test_pages_say_in_what_a_buffer_is_counted() -> None:
    for name in ("steering.md", "troubleshooting.md"):
        prose = BLOCK.sub("", (ROOT / "docs" / name).read_text("utf-8"))
        assert re.search("buffer=.{,40}?(?:counts|counted in) frames", prose, re.S), name


def test_help_by_symptom_quotes_what_the_native_client_says() -> None:
    said = (ROOT / "bindings/c/src/control.c").read_text("utf-8")
    for name in ("unity.md", "unreal.md"):
        (row,) = re.findall(
            r"^\| `(.+?)` \|.*`none`", (ROOT / "docs" / name).read_text("utf-8"), re.M
        )
        assert f'"{row}"' in said
