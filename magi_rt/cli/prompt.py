"""`magi-rt prompt`: tell a served world what to show."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from magi_rt.cli.remote import ADDRESS, Address, Keys, client_of

Text = Annotated[str, typer.Argument(help="What is to be seen from now on.")]
Flush = Annotated[
    bool,
    typer.Option(
        "--flush", help="Take back what is made but not shown yet, so that it is seen sooner."
    ),
]
Now = Annotated[
    bool, typer.Option("--now", help="Also turn the chunks that are in the making already.")
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for the first frame that shows it.")
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="S",
        min=0.1,
        max=3600.0,
        help="Longest wait for the answer, in seconds; the frame that shows it may take six times "
        "as long.",
    ),
]


def prompt(
    text: Text,
    flush: Flush = False,
    now: Now = False,
    no_wait: NoWait = False,
    address: Address = ADDRESS,
    timeout: Timeout = 10.0,
    keys: Keys = None,
) -> None:
    """Tell a served world what to show, and wait until it shows.

    [bold]Examples[/bold]

      magi-rt prompt "night falls"

      magi-rt prompt "gravity points up" --flush

      magi-rt prompt "it snows" --address tcp://192.168.0.7:5590 --keys my-client
    """
    with client_of(address, timeout, keys) as client:
        begun_s = time.monotonic()
        receipt = client.prompt(text, "now" if now else "next", flush=flush)
        typer.echo(f"accepted as prompt {receipt.prompt}")
        if no_wait:
            return
        shown = receipt.wait(max(timeout, 1.0) * 6)
        waited_ms = 1000 * (time.monotonic() - begun_s)
        typer.echo(
            f"shown from frame {shown.frame} on (chunk {shown.chunk}, epoch {shown.epoch}), "
            f"{waited_ms:.0f} ms after it was asked for"
        )
