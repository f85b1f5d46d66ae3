"""`magi-rt doctor`: what this machine has, what would run here and why, and what is missing."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from magi_rt.cli.machine_facts import (
    BROKEN,
    MISSING,
    OK,
    PACKAGES,
    Finding,
    Gpu,
    allocator,
    cores,
    cuda_of_torch,
    gpus,
    look_up,
    processor,
    said_apart,
)

UNWELL = 1
"""Exit code when something that is needed is missing or broken."""

NO_BACKEND = "none"
"""The backend's name where none can be chosen."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]
TryImports = Annotated[
    bool,
    typer.Option(
        "--imports",
        help="Also import every package, each in a process of its own; takes some seconds.",
    ),
]


def doctor(as_json: AsJson = False, imports: TryImports = False) -> None:
    """Look at this machine: processor, GPU, packages, the built-in world, the backend to be used.

    Packages are looked up, not imported, so it is quick, and it works where one of them is broken.
    What is missing stands beside the command that installs it. The exit code is 1 when something
    is wrong that magi-rt cannot do without.

    [bold]Examples[/bold]

      magi-rt doctor

      magi-rt doctor --imports --json
    """
    report = examine(try_imports=imports)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print(report)
    if not report["ok"]:
        raise typer.Exit(UNWELL)


def examine(*, try_imports: bool = False) -> dict[str, Any]:
    """Everything that is found, as JSON values; never raises for what it finds."""
    cards = gpus()
    packages = [look_up(each, gpu=bool(cards), try_import=try_imports) for each in PACKAGES]
    worlds, backend = [_world(name) for name in ("nano", "nano-base")], _backend()
    problems = [each["problem"] for each in worlds if each["problem"]]
    if backend["name"] == NO_BACKEND:
        problems.append(f"no world opens: {backend['reason']}")
    sound = all(each.state == OK for each in packages if each.needed)
    return {
        "ok": sound and not problems,
        "machine": _machine(),
        "gpus": [asdict(card) for card in cards],
        "backend": backend,
        "packages": [asdict(each) for each in packages],
        "worlds": worlds,
        "advice": [*_advice(packages, cards), *problems],
    }


def _machine() -> dict[str, Any]:
    import magi_rt
    from magi_rt.planner.probe import memory_gib

    name, sets = processor()
    free = memory_gib()
    return {
        "magi_rt": magi_rt.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": name,
        "instruction_sets": list(sets),
        "cores": cores(),
        "threads": os.environ.get("OMP_NUM_THREADS") or "as many as cores",
        "free_memory_gib": None if free is None else round(free, 1),
        "allocator": allocator(),
    }


def _backend() -> dict[str, str]:
    """What "auto" takes for the built-in world, and why."""
    said, wrong = said_apart(
        "import json; from magi_rt.backends.choose import resolve_backend; "
        "choice = resolve_backend('nano'); print(json.dumps([choice.backend, choice.reason]))"
    )
    if wrong:
        return {"name": NO_BACKEND, "reason": f"choosing a backend fails: {wrong}"}
    name, reason = json.loads(said)
    return {"name": name, "reason": reason}


def _world(name: str) -> dict[str, Any]:
    """Whether the files of a built-in world can be opened; headers only are read."""
    found: dict[str, Any] = {"name": name, "parameters": 0, "problem": ""}
    try:
        from magi_rt.checkpoints.headers import open_weights
        from magi_rt.checkpoints.layout import VAE_WEIGHTS, resolve

        folder = resolve(name)
        assert folder.denoiser is not None and folder.vae is not None
        parts = [open_weights(folder.denoiser), open_weights(folder.vae, VAE_WEIGHTS)]
        if folder.text_encoder is None:
            found["problem"] = f"{name} has no text encoder, so it cannot read prompts"
        found["parameters"] = sum(part.parameters for part in parts)
    except Exception as error:
        found["problem"] = f"{name} cannot be opened: {error}"
    return found


def _advice(packages: list[Finding], cards: list[Gpu]) -> list[str]:
    """What to do, the most needed first."""
    said = [
        f"{each.name} is {each.state}{': ' if each.detail else ''}{each.detail}; {each.remedy}"
        for each in packages
        if each.state == BROKEN or (each.needed and each.state == MISSING)
    ]
    by_name = {each.name: each for each in packages}
    usable, cuda = cuda_of_torch() if cards else (True, "")
    if not usable:
        mend = (
            f"is built for CUDA {cuda}: driver {cards[0].driver} is too old for it, or something "
            "hides the GPU (CUDA_VISIBLE_DEVICES); update the driver"
            if cuda
            else "is built without CUDA; pip install --force-reinstall torch --index-url "
            "https://download.pytorch.org/whl/cu130"
        )
        version = by_name["torch"].version
        said.append(
            f"there is a {cards[0].name}, but PyTorch cannot use it: this one ({version}) {mend}"
        )
    if not cards and by_name["openvino"].state == MISSING:
        said.append(f"without a GPU, OpenVINO is the quickest way; {by_name['openvino'].remedy}")
    return said


def _print(report: dict[str, Any]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from magi_rt.cli.consoles import for_tables

    console = for_tables()
    facts = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in report["machine"].items():
        shown = ", ".join(value) if isinstance(value, list) else str(value or "")
        facts.add_row(name.replace("_", " "), escape(shown or "not known"))
    for card in report["gpus"] or [None]:
        facts.add_row("gpu", escape(_card(card)))
    backend = report["backend"]
    facts.add_row("backend", escape(f"{backend['name']}: {backend['reason']}"))
    for world in report["worlds"]:
        told = world["problem"] or f"opens, {world['parameters'] / 1e6:.1f} million parameters"
        facts.add_row(world["name"], escape(told))
    console.print(facts)
    console.print(_packages(report["packages"]))
    for sentence in report["advice"]:
        console.print(f"to do: {escape(sentence)}")
    console.print("all that is needed is here" if report["ok"] else "something needed is wrong")


def _card(card: dict[str, Any] | None) -> str:
    if card is None:
        tool = "no NVIDIA driver's nvidia-smi" if sys.platform != "darwin" else "none on macOS"
        return f"none ({tool})"
    return (
        f"{card['name']}, {card['memory_mib'] / 1024:.0f} GiB, capability {card['capability']}, "
        f"driver {card['driver']}"
    )


def _packages(found: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("package", "version", "for", "state", "to mend it"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("package", "state"))
    for each in found:
        state = each["state"] if each["needed"] or each["state"] != MISSING else "optional, missing"
        remedy = each["remedy"] or each["detail"]
        table.add_row(each["name"], each["version"], each["purpose"], state, escape(remedy))
    return table
