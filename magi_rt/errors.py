"""The errors a caller can act on: each message says the value, the limit and the way out."""

from __future__ import annotations


class MagiError(Exception):
    """Base of every error that magi_rt raises on purpose.

    Attributes:
        message: one sentence for a person.
        field: the name of the offending argument, config key or tensor, where there is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class ConfigError(MagiError):
    """A configuration has an unknown, missing, wrongly typed or contradictory key."""


class CheckpointError(MagiError):
    """A model folder or a weight file is absent, damaged or belongs to another model."""


class ShapeError(MagiError):
    """A tensor or picture has a size the model cannot take."""


class PromptError(MagiError):
    """A prompt cannot be encoded."""


class MediaError(MagiError):
    """A picture or video file cannot be read or written."""


class SnapshotError(MagiError):
    """A snapshot is damaged, too new, or was taken of another model."""


class ClosedWorldError(MagiError):
    """A world was used after it had been closed."""


class BackendError(MagiError):
    """An executor is unavailable on this machine or failed while running."""


class OptionError(MagiError):
    """An option is unknown or outside its allowed range."""


class RemoteError(MagiError):
    """A server refused a request, or could not do it.

    Attributes:
        code: one of the codes in docs/protocol.md: ``refused``, ``superseded``, ...
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ServerLostError(MagiError):
    """No answer came in time, or the server that had accepted a request is no more."""
