"""What takes long only the first time is told, so that nobody thinks it hangs."""

from __future__ import annotations

import logging
import sys

EXECUTORS = "magi_rt.backends"
CONVERSIONS = "magi_rt.backends.graph_runner"
"""The loggers of all executors, and of those that convert networks for a processor."""


class FirstTime(logging.Handler):
    """Says on stderr what executors tell; of conversions, which come by the graph, only once."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._said = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO or record.name != CONVERSIONS:
            self._say(record.getMessage())
        elif not self._said:
            self._said = True
            self._say("the networks are converted for this processor, once; it takes some seconds")

    @staticmethod
    def _say(words: str) -> None:
        # a progress bar puts itself in the place of sys.stderr, so it is looked up now
        print(f"magi-rt: {words}", file=sys.stderr, flush=True)


def tell_of_conversions() -> None:
    """From now on this process tells people on stderr when networks are converted or built."""
    logger = logging.getLogger(EXECUTORS)
    if not any(isinstance(handler, FirstTime) for handler in logger.handlers):
        logger.addHandler(FirstTime())
    logger.setLevel(logging.INFO)
