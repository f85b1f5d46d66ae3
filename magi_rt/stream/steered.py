"""A world that is steered from outside: which request shaped which chunk. No threads, no clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from magi_rt.errors import OptionError
from magi_rt.frames import Frame
from magi_rt.stream.seed_pictures import picture_pixels
from magi_rt.stream.shapings import Branch, Saved, Shaping
from magi_rt.stream.snapshot_folder import SnapshotFolder
from magi_rt.world import World
from magi_rt.world.prompt_text import sendable_prompt

FORK_LIMIT = 8
"""Forks kept at once; each costs one copy of the model's memory."""


@dataclass(frozen=True)
class MadeChunk:
    """A chunk of frames and where it belongs.

    Attributes:
        chunk: its number in the world.
        prompt, text: what shaped it; 0 and "" before the first prompt.
        epoch: counts how often the past stopped counting.
        reason: why a new epoch begins with it, "" when none does.
        cut: True when it does not follow what was shown, so that nothing is to be finished first.
    """

    frames: Sequence[Frame]
    chunk: int
    prompt: int
    text: str
    epoch: int
    reason: str
    cut: bool


class SteeredWorld:
    """One world and its other futures, moved by requests. One thread uses it.

    Methods that change the picture return the ids of the prompts that will now never show.

    Attributes:
        world: where the stream is; another object after a reset or a restored fork.
        epoch: of the next chunk.
    """

    def __init__(
        self,
        world: World,
        snapshots: SnapshotFolder,
        *,
        first_prompt: str = "",
        ids: Iterator[int] | None = None,
    ) -> None:
        self.world, self.epoch = world, 0
        self._ids = itertools.count(1) if ids is None else ids
        self._snapshots = snapshots
        self._shapings: tuple[Shaping, ...] = ()
        self._forks: dict[str, Branch] = {}
        self._saved: dict[str, Saved] = {}
        self._reason, self._cut = "", False
        self._opening = self._numbered(first_prompt)
        self._first = self._opening
        self._say_first_prompt()

    def advance(self) -> MadeChunk:
        """The next chunk; errors as in ``World.advance``, then nothing has moved."""
        frames = self.world.advance()
        chunk = self.world.chunks - 1
        shaping = self._shaping(chunk)
        made = MadeChunk(
            frames, chunk, shaping.prompt, shaping.text, self.epoch, self._reason, self._cut
        )
        self._reason, self._cut = "", False
        self._forget_old_shapings()
        return made

    def prompt(self, prompt: int, text: str, at: str) -> list[int]:
        """Leaves a prompt for the next chunk; errors as in ``World.prompt``."""
        self.world.prompt(text, at)
        now = self.world.chunks
        first = now if at == "now" or now == 0 else now + self.world.delay_chunks
        replaced = [each.prompt for each in self._shapings if each.first >= first]
        self._shapings += (Shaping(prompt, text, now, first),)
        return replaced

    def flush(self, unseen: Sequence[MadeChunk]) -> list[int]:
        """Takes chunks back that nobody has seen; a new epoch begins with the next one."""
        self._cut |= any(chunk.cut for chunk in unseen)
        # of a world that keeps no history the chunks are lost, and it goes on after them
        kept = min(len(unseen), self.world.rewindable)
        dropped = self._go_back(kept) if kept else []
        lost = {each.chunk: each.prompt for each in unseen[: len(unseen) - kept]}
        # a prompt whose first chunk is lost has not been seen, and still shapes what follows
        dropped += [each.prompt for each in self._shapings if each.prompt == lost.get(each.first)]
        self._new_epoch("flush", cut=self._cut)
        return dropped

    def rewind(
        self, chunks: int | None, unseen: Sequence[MadeChunk], *, to: int | None = None
    ) -> list[int]:
        """Takes chunks back, counted from the last that was seen.

        Args:
            to: from the chunk of this number on, where ``chunks`` is None.

        Raises:
            OptionError: so many are not remembered.
        """
        most = self.world.rewindable - len(unseen)
        seen = self.world.chunks - len(unseen)
        back = seen - to if to is not None else chunks or 0
        if not 1 <= back <= most:
            wish, choice = f"{back} chunks", f"1 to {most}"
            if to is not None:
                wish, choice = f"to chunk {to}", f"{max(0, seen - most)} to {seen - 1}"
            way_out = f"take {choice}" if most > 0 else "let some be shown first"
            raise OptionError(
                f"cannot rewind {wish}: {seen} were shown, the last {max(0, most)} are "
                f"remembered; {way_out}",
                field="chunks" if to is None else "to",
            )
        dropped = self._go_back(back + len(unseen))
        self._new_epoch("rewind", cut=True)
        return dropped

    def begin_anew(
        self, *, seed: int | None = None, image: bytes | None = None, text: str | None = None
    ) -> list[int]:
        """Goes to the beginning, of another seed or picture where one is given.

        Args:
            text: the prompt of the first chunk, "" for none; ``None`` for the stream's own.

        Raises:
            OptionError, MediaError, PromptError: seed, picture or text cannot be used.
        """
        first = self._opening if text is None else self._numbered(text)
        pixels = None if image is None else picture_pixels(image)
        dropped = self._enter(self.world.anew(seed=seed, image=pixels), ())
        self._first = first
        self._say_first_prompt()
        self._new_epoch("reset" if image is None else "image", cut=True)
        return dropped

    def fork(self, name: str, unseen: int) -> list[str]:
        """Keeps the world as it was after the last chunk that was seen; returns all names.

        Raises:
            OptionError: eight others are kept already.
        """
        if name not in self._forks and len(self._forks) >= FORK_LIMIT:
            raise OptionError(
                f"{FORK_LIMIT} forks are kept already ({', '.join(sorted(self._forks))}); "
                "use one of their names",
                field="name",
            )
        branch = self._seen(unseen)
        if name in self._forks:
            self._forks[name].world.close()
        self._forks[name] = branch
        return sorted(self._forks)

    def take_fork(self, name: str) -> World:
        """A fork, which is forgotten here and whose owner the caller is; any thread may ask.

        Raises:
            OptionError: no fork has that name.
        """
        branch = self._forks.pop(name, None)
        if branch is None:
            raise OptionError(f"there is no fork named {name!r}; fork first", field="name")
        return branch.world

    def snapshot(self, name: str, unseen: int) -> int:
        """Writes the world as it was after the last chunk that was seen; returns the bytes.

        Raises:
            OptionError, SnapshotError: see :meth:`SnapshotFolder.save`.
        """
        branch = self._seen(unseen)
        try:
            size = self._snapshots.save(name, branch.world.snapshot())
        finally:
            branch.world.close()
        self._saved[name] = Saved(self._snapshots.mark(name), branch.shapings, branch.first)
        return size

    def restore(self, name: str) -> list[int] | None:
        """Goes to a fork, or else to a snapshot; None when there is neither.

        A snapshot that another server wrote tells the prompt that held in it, not its id; one of
        the very beginning begins with this stream's own first prompt then.

        Raises:
            SnapshotError: the snapshot is damaged or of another model.
        """
        if name in self._forks:
            branch = self._forks[name]
            dropped = self._enter(branch.world.fork(), branch.shapings)
            self._first = branch.first
        else:
            mark = self._snapshots.mark(name) if self._snapshots.usable else None
            state = self._snapshots.load(name) if mark is not None else None
            if state is None:
                return None
            world = self.world.fork()
            world.restore(state)
            known = self._saved.get(name)
            if known is None or known.mark != mark:
                known = Saved(mark, self._unknown(state.prompt), self._opening)
            dropped = self._enter(world, known.shapings)
            self._first = known.first
        if self.world.chunks == 0:
            self._say_first_prompt()
        self._new_epoch("restore", cut=True)
        return dropped

    def give_up_prompts(self) -> list[int]:
        """Drops the prompts that wait for the next chunk; returns their ids."""
        self.world.drop_prompts()
        return self._keep(self._before(self.world.chunks))

    def close(self) -> None:
        """Lets go of all worlds."""
        for world in (self.world, *(branch.world for branch in self._forks.values())):
            world.close()

    # Which prompt shaped what

    def _shaping(self, chunk: int) -> Shaping:
        nothing = Shaping(0, "", 0, 0)
        return next((each for each in reversed(self._shapings) if each.first <= chunk), nothing)

    def _before(self, chunk: int) -> tuple[Shaping, ...]:
        return tuple(each for each in self._shapings if each.given < chunk)

    def _unknown(self, text: str) -> tuple[Shaping, ...]:
        """A prompt of an earlier run gets an id of this one."""
        return (Shaping(next(self._ids), text, -1, 0),) if text else ()

    def _forget_old_shapings(self) -> None:
        """Keeps what can still shape a chunk, also after the longest rewind."""
        horizon = self.world.chunks - self.world.rewindable
        past = [each for each in self._shapings if each.given < horizon and each.first <= horizon]
        self._shapings = tuple(each for each in self._shapings if each not in past[:-1])

    @property
    def first_prompt(self) -> int:
        """The id of the prompt of the present beginning, 0 where there is none."""
        return 0 if self._first is None else self._first[0]

    def _numbered(self, text: str) -> tuple[int, str] | None:
        return (next(self._ids), sendable_prompt(text)) if text else None

    def _say_first_prompt(self) -> None:
        if self._first is not None:
            self.prompt(*self._first, "next")

    # Where the world is

    def _go_back(self, chunks: int) -> list[int]:
        self.world.rewind(chunks)
        dropped = self._keep(self._before(self.world.chunks))
        if self.world.chunks == 0:
            self._say_first_prompt()
        return dropped

    def _seen(self, unseen: int) -> Branch:
        twin = self.world.fork()
        twin.drop_prompts()
        back = min(unseen, twin.rewindable)
        if back:
            twin.rewind(back)
        return Branch(twin, self._before(twin.chunks), self._first)

    def _enter(self, world: World, shapings: tuple[Shaping, ...]) -> list[int]:
        self.world.close()
        self.world = world
        return self._keep(shapings)

    def _keep(self, shapings: tuple[Shaping, ...]) -> list[int]:
        kept = {each.prompt for each in shapings}
        dropped = [each.prompt for each in self._shapings if each.prompt not in kept]
        self._shapings = shapings
        return dropped

    def _new_epoch(self, reason: str, *, cut: bool) -> None:
        self.epoch += 1
        self._reason, self._cut = reason, cut
