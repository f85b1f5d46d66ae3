"""The memory of answers: a request that comes again is answered again, not done again."""

from __future__ import annotations

from collections import Counter, OrderedDict

CLIENTS = 64
REQUESTS = 256
"""Requests remembered of each of the last ``CLIENTS`` clients."""

ANSWER_BYTES = 32 * 2**20
"""What all remembered answers take together; the client with most forgets its oldest first."""


class Answered:
    """What was answered to the last requests of the last clients.

    One thread uses it. A request counts as known from ``begin`` on, also while it has no answer.
    """

    def __init__(
        self, clients: int = CLIENTS, requests: int = REQUESTS, most_bytes: int = ANSWER_BYTES
    ) -> None:
        self._clients, self._requests, self._most_bytes = clients, requests, most_bytes
        self._bytes: Counter[str] = Counter()
        self._memory: OrderedDict[str, OrderedDict[int, list[bytes]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(requests) for requests in self._memory.values())

    def answers(self, client: str, number: int) -> list[bytes] | None:
        """The answers so far of a known request, oldest first; None for a new one.

        Whoever asks for one again is among the last clients, also if it asks for nothing new.
        """
        requests = self._memory.get(client)
        if requests is None or number not in requests:
            return None
        self._memory.move_to_end(client)
        return list(requests[number])

    def begin(self, client: str, number: int) -> None:
        """Remembers a new request; the oldest ones beyond the limits are forgotten."""
        requests = self._memory.setdefault(client, OrderedDict())
        self._memory.move_to_end(client)
        requests[number] = []
        if len(requests) > self._requests:
            self._forget_oldest(client)
        if len(self._memory) > self._clients:
            forgotten, _ = self._memory.popitem(last=False)
            del self._bytes[forgotten]

    def keep(self, client: str, number: int, answer: bytes) -> None:
        """Remembers one more answer of a request, if the request is still known."""
        requests = self._memory.get(client)
        if requests is None or number not in requests:
            return
        requests[number].append(answer)
        self._bytes[client] += len(answer)
        while self._bytes.total() > self._most_bytes:
            self._forget_oldest(self._bytes.most_common(1)[0][0])

    def forget(self, client: str, number: int) -> None:
        """A request that was turned away may come again as a new one."""
        requests = self._memory.get(client)
        if requests is not None:
            self._bytes[client] -= _size(requests.pop(number, []))

    def _forget_oldest(self, client: str) -> None:
        self._bytes[client] -= _size(self._memory[client].popitem(last=False)[1])


def _size(answers: list[bytes]) -> int:
    return sum(len(answer) for answer in answers)
