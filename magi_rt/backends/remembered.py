"""What was computed last, bounded in number and bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """Anything that knows its memory: tensors, text contexts."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Weighed)


class Remembered(Generic[Value]):
    """Results that depend on their key alone; those asked for longest ago are forgotten first.

    Args:
        limit: most results kept, 1 or more.
        limit_bytes: memory they may take together, ``None`` for no bound; the newest result is
            kept however large it is.
    """

    def __init__(self, limit: int, limit_bytes: int | None = None) -> None:
        self.limit, self.limit_bytes = limit, limit_bytes
        self._items: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result of a key, made when it is not remembered."""
        found = self._items.get(key)
        if found is None:
            found = self._items[key] = make()
            self._bytes += found.nbytes
            while len(self._items) > 1 and self._full():
                self._bytes -= self._items.popitem(last=False)[1].nbytes
        self._items.move_to_end(key)
        return found

    def _full(self) -> bool:
        heavy = self.limit_bytes is not None and self._bytes > self.limit_bytes
        return heavy or len(self._items) > self.limit
