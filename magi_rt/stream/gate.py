"""Which frames count: the first three rules of a reader, without a socket or a clock."""

from __future__ import annotations

from collections import deque

from magi_rt.stream.wire import FrameHeader

REMEMBERED_STREAMS = 16


class Gate:
    """Lets frames pass that are of the present stream, of its newest epoch, and new.

    Attributes:
        stream: the present one, "" before anything was heard.
        epoch: the newest one heard of in this stream.
        seq: of the last frame let through, 0 for none.
    """

    def __init__(self) -> None:
        self.stream = ""
        self.epoch = 0
        self.seq = 0
        self._ended: deque[str] = deque(maxlen=REMEMBERED_STREAMS)

    def hear(self, stream: str, epoch: int) -> bool:
        """Takes note of a stream and an epoch, from a frame, an event or a receipt.

        A stream that was never heard of is a restarted server: all of the old one is forgotten,
        and nothing of it counts any more.

        Returns:
            False when the stream has ended already.
        """
        if stream != self.stream:
            if stream in self._ended:
                return False
            if self.stream:
                self._ended.append(self.stream)
            self.stream, self.epoch, self.seq = stream, epoch, 0
        self.epoch = max(self.epoch, epoch)
        return True

    def refuses(self, header: FrameHeader) -> str:
        """Why a frame does not count (``stream``, ``epoch`` or ``seq``), "" when it does."""
        if not self.hear(header.stream, header.epoch):
            return "stream"
        if header.epoch < self.epoch:
            return "epoch"
        if header.seq <= self.seq:
            return "seq"
        self.seq = header.seq
        return ""
