"""Who waits for which frame: every accepted change of the picture is told once that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Ticket(NamedTuple):
    """One request of one client."""

    client: str
    id: int


@dataclass(frozen=True)
class Shown:
    """A request that a frame shows; ``prompt`` is the prompt's id, 0 for other requests."""

    ticket: Ticket
    prompt: int = 0


class _Jump(NamedTuple):
    epoch: int
    ticket: Ticket
    prompt: int


class Receipts:
    """The accepted requests whose first frame has not come. One thread uses it."""

    def __init__(self) -> None:
        self._prompts: dict[int, Ticket] = {}
        self._jumps: list[_Jump] = []

    def __len__(self) -> int:
        return len(self._prompts) + len(self._jumps)

    def expect_prompt(self, prompt: int, ticket: Ticket) -> None:
        """A prompt waits for the first frame that it shapes."""
        self._prompts[prompt] = ticket

    def expect_epoch(self, epoch: int, ticket: Ticket, prompt: int = 0) -> None:
        """A request waits for the first frame of an epoch, or of a later one.

        Args:
            prompt: the id of the prompt that it brought along, 0 for none.
        """
        self._jumps.append(_Jump(epoch, ticket, prompt))

    def shown(self, prompt: int, epoch: int) -> list[Shown]:
        """The requests that a frame is the first to show; each is returned once."""
        found = [Shown(each.ticket) for each in self._jumps if each.epoch <= epoch]
        self._jumps = [each for each in self._jumps if each.epoch > epoch]
        ticket = self._prompts.pop(prompt, None)
        return found if ticket is None else [*found, Shown(ticket, prompt)]

    def drop_prompt(self, prompt: int, jumps: bool = True) -> Ticket | None:
        """Whose prompt it was that will not show; None when that one has been told already.

        Args:
            jumps: a request that brought the prompt along will not show either.
        """
        for jump in self._jumps:
            if jumps and prompt and jump.prompt == prompt:
                self._jumps.remove(jump)
                return jump.ticket
        return self._prompts.pop(prompt, None)

    def drop_jumps(self) -> list[Ticket]:
        """Whose jumps will not show, because another one came."""
        dropped = [each.ticket for each in self._jumps]
        self._jumps = []
        return dropped

    def drop_all(self) -> list[Ticket]:
        """Everybody who still waits."""
        waiting = [*self._prompts.values(), *self.drop_jumps()]
        self._prompts = {}
        return waiting
