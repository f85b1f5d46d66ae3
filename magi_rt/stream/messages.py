"""Requests on their way: packed by clients, unpacked and checked by the server."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import msgpack

from magi_rt.errors import MagiError
from magi_rt.stream.requests import (
    BODIES,
    CLIENT,
    ID_LIMIT,
    IMAGE_REQUEST_BYTES,
    REQUEST_BYTES,
    VERSION,
    Body,
    Hello,
    Image,
    Request,
    Rewind,
    Set,
)
from magi_rt.stream.unpack import WireError, bounded_unpack

CODES = (
    "malformed", "version", "unknown_type", "refused", "too_large", "not_found", "busy",
    "superseded", "failed",
)  # fmt: skip
"""Codes of errors, as docs/protocol.md lists them."""


class RequestError(MagiError):
    """A request that is answered by an error.

    Attributes:
        code: one of ``CODES``.
        client, id: of the request, "" and 0 where none could be read.
    """

    def __init__(self, code: str, message: str, *, client: str = "", id: int = 0) -> None:
        super().__init__(message)
        self.code, self.client, self.id = code, client, id


def pack_request(request: Request) -> bytes:
    """A request as it is sent; values that are None or empty by default are left out."""
    body = request.body
    values = {
        each.name: getattr(body, each.name)
        for each in fields(body)
        if getattr(body, each.name) != each.default
    }
    head = {"version": VERSION, "client": request.client, "id": request.id, "type": body.kind}
    return bytes(msgpack.packb({**head, **values}))


def unpack_request(data: bytes) -> Request:
    """The request in a message.

    Raises:
        RequestError: why not, with client and id where they can be read.
    """
    try:
        values = bounded_unpack(data, IMAGE_REQUEST_BYTES)
    except WireError as error:
        raise RequestError(error.code, error.message) from error
    client, number = _sender(values)
    try:
        return Request(client, number, _body(values, len(data)))
    except RequestError as error:
        raise RequestError(error.code, error.message, client=client, id=number) from error


def _sender(values: dict[str, Any]) -> tuple[str, int]:
    """Takes client and id out of the map."""
    number = values.pop("id", None)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= ID_LIMIT:
        raise RequestError("malformed", "id must be a whole number from 1 to 2**53")
    client = values.pop("client", None)
    if not isinstance(client, str) or CLIENT.fullmatch(client) is None:
        raise RequestError(
            "malformed", "client must be 1 to 64 printable ASCII characters", id=number
        )
    return client, number


def _body(values: dict[str, Any], size: int) -> Body:
    version, kind = values.pop("version", None), values.pop("type", None)
    if isinstance(version, bool) or not isinstance(version, int):
        raise RequestError("malformed", "version must be a whole number")
    if version != VERSION:
        raise RequestError("version", f"version {version} is not spoken here, {VERSION} is")
    if not isinstance(kind, str):
        raise RequestError("malformed", "type must be text")
    shape = BODIES.get(kind)
    if shape is None:
        raise RequestError(
            "unknown_type", f"no request is called {kind[:40]!r}; there are {', '.join(BODIES)}"
        )
    if shape is not Image and size > REQUEST_BYTES:
        raise RequestError(
            "too_large", f"the request has {size:,} bytes; {kind} takes at most {REQUEST_BYTES:,}"
        )
    return _checked(shape, values)


def _checked(shape: type[Body], values: dict[str, Any]) -> Body:
    for key in values:
        if key not in shape.rules:
            known = ", ".join(shape.rules) or "none"
            raise RequestError(
                "refused", f"{shape.kind} has no key {str(key)[:40]!r}; its keys: {known}"
            )
    given = {}
    for key, value in values.items():
        try:
            given[key] = shape.rules[key].check(key, value)
        except TypeError as error:
            raise RequestError("malformed", str(error)) from error
        except ValueError as error:
            raise RequestError("refused", str(error)) from error
    for each in fields(shape):
        if each.default is MISSING and each.name not in given:
            raise RequestError("malformed", f"{shape.kind} needs the key {each.name!r}")
    body = shape(**given)
    _check_whole_body(body)
    return body


def _check_whole_body(body: Body) -> None:
    """Raise RequestError where keys that are fine each by itself do not make a request."""
    if body == Set():
        raise RequestError("refused", "set needs at least one of fps, format, quality")
    if isinstance(body, Rewind) and (body.chunks is None) == (body.to is None):
        raise RequestError(
            "malformed" if body.to is None else "refused",
            "rewind needs one of the keys 'chunks' and 'to'",
        )
    if isinstance(body, Hello) and VERSION not in body.versions:
        raise RequestError(
            "version", f"versions {list(body.versions)} are not spoken here, {VERSION} is"
        )
