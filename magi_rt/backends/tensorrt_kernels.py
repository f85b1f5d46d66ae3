"""The kernels that TensorRT for RTX makes on a card when it loads an engine, kept beside the plan.

An engine of TensorRT for RTX holds no kernels for its card: they are made when it is loaded, anew
in every process unless they are kept. The runtime checks what it is given back (its own version,
card and driver), so kernels of another state are made again and take the old ones' place.

Not run on a card yet; tested with a stand-in for the runtime.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from magi_rt.errors import MediaError
from magi_rt.whole_files import write_whole

KERNELS = "kernels"

logger = logging.getLogger(__name__)


class KeptKernels:
    """The file with one plan's kernels for one kind of card.

    Args:
        plan: the plan's folder.
        card: the card's name; cards of one capability share plans, not kernels.
    """

    def __init__(self, plan: Path, card: str) -> None:
        self.path = plan / KERNELS / (re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-") + ".bin")
        self._cache: Any = None
        self._kept = b""

    def lend(self, config: Any) -> None:
        """Let contexts of this runtime configuration use what is kept, and add to it.

        Nothing is done for TensorRT, whose engines hold their kernels.
        """
        if not hasattr(config, "create_runtime_cache"):
            return
        cache = config.create_runtime_cache()
        with suppress(OSError):  # for one, nothing is kept yet
            found = self.path.read_bytes()
            if cache.deserialize(found):
                self._kept = found
            else:
                logger.info("the kernels in %s are of another state; they are made anew", self.path)
        config.set_runtime_cache(cache)
        self._cache = cache

    def keep(self) -> None:
        """Write the kernels down if there are new ones; a folder that refuses is only told."""
        if self._cache is None:
            return
        made = bytes(memoryview(self._cache.serialize()))
        if made == self._kept:
            return
        try:
            self.path.parent.mkdir(exist_ok=True)
            write_whole(self.path, lambda stream: stream.write(made))
        except (MediaError, OSError) as error:
            logger.info("%s; kernels are made anew next time", error)
        self._kept = made
