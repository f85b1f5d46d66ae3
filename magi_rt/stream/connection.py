"""What libzmq tells of a client's connection: whether it stands, and if not, why."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

_REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)


class Connection:
    """Watches one socket, from before it is connected. One thread uses it.

    Args:
        keyed: the socket has keys.

    Attributes:
        monitor: the socket to be polled for input by a caller that calls ``look`` then.
        up: the other end has let this one in.
        why: what stood in the way last, as a question or a piece of advice.
    """

    def __init__(self, socket: zmq.Socket[bytes], *, keyed: bool) -> None:
        self._socket, self._keyed = socket, keyed
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(_EVENTS)
        self.up = False
        self.why = "is a server running there?"

    def look(self) -> bool:
        """Takes in what has happened; True when the connection broke meanwhile."""
        broke = False
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.up, self.why = True, "a server is there, but busy or gone meanwhile"
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.why = (
                    "the server is there, but does not know this client's key; it lets those in "
                    "whose key lies in the folder 'allowed' of its keys"
                )
            elif event in _REFUSED:
                self.why = self._other_keys
            else:
                self.up, broke = False, True
        return broke

    @property
    def _other_keys(self) -> str:
        if self._keyed:
            return (
                "a server is there, but does not accept these keys: it is another one than they "
                "were made for, or one without keys"
            )
        return (
            "a server is there that wants keys, and it does not know this client's key: give the "
            "client's folder, made by magi-rt keys, with --keys"
        )

    def close(self) -> None:
        """Ends the watch; the socket stays open."""
        self._socket.disable_monitor()
        self.monitor.close()
