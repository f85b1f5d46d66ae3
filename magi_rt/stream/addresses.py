"""Addresses of the two sockets: which belongs to which, and which leave this machine."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from contextlib import suppress

from magi_rt.errors import OptionError

DEFAULT_ADDRESS = "tcp://127.0.0.1:5590"
"""Where frames go out unless told otherwise; requests come in on the next port."""

_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:/\[\]]+):(?P<port>\d{1,5}|\*)")
_LAST_PORT = 65535
_EVERYWHERE = ("*", "0.0.0.0", "[::]")


def checked_address(address: object) -> str:
    """The address itself when it is ``tcp://HOST:PORT``, ``ipc://PATH`` or ``inproc://NAME``.

    Raises:
        OptionError: it is something else, or the port is above 65535.
    """
    text = str(address)
    found = _TCP.fullmatch(text)
    local = re.fullmatch(r"(ipc|inproc)://.+", text)
    if found is None and local is None:
        raise OptionError(
            f"address {text!r} cannot be used; write tcp://HOST:PORT or ipc://PATH, as in "
            f"{DEFAULT_ADDRESS}",
            field="address",
        )
    if found is not None and found["port"] != "*" and int(found["port"]) > _LAST_PORT:
        raise OptionError(
            f"address {text!r} has no such port; ports go up to {_LAST_PORT}", field="address"
        )
    return text


def checked_destination(address: object) -> str:
    """The address itself when it can be connected to.

    Raises:
        OptionError: it is no address, or names no port.
    """
    text = checked_address(address)
    if wants_any_port(text):
        raise OptionError(f"address {text} names no port to connect to", field="address")
    return text


def control_address(frames: str) -> str:
    """The control address that belongs to a frames address: the next port, or PATH.control.

    Raises:
        OptionError: it is no address, or there is no next port.
    """
    found = _TCP.fullmatch(checked_address(frames))
    if found is None:
        return f"{frames}.control"
    if found["port"] == "*":
        return frames
    port = int(found["port"]) + 1
    if port > _LAST_PORT:
        raise OptionError(
            f"address {frames!r} has no next port for requests; use one below {_LAST_PORT}",
            field="address",
        )
    return f"tcp://{found['host']}:{port}"


def refuse_taken(address: str) -> None:
    """Raise OptionError when an ``ipc`` path is taken, which libzmq would take away.

    Taken is a path at which somebody listens, and one of a file that is no socket.
    """
    path = address.removeprefix("ipc://")
    if path == address or not hasattr(socket, "AF_UNIX"):
        return
    with suppress(OSError):  # nothing is there
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OptionError(
                f"address {address} is taken: {path} is a file and no socket; choose another path",
                field="address",
            )
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(path)
        except OSError:  # nothing is there, or what a server left behind that died
            return
    raise OptionError(
        f"address {address} is taken: a server listens there; choose another path, or end it",
        field="address",
    )


def socket_file(address: str) -> SocketFile | None:
    """The file of an ``ipc`` address that was just bound, None of others."""
    path = address.removeprefix("ipc://")
    if path == address:
        return None
    try:
        return SocketFile(path, os.lstat(path).st_ino)
    except OSError:  # a name that is no file, as Linux has them
        return None


class SocketFile:
    """What libzmq leaves behind when it lets go of an ``ipc`` address."""

    def __init__(self, path: str, inode: int) -> None:
        self._path, self._inode = path, inode

    def remove(self) -> None:
        """Call it while the socket is open still: afterwards the path may be another server's."""
        with suppress(OSError):
            if os.lstat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def stays_here(address: str) -> bool:
    """True when only this machine can reach the address.

    Names other than localhost count as reachable, since what they mean may change.
    """
    found = _TCP.fullmatch(checked_address(address))
    if found is None or found["host"] == "localhost":
        return True
    try:
        return ipaddress.ip_address(found["host"].strip("[]")).is_loopback
    except ValueError:
        return False


def reachable(address: str) -> str:
    """The address for others to connect to; "" when it is bound to every interface."""
    found = _TCP.fullmatch(address)
    return "" if found is not None and found["host"] in _EVERYWHERE else address


def wants_any_port(address: str) -> bool:
    """True when the system shall choose a port (``tcp://HOST:*`` or port 0)."""
    found = _TCP.fullmatch(address)
    return found is not None and found["port"] in ("*", "0")
