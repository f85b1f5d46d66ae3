"""CURVE keys: who may connect when a server is reached from other machines.

Keys are Z85 text of 40 characters, in files of ZeroMQ's own certificate format. A folder made by
:func:`make_keys` holds::

    server.key  server.key_secret      of the server; the secret one stays there
    allowed/NAME.key                   public keys of the clients that are let in
    clients/NAME/                      to be copied to that client: client.key,
                                       client.key_secret and server.key
"""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import zmq
import zmq.auth

from magi_rt.errors import OptionError
from magi_rt.stream.addresses import stays_here

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a client may be called."""

_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_log = logging.getLogger("magi_rt.stream")


@dataclass(frozen=True)
class ServerKeys:
    """What a server proves itself with, and whom it lets in.

    Attributes:
        public, secret: Z85.
        allowed: public keys of clients, or the folder of their ``.key`` files; the folder is read
            at every connection, so a client can be let in or shut out while the server runs.

    Raises:
        OptionError: a key is no Z85 text of 40 characters, or the folder does not exist.
    """

    public: str
    secret: str = field(repr=False)
    allowed: Path | frozenset[str]

    def __post_init__(self) -> None:
        _check_key("public", self.public)
        _check_key("secret", self.secret)
        if isinstance(self.allowed, Path):
            if not self.allowed.is_dir():
                raise OptionError(
                    f"{self.allowed} is no folder; make it with: magi-rt keys", field="allowed"
                )
        else:
            for key in self.allowed:
                _check_key("allowed", key)

    @classmethod
    def load(cls, folder: str | Path) -> ServerKeys:
        """The keys of a folder made by :func:`make_keys`; OptionError when they are not there."""
        folder = Path(folder)
        public, secret = _read_pair(folder / "server.key_secret")
        return cls(public, secret, folder / "allowed")

    def allows(self, key: str) -> bool:
        """True when the client with this public key may connect; never raises."""
        if not isinstance(self.allowed, Path):
            return key in self.allowed
        return any(_public_of(path) == key for path in sorted(self.allowed.glob("*.key")))


@dataclass(frozen=True)
class ClientKeys:
    """What a client proves itself with, and the public key of its server; all Z85.

    Raises:
        OptionError: a key is no Z85 text of 40 characters.
    """

    public: str
    secret: str = field(repr=False)
    server: str

    def __post_init__(self) -> None:
        for name in ("public", "secret", "server"):
            _check_key(name, getattr(self, name))

    @classmethod
    def load(cls, folder: str | Path) -> ClientKeys:
        """The keys of a folder ``clients/NAME``; OptionError when they are not there."""
        folder = Path(folder)
        public, secret = _read_pair(folder / "client.key_secret")
        server = _public_of(folder / "server.key")
        if server is None:
            raise OptionError(
                f"{folder / 'server.key'} is absent or no key file; copy the whole client folder "
                "that magi-rt keys made",
                field="keys",
            )
        return cls(public, secret, server)


def make_keys(folder: str | Path, clients: tuple[str, ...] = ("client",)) -> list[Path]:
    """Makes a server's keys and those of its clients; what exists already stays as it is.

    A client that is allowed keeps its key, wherever its folder is now. One that was shut out is let
    in again under the key of its folder, or gets a new one where that folder is not here.

    Args:
        clients: names, 1 to 64 of ``A-Z a-z 0-9 _ -``.

    Returns:
        The files written.

    Raises:
        OptionError: a name is not allowed.
        OSError: the folder cannot be written to.
    """
    for name in clients:
        if NAME.fullmatch(name) is None:
            raise OptionError(
                f"client name {name!r} cannot be used; take 1 to 64 of A-Z a-z 0-9 _ -",
                field="client",
            )
    folder = Path(folder)
    written: list[Path] = []
    if not (folder / "server.key_secret").exists():
        written += _write_pair(folder, "server")
    server = folder / "server.key"
    (folder / "allowed").mkdir(exist_ok=True)
    for name in clients:
        home, allowed = folder / "clients" / name, folder / "allowed" / f"{name}.key"
        if allowed.exists():
            continue
        copies = [(home / "client.key", allowed)]
        if not (home / "client.key").exists():
            written += _write_pair(home, "client")
            copies.append((server, home / "server.key"))
        for source, target in copies:
            target.write_bytes(source.read_bytes())
            written.append(target)
    return written


def refuse_open_door(address: str, keys: ServerKeys | None) -> None:
    """Raise OptionError when a server would be reached from elsewhere and has no keys."""
    if keys is None and not stays_here(address):
        raise OptionError(
            f"address {address} can be reached from other machines, and there are no keys to tell "
            "who may connect; make some with magi-rt keys DIR and give --keys DIR, or bind to "
            "127.0.0.1",
            field="keys",
        )


class Guard:
    """A socket's part in the doorkeeper of its context; ``release`` it before the context ends."""

    def __init__(self, door: _Door, domain: str) -> None:
        self._door, self._domain = door, domain

    def release(self) -> None:
        """Lets nobody new in at this socket; the last one released ends the doorkeeper."""
        with _doors_lock:
            self._door.remove(self._domain)


