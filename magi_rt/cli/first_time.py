"""What takes long only the first time is told, so that nobody thinks it hangs."""

from __future__ import annotations

import logging
import sys

CONVERSIONS = "magi_rt.backends.graph_runner"
"""The logger that tells of networks that are being converted."""


class FirstTime(logging.Handler):
    """Says on stderr, once, that networks are being converted; warnings are passed on."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._said = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            self._say(record.getMessage())
        elif not self._said:
            self._said = True
            self._say("the networks are converted for this processor, once; it takes some seconds")

    @staticmethod
    def _say(words: str) -> None:
        # a progress bar puts itself in the place of sys.stderr, so it is looked up now
        print(f"magi-rt: {words}", file=sys.stderr, flush=True)


def tell_of_conversions() -> None:
    """From now on this process tells people on stderr when networks are converted."""
    logger = logging.getLogger(CONVERSIONS)
    if not any(isinstance(handler, FirstTime) for handler in logger.handlers):
        logger.addHandler(FirstTime())
    logger.setLevel(logging.INFO)
