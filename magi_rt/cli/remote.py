"""What the commands that talk to a server share: where it is, and how they prove themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.stream.client import WorldClient
    from magi_rt.stream.keys import ClientKeys

ADDRESS = "tcp://127.0.0.1:5590"

_OF_AN_OWN_WORLD = (
    "model", "prompt", "seed", "fps", "steps", "window", "size", "backend", "device", "dtype",
)  # fmt: skip

Address = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Where the server's frames go out; requests go to the next port."
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="This client's folder, made by magi-rt keys, for guarded servers."
    ),
]
Timeout = Annotated[
    float,
    typer.Option(metavar="S", min=0.1, max=3600.0, help="Longest wait for an answer, in seconds."),
]


def refuse_unheeded(context: typer.Context, connect: str) -> None:
    """OptionError for an option that was given and cannot be heeded, with or without --connect."""
    unheeded = _OF_AN_OWN_WORLD if connect else ("keys",)
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name not in unheeded or source is None or source.name != "COMMANDLINE":
            continue
        name = "MODEL" if parameter.name == "model" else f"--{parameter.name}"
        if connect:
            reason = "is for a world of one's own; with --connect leave it out"
        else:
            reason = "is for the server that --connect names; leave it out, or give both"
        raise OptionError(f"{name} {reason}", field=parameter.name)


def client_of(address: str, timeout_s: float, keys: Path | None) -> WorldClient:
    """A client that a server has answered; ServerLostError when none does in time."""
    from magi_rt.stream.client import WorldClient

    return WorldClient(address, timeout_s=timeout_s, keys=client_keys(keys), name="magi-rt command")


def client_keys(folder: Path | None) -> ClientKeys | None:
    """The keys in a client's folder, None for none."""
    if folder is None:
        return None
    from magi_rt.stream.keys import ClientKeys

    return ClientKeys.load(folder)
