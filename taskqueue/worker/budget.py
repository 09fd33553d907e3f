"""How much a worker may do before it ends."""

from __future__ import annotations

import fcntl
import mmap
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: How many items were taken, and how many of those were begun.
_COUNTS = struct.Struct("qq")


class Budget:
    """Counts items over all threads and forked processes of a worker.

    Who is about to claim takes one, and says afterwards how many it has begun: one that was taken may come back.

    The counts lie in shared memory, behind a lock that the system frees when its holder dies: one that a killed process
    keeps would stop all others.

    Arguments:
        items: at most so many are executed; None: no limit.
        seconds: none is begun after so long; None: no limit.
    """

    def __init__(self, items: int | None, seconds: float | None) -> None:
        self._items = items
        self._end = time.monotonic() + seconds if seconds is not None else None
        self._memory = mmap.mmap(-1, _COUNTS.size)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (until close)
        self._threads = threading.Lock()

    def close(self) -> None:
        """Give the file back; nothing can be taken any more."""
        self._file.close()

    def take(self) -> bool:
        """Whether one more item may be executed; to be followed by :meth:`begin` if so."""
        if self._is_late():
            return False
        with self._locked():
            if self._items is not None and self._counts[0] >= self._items:
                return False
            self._add(1, 0)
            return True

    def begin(self, number: int) -> None:
        """So many items are begun for the one that was taken; 0: there was none."""
        with self._locked():
            self._add(number - 1, number)

    def forget_taken(self) -> None:
        """A process has died, perhaps with an item taken that it will never begin.

        Those that others have just taken are forgotten with it, so that as many more may be begun than were allowed.
        """
        with self._locked():
            self._add(self.executed - self._counts[0], 0)

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be begun any more."""
        return self._is_late() or (self._items is not None and self.executed >= self._items)

    @property
    def executed(self) -> int:
        """How many items were begun so far."""
        return self._counts[1]

    @property
    def _counts(self) -> tuple[int, int]:
        taken, begun = _COUNTS.unpack_from(self._memory)
        return taken, begun

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _add(self, taken: int, begun: int) -> None:
        before = self._counts
        _COUNTS.pack_into(self._memory, 0, before[0] + taken, before[1] + begun)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
