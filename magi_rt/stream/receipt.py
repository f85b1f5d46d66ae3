"""What a client holds of a change that was accepted: the promise of a first frame."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from magi_rt.errors import ServerLostError
from magi_rt.stream.answers import Applied
from magi_rt.stream.link import Asked


class Receipt:
    """A change of the picture that the server has accepted.

    Attributes:
        prompt: the id that frames shaped by it carry; 0 for requests that are no prompt.
    """

    def __init__(self, asked: Asked, prompt: int) -> None:
        assert asked.applied is not None
        self.prompt = prompt
        self._applied: Future[Applied] = asked.applied

    @property
    def done(self) -> bool:
        """True when it shows, or it is known that it will not."""
        return self._applied.done()

    @property
    def future(self) -> Future[Applied]:
        """What :meth:`wait` waits for, for event loops: ``asyncio.wrap_future(receipt.future)``.

        Giving up that wait, as ``asyncio.wait_for`` does, changes nothing here.
        """
        return self._applied

    def wait(self, timeout_s: float = 30.0) -> Applied:
        """The first frame that shows it.

        Raises:
            RemoteError: it will not show: ``superseded`` by a later request, or ``failed``.
            ServerLostError: nothing was heard of it in that time, or the server was restarted.
        """
        try:
            return self._applied.result(timeout_s)
        except FutureTimeout:
            raise ServerLostError(
                f"no frame showed it within {timeout_s:g} s; is the server paused?"
            ) from None
