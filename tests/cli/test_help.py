"""What the command says about itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import magi_rt
from magi_rt.cli.app import app
from magi_rt.training.worlds import WORLDS

VERBS = [
    "run", "demo", "view", "serve", "watch", "prompt", "stats", "keys", "plan", "doctor",
    "inspect", "verify", "train", "compile", "record", "eval", "bench",
]  # fmt: skip


def output(*arguments: str) -> str:
    """What a call that succeeds prints on stdout, without colours and frames."""
    result = CliRunner().invoke(app, list(arguments), env={"TERM": "dumb", "COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)


def test_the_version_is_the_package_version() -> None:
    assert output("--version").strip() == f"magi-rt {magi_rt.__version__}"


def test_without_a_verb_the_help_is_shown() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = output(*arguments)
        assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_teaches_with_an_example(verb: str) -> None:
    shown = output(verb, "--help")
    assert "Example" in shown
    assert f"magi-rt {verb} " in shown.split("Example", 1)[1]


@pytest.mark.parametrize("command", [("record",), ("train", "vae"), ("train", "dit")])
def test_help_names_every_made_up_world(command: tuple[str, ...]) -> None:
    shown = output(*command, "--help")
    assert [name for name in WORLDS if not re.search(rf"[ |]{name},", shown)] == []


def test_help_loads_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "from magi_rt.cli.app import main\n"
        "sys.argv = ['magi-rt', 'run', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'av', 'PIL', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