def guard_server(socket: zmq.Socket[bytes], keys: ServerKeys | None) -> Guard | None:
    """Lets only clients with allowed keys connect to a socket; call it before ``bind``.

    Returns:
        What to ``release`` when the socket is closed; None without keys (nothing is guarded).
    """
    if keys is None:
        return None
    with _doors_lock:
        door = _doors.get(socket.context)
        if door is None or not door.open:
            door = _doors[socket.context] = _Door(socket.context)
        domain = door.add(keys)
    socket.curve_server = 1
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()
    socket.zap_domain = domain.encode()
    # without it a doorkeeper that died would leave the door open
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return Guard(door, domain)


def guard_client(socket: zmq.Socket[bytes], keys: ClientKeys | None) -> None:
    """Makes a socket prove itself by a client's keys; call it before ``connect``."""
    if keys is None:
        return
    socket.curve_serverkey = keys.server.encode()
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()


class _Door:
    """The one doorkeeper that a context can have: a thread that is asked about every client."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._keys: dict[str, ServerKeys] = {}
        self._count = 0
        from zmq.auth.thread import ThreadAuthenticator  # brings asyncio: only where a door is kept

        self._keeper = ThreadAuthenticator(context)
        self._keeper.start()
        self.open = True

    def add(self, keys: ServerKeys) -> str:
        """Starts to guard one more socket; returns the name that its clients are asked under."""
        self._count += 1
        domain = f"magi_rt-{self._count}"
        self._keys[domain] = keys
        self._keeper.configure_curve_callback(domain, self)
        return domain

    def remove(self, domain: str) -> None:
        self._keys.pop(domain, None)
        if self.open and not self._keys:
            self.open = False
            self._keeper.stop()
            _doors.pop(self._keeper.context, None)  # which the keeper would hold for ever

    def callback(self, domain: str, key: bytes) -> bool:
        """Asked by the authenticator on its own thread; an exception would end that thread."""
        try:
            keys = self._keys.get(domain)
            known = keys is not None and keys.allows(key.decode("ascii"))
        except Exception:
            _log.exception("a client's key could not be checked; it is not let in")
            return False
        if not known:
            _log.warning("a client with the unknown key %s was not let in", key.decode("ascii"))
        return known


_doors: WeakKeyDictionary[zmq.Context[zmq.Socket[bytes]], _Door] = WeakKeyDictionary()
_doors_lock = threading.Lock()


def _check_key(name: str, key: object) -> None:
    if not isinstance(key, str) or _Z85.fullmatch(key) is None:
        raise OptionError(
            f"the {name} key is no Z85 text of 40 characters; magi-rt keys makes good ones",
            field=name,
        )


def _public_of(path: Path) -> str | None:
    """The public key of a key file, None when it is no such file."""
    try:
        public, _ = zmq.auth.load_certificate(path)
        return public.decode("ascii")
    except (OSError, ValueError):
        return None


def _read_pair(path: Path) -> tuple[str, str]:
    if not path.exists():
        wanted = "DIR/clients/NAME" if path.name.startswith("client") else "DIR"
        raise OptionError(
            f"there is no {path}; --keys wants here the folder {wanted} of those that "
            "magi-rt keys DIR makes",
            field="keys",
        )
    try:
        public, secret = zmq.auth.load_certificate(path)
        if secret is None:
            raise ValueError("it holds no secret key")
        return public.decode("ascii"), secret.decode("ascii")
    except (OSError, ValueError) as error:
        raise OptionError(
            f"{path} cannot be used as a key file ({error}); make one with: magi-rt keys DIR",
            field="keys",
        ) from error


def _write_pair(folder: Path, name: str) -> list[Path]:
    """``NAME.key`` for everybody and ``NAME.key_secret`` for the owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    head = "metadata\ncurve\n"
    open_file, secret_file = folder / f"{name}.key", folder / f"{name}.key_secret"
    open_file.write_text(f'{head}    public-key = "{public}"\n', encoding="ascii")
    handle = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f'{head}    public-key = "{public}"\n    secret-key = "{secret}"\n')
    return [open_file, secret_file]
