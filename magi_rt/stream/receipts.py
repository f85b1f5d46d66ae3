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


class Receipts:
    """The accepted requests whose first frame has not come. One thread uses it."""

    def __init__(self) -> None:
        self._prompts: dict[int, Ticket] = {}
        self._jumps: list[tuple[int, Ticket]] = []

    def __len__(self) -> int:
        return len(self._prompts) + len(self._jumps)

    def expect_prompt(self, prompt: int, ticket: Ticket) -> None:
        """A prompt waits for the first frame that it shapes."""
        self._prompts[prompt] = ticket

    def expect_epoch(self, epoch: int, ticket: Ticket) -> None:
        """A request waits for the first frame of an epoch, or of a later one."""
        self._jumps.append((epoch, ticket))

    def shown(self, prompt: int, epoch: int) -> list[Shown]:
        """The requests that a frame is the first to show; each is returned once."""
        found = [Shown(ticket) for needed, ticket in self._jumps if needed <= epoch]
        self._jumps = [each for each in self._jumps if each[0] > epoch]
        ticket = self._prompts.pop(prompt, None)
        return found if ticket is None else [*found, Shown(ticket, prompt)]

    def drop_prompt(self, prompt: int) -> Ticket | None:
        """Whose prompt it was that will not show; None when that one has been told already."""
        return self._prompts.pop(prompt, None)

    def drop_jumps(self) -> list[Ticket]:
        """Whose jumps will not show, because another one came."""
        dropped = [ticket for _, ticket in self._jumps]
        self._jumps = []
        return dropped

    def drop_all(self) -> list[Ticket]:
        """Everybody who still waits."""
        waiting = [*self._prompts.values(), *self.drop_jumps()]
        self._prompts = {}
        return waiting
