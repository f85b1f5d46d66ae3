"""`magi-rt stats`: what a server has done so far."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from magi_rt.cli.consoles import for_tables
from magi_rt.cli.remote import ADDRESS, Keys, Timeout, client_of

Where = Annotated[
    str, typer.Argument(metavar="[ADDRESS]", help="Where the server's frames go out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]

_MEANINGS = {
    "model": "what runs",
    "uptime_s": "seconds since the start",
    "fps": "frames per second asked for",
    "paused": "whether the clock stands",
    "epoch": "how often the past stopped counting",
    "buffer_ms": "most milliseconds made ahead",
    "chunks_made": "chunks made",
    "chunks_ready": "of them, waiting to be shown now",
    "chunks_taken_back": "of them, taken back before anybody saw them",
    "chunk_ms": "milliseconds to make one, on average",
    "failures": "chunks that could not be made",
    "frames_shown": "frames whose time came",
    "frames_late": "times the next frame was not there when it was due",
    "frames_dropped_by_jumps": "frames not shown since a reset, restore or rewind cut in",
    "steps": "denoising steps that the chunk on show took",
    "steps_changed": "how often that has changed, as it does to keep a deadline",
    "clients": "clients that have asked something so far",
    "requests": "different requests",
    "requests_repeated": "requests that came again, clients' signs of life among them",
    "requests_refused": "requests answered by an error",
    "requests_malformed": "messages that were no request",
    "requests_waiting": "requests that wait for the world now",
    "receipts_waiting": "accepted requests that no frame shows yet",
    "frames_sent": "messages with a frame, over all topics",
    "frames_repeated": "of them, sent again for newcomers",
    "frames_skipped": "messages that could not be sent, as when shared memory has no room",
    "topics": "what somebody wants now",
}


def stats(
    address: Where = ADDRESS,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
    keys: Keys = None,
) -> None:
    """Show a server's counters: pace, lateness, requests, frames sent and skipped.

    [bold]Examples[/bold]

      magi-rt stats

      magi-rt stats tcp://192.168.0.7:5590 --keys my-client --json
    """
    with client_of(address, timeout, keys) as client:
        counts = client.stats()
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        for_tables().print(_table(counts))


def _table(counts: dict[str, Any]) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", overflow="fold")
    table.add_column(style="dim")
    for name, value in counts.items():
        table.add_row(escape(name), escape(_shown(value)), _MEANINGS.get(name, ""))
    return table


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
