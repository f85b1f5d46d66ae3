"""What `magi-rt doctor` finds, where all is well and where it is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from magi_rt.cli import doctor, machine_facts
from magi_rt.cli.app import app
from magi_rt.cli.machine_facts import PACKAGES, Gpu, Package, gpus_from, look_up


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "160"})


def report(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(*arguments, "--json").stdout)
    return found


def test_on_this_machine_all_that_is_needed_is_there() -> None:
    found = report()
    assert found["ok"] is True
    assert {each["name"] for each in found["packages"] if each["needed"]} >= {"torch", "pyzmq"}
    assert found["machine"]["cores"] >= 1 and found["backend"]["reason"]
    assert [each["problem"] for each in found["worlds"]] == ["", ""]
    assert all(each["parameters"] > 1e6 for each in found["worlds"])


def test_people_are_told_the_backend_and_every_package() -> None:
    result = asked()
    assert result.exit_code == 0 and "all that is needed is here" in result.stdout
    assert "backend" in result.stdout and "nano" in result.stdout
    assert all(each.names[0] in result.stdout for each in PACKAGES)


def test_what_is_missing_stands_beside_the_command_that_installs_it() -> None:
    gone = Package(("no-such-thing-here",), "no_such_thing_here", "tests", "onnx")
    found = look_up(gone, gpu=False)
    assert (found.state, found.remedy) == ("missing", 'pip install "magi-rt[onnx]"')
    assert not found.needed


def test_what_only_a_gpu_needs_is_not_missed_without_one() -> None:
    gone = Package(("no-such-thing-here",), "no_such_thing_here", "tests", None, gpu=True)
    assert look_up(gone, gpu=False).state == "not needed"
    assert look_up(gone, gpu=True).state == "missing"


def test_a_package_whose_module_is_gone_is_broken_and_no_crash() -> None:
    cut = Package(("pytest",), "no_such_module_here", "tests")
    found = look_up(cut, gpu=False)
    assert found.state == "broken" and "--force-reinstall pytest" in found.remedy
    assert "no_such_module_here" in found.detail


def test_a_package_that_fails_while_imported_is_found_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("raise OSError('libhalf.so: cannot open')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    half = Package(("pytest",), "half_there", "tests")
    assert look_up(half, gpu=False).state == "ok"
    found = look_up(half, gpu=False, try_import=True)
    assert found.state == "broken" and "libhalf.so" in found.detail


def test_a_package_that_fails_in_letters_of_another_encoding_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    _, wrong = machine_facts.said_apart("raise OSError('libm\\xe9 is gone')")
    assert wrong.startswith("OSError: libm") and wrong.endswith(" is gone")


def test_something_needed_that_is_broken_gives_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Package(("pytest",), "no_such_module_here", "tests")
    monkeypatch.setattr(doctor, "PACKAGES", (*PACKAGES, broken))
    result = asked()
    assert result.exit_code == 1
    assert "something needed is wrong" in result.stdout


def test_a_machine_on_which_no_backend_can_be_chosen_is_not_called_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAGI_RT_BACKEND", "bogus")
    found = report()
    assert not found["ok"] and found["backend"]["name"] == "none"
    assert any("no world opens" in each and "'bogus'" in each for each in found["advice"])
    result = asked()
    assert result.exit_code == 1 and "something needed is wrong" in result.stdout


def test_a_world_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magi_rt.checkpoints.layout.BUILT_IN_FOLDER", Path("/nowhere"))
    found = report()
    assert not found["ok"]
    assert all("cannot be opened" in each["problem"] for each in found["worlds"])


def test_a_gpu_that_this_pytorch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Gpu("NVIDIA GeForce RTX 4090", 24564, "580.1", "8.9")
    monkeypatch.setattr(doctor, "gpus", lambda: [card])
    versions = machine_facts._version
    monkeypatch.setattr(
        machine_facts,
        "_version",
        lambda names: "2.13.0+cpu" if names == ("torch",) else versions(names),
    )
    told = asked().stdout
    assert "RTX 4090, 24 GiB" in told and "cannot use" in " ".join(told.split())


@pytest.mark.parametrize(
    ("cuda", "told"),
    [("", "is built without CUDA; pip install"), ("13.0", "driver 470.1 is too old for it, or")],
)
def test_a_card_that_pytorch_cannot_use_is_told_also_when_its_version_has_no_cpu_in_it(
    monkeypatch: pytest.MonkeyPatch, cuda: str, told: str
) -> None:
    monkeypatch.setattr(doctor, "cuda_of_torch", lambda: (False, cuda))
    packages = [look_up(each, gpu=True) for each in PACKAGES]
    cards = [Gpu("NVIDIA GeForce RTX 4090", 24564, "470.1", "8.9")]
    assert any(told in each for each in doctor._advice(packages, cards))
    monkeypatch.setattr(doctor, "cuda_of_torch", lambda: (True, cuda))
    assert not any("cannot use it" in each for each in doctor._advice(packages, cards))


def test_pytorch_is_asked_in_a_process_of_its_own_what_it_can_use() -> None:
    assert machine_facts.cuda_of_torch() == (torch.cuda.is_available(), torch.version.cuda or "")


def test_every_requirement_stands_in_the_list_as_needed() -> None:
    text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
    wanted = {
        re.split(r"[<>=!~;\[ ]", each)[0] for each in tomllib.loads(text)["project"]["dependencies"]
    }
    assert wanted == {each.names[0] for each in PACKAGES if each.needed}


def test_free_memory_that_is_not_known_is_not_printed_as_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("magi_rt.planner.probe.memory_gib", lambda: None)
    assert doctor._machine()["free_memory_gib"] is None
    (line,) = [each for each in asked().stdout.splitlines() if "free memory" in each]
    assert "not known" in line


def test_the_drivers_answer_is_read_line_by_line() -> None:
    text = "NVIDIA H200, 143771, 570.86, 9.0\nNo devices were found\nA, B\n"
    assert gpus_from(text) == [Gpu("NVIDIA H200", 143771, "570.86", "9.0")]


def test_the_doctor_imports_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAGI_RT_BACKEND", raising=False)  # which would spare it the choice
    program = (
        "import sys\nfrom magi_rt.cli.app import main\n"
        "sys.argv = ['magi-rt', 'doctor', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'openvino', 'cv2', 'zmq'}\n"
        "sys.exit(f'loaded {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
