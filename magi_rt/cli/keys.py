"""`magi-rt keys`: who may connect to a server that other machines can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the keys; made if absent.")]
Client = Annotated[
    list[str] | None,
    typer.Option(
        "--client",
        "-c",
        metavar="NAME",
        help="A client to be let in; give it as often as you like. One named 'client' if left out.",
    ),
]


def keys(folder: Folder, client: Client = None) -> None:
    """Make keys for a server and its clients; keys that exist already stay as they are.

    The server is started with --keys DIR. Each client gets a copy of its folder DIR/clients/NAME,
    over a safe way, and gives it as --keys. To shut a client out, remove DIR/allowed/NAME.key;
    that holds from its next connection on. To let it in again, run this with its name.

    [bold]Examples[/bold]

      magi-rt keys my-keys

      magi-rt keys my-keys --client studio --client stage
    """
    from magi_rt.stream.keys import make_keys

    names = tuple(client or ("client",))
    written = make_keys(folder, names)
    for path in written:
        typer.echo(path)
    if not written:
        typer.echo("all of these keys exist already")
    typer.echo(f"start the server with: magi-rt serve --bind HOST --keys {folder}")
    for name in names:
        home = folder / "clients" / name
        if home.exists():
            typer.echo(f"copy {home} to {name}, and give it there as --keys")
        else:
            typer.echo(f"{name} is let in by the folder that it was given earlier")
