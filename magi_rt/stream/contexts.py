"""The end of a ZeroMQ context, which must not be able to hold a program up."""

from __future__ import annotations

import logging
import threading

import zmq

LIMIT_S = 5.0
"""Longest wait for libzmq; sockets linger for less than a second."""

_log = logging.getLogger("magi_rt.stream")


def end_context(context: zmq.Context[zmq.Socket[bytes]], linger_ms: int | None = None) -> bool:
    """Ends a context that nobody uses any more; its threads go on their own if that takes long.

    libzmq was seen to wait for ever for a connection that broke while it was being closed, all
    sockets closed and nothing left to send. What is lost then is a thread and a few kilobytes.

    Args:
        linger_ms: sockets that are still open are closed and linger for so long; None: there are
            none.

    Returns:
        False when it was given up on.
    """
    ending = threading.Thread(
        target=context.term if linger_ms is None else lambda: context.destroy(linger=linger_ms),
        name="magi_rt end of a context",
        daemon=True,
    )
    ending.start()
    ending.join(LIMIT_S)
    if ending.is_alive():
        _log.warning("libzmq did not end within %g s; it is left behind", LIMIT_S)
    return not ending.is_alive()
