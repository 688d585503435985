"""Memories: which past frames a method may read. They know nothing about matching; entries are opaque to them."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from vosbench.contract import Entry, V
from vosbench.ops.tokens import Usage
from vosbench.settings.checks import below, refuse
from vosbench.util.errors import UserError


class Memory(Protocol[V]):
    """The interface of memories. `FrameMemory` keeps whole frames, `TokenBank` the tokens of all frames."""

    def references(self, index: int) -> tuple[Entry[V], ...]:
        """The entries that query `index` may read."""

    def note_usage(self, usage: Sequence[Usage | None]) -> None:
        """Receives how many queries attended to each token of these references, from methods that count it."""

    def add(self, entry: Entry[V]) -> None:
        """Adds a frame's entry."""

    def replace(self, change: Callable[[V], V]) -> None:
        """Applies `change` to every stored value: an object has started, and old frames need a channel for it."""

    def forget(self, objects: Sequence[int]) -> None:
        """These objects (by their places) were removed and are given again: what is kept of them holds no more."""


class FrameMemory(Generic[V]):
    """Keeps entries of past frames under a policy. A frame is dropped as soon as no later query can need it.

    Frames are counted from the first one with a mask. The references of query t, without duplicates and in time order,
    are:

    first       all frames with a given mask
    long        frames with these numbers, once they have passed (MAMP: 0 and 5)
    recent      the frames t - offset (MAMP: 1, 3 and 5)
    every       every n-th frame (STM: 5); null: none
    last_n      the last n frames (mask embedding: 20)
    max_frames  most references. Frames with given masks have priority, then `recent` in the order listed, `last_n`,
                `long` and the newest of `every`. null: 20 with `every`, which would grow with the video; else no limit
    prefilled   while there are fewer than `last_n` frames after frame 0, copies of frame 0 replace the missing ones, as
                in CRW. The copies compete in the choice of best candidates, and count as frames without a given mask
    first_again while frame 0 is one of the last `last_n` frames, it is a reference twice, as in VFS

    Raises UserError naming options that make no sense.
    """

    def __init__(
        self,
        *,
        first: bool = True,
        long: Sequence[int] = (),
        recent: Sequence[int] = (),
        every: int | None = None,
        last_n: int = 0,
        max_frames: int | None = None,
        prefilled: bool = False,
        first_again: bool = False,
    ) -> None:
        self.first, self.long, self.recent, self.every, self.last_n = first, tuple(long), tuple(recent), every, last_n
        self.max_frames = 20 if max_frames is None and every else max_frames
        self.prefilled, self.first_again = prefilled, first_again
        lists = [
            f"{key}={list(frames)}: give {least} or more"
            for key, frames, least in (("long", long, 0), ("recent", recent, 1))
            if any(frame < least for frame in frames)
        ]
        refuse("memory", [*lists, *below(1, every=every, max_frames=max_frames), *below(0, last_n=last_n)])
        if not (first or 0 in self.long or 1 in self.recent or every or last_n):
            raise UserError("memory has nothing for the second frame: set memory.first=true, or put 1 in memory.recent")
        for name in [name for name, wanted in (("prefilled", prefilled), ("first_again", first_again)) if wanted]:
            if not (first and last_n):
                raise UserError(f"memory.{name}=true needs frame 0 and room: set memory.first=true and memory.last_n")
        self._entries: dict[int, Entry[V]] = {}

    def references(self, index: int) -> tuple[Entry[V], ...]:
        """The entries that query `index` may read."""
        found = tuple(self._entries[i] for i in self._wanted(index))
        if index > self.last_n or 0 not in self._entries:
            return found
        copies = self.last_n + 1 - index if self.prefilled else int(self.first_again)
        return (*found, *[Entry(0, False, self._entries[0].value)] * copies)

    def note_usage(self, usage: Sequence[Usage | None]) -> None:
        """Does nothing: frames are kept or dropped by their index, not by their usage."""

    def add(self, entry: Entry[V]) -> None:
        self._entries[entry.index] = entry
        horizon = max((1, *self.recent, self.last_n))
        needed = {i for query in range(entry.index + 1, entry.index + 1 + horizon) for i in self._wanted(query)}
        soon = set(self.long) | set(self._every(entry.index + 1))
        self._entries = {i: kept for i, kept in self._entries.items() if i in needed or i in soon}

    def replace(self, change: Callable[[V], V]) -> None:
        """Applies `change` to the value of every frame kept: an object has started, and old frames need a channel for
        it."""
        self._entries = {i: Entry(entry.index, entry.given, change(entry.value)) for i, entry in self._entries.items()}

    def forget(self, objects: Sequence[int]) -> None:
        """Does nothing: frames from before an object's new start are not read for it."""

    def _wanted(self, index: int) -> list[int]:
        given = [i for i, entry in self._entries.items() if self.first and entry.given]
        others = [
            *(index - offset for offset in self.recent),
            *range(index - 1, index - 1 - self.last_n, -1),
            *self.long,
            *self._every(index),
        ]
        wanted = list(dict.fromkeys(i for i in (*given, *others) if i < index and i in self._entries))
        room = len(wanted) if self.max_frames is None else max(self.max_frames, len(given))
        return sorted(wanted[:room])

    def _every(self, index: int) -> list[int]:
        """Newest first."""
        if not self.every:
            return []
        newest = (index - 1) // self.every * self.every
        return list(range(newest, -1, -self.every))[: self.max_frames]
