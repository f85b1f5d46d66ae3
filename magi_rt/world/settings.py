"""What options come to on a model: plain arithmetic, so it is known before weights are read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from magi_rt.checkpoints.layout import BUILT_IN, resolve
from magi_rt.config import MagiConfig
from magi_rt.errors import CheckpointError, SnapshotError
from magi_rt.models.vae_config import VAEConfig
from magi_rt.sampling.schedule import SamplerConfig
from magi_rt.world.deadline import allowed_steps
from magi_rt.world.identity import config_digits
from magi_rt.world.options import WorldOptions, fitted_size
from magi_rt.world.run_log import RunLog

DUMMY = "dummy"
"""The model that lies in no folder and is opened at once."""


@dataclass(frozen=True)
class Settings:
    """Options with the model's own values where nothing was wished.

    Attributes:
        sampler: how the stream is sampled.
        allowed: step counts that a world which adapts may take; none for others.
        size: (height, width) of the pictures in pixels.
    """

    sampler: SamplerConfig
    allowed: tuple[int, ...]
    size: tuple[int, int]

    @classmethod
    def of(cls, config: MagiConfig, picture_multiple: int, options: WorldOptions) -> Settings:
        """What a model makes of options.

        Args:
            picture_multiple: picture sides must be multiples of this many pixels.

        Raises:
            OptionError: the model cannot run with them.
        """
        runtime = config.runtime
        sampler = SamplerConfig.from_config(config, options.steps, options.window, options.depth)
        sampler.memory_depth()  # refuses a memory without end
        allowed = allowed_steps(config, sampler.window, options.adapt, options.steps)
        wish = options.size or (runtime.video_size_h, runtime.video_size_w)
        return cls(sampler, allowed, fitted_size(wish, picture_multiple))


def check_options(model: str, options: WorldOptions) -> None:
    """Refuses options that a model cannot run with, so that nobody waits for its weights.

    Raises:
        OptionError: it cannot.
        CheckpointError, ConfigError: the model is not there, or its configuration is wrong.
    """
    if model == DUMMY:
        return
    found = resolve(model)
    assert found.vae is not None
    patch = VAEConfig.from_file(found.vae / "config.json").patch_size
    Settings.of(found.config, patch * found.config.model.patch_size, options)


def model_of(log: RunLog, model: str | None) -> str:
    """The model that a log is to be replayed by, where its configuration is the log's.

    Args:
        model: where it is now; ``None``: where the log says.

    Raises:
        SnapshotError: it has another configuration than the one that made the log.
        CheckpointError: it is not there; for a log's own the message says how to name another.
    """
    place = log.model if model is None else model
    if place == DUMMY:
        return place
    try:
        config = resolve(place).config
    except CheckpointError as error:
        if model is not None or place in BUILT_IN:
            raise
        raise CheckpointError(
            f"the log was made by the model {place!r}, which cannot be opened from here "
            f"({error.message}); say where it is now by model=FOLDER",
            field="model",
        ) from error
    if (digits := config_digits(config)) != log.identity.config:
        raise SnapshotError(
            f"the log was made by model {log.identity}, but {place!r} has configuration {digits}; "
            "give the model it was made by as model=FOLDER",
            field="model",
        )
    return place


def replayed_options(log: RunLog, wishes: dict[str, str | None]) -> WorldOptions:
    """The log's options, some of them otherwise.

    On another backend or device everything of the kind that is not wished becomes "auto", as the
    log's own may not be there.

    Args:
        wishes: backend, device, dtype and attention; ``None`` is no wish.
    """
    own = log.options
    named = {name: value for name, value in wishes.items() if value is not None}
    if named.get("backend", own.backend) != own.backend:
        named = {"device": "auto", "dtype": "auto", "attention": "auto", **named}
    elif named.get("device", own.device) != own.device:
        named = {"attention": "auto", **named}
    return replace(own, **named)  # type: ignore[arg-type]
