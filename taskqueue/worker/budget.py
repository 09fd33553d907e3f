"""How much a worker may do before it ends."""

from __future__ import annotations

import fcntl
import mmap
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Counts items over all threads and forked processes of a worker.

    Who is about to claim takes one, and says afterwards how many it has begun: one that was taken may come back.

    The counts lie in shared memory: one of the items that were taken, behind a lock that the system frees when its
    holder dies, because one that a killed process keeps would stop all others; and of those that were begun one for
    each process, so that without a limit nobody waits for another process.

    Arguments:
        items: at most so many are executed; None: no limit.
        seconds: none is begun after so long; None: no limit.
        processes: so many count at the same time.
    """

    def __init__(self, items: int | None, seconds: float | None, processes: int = 1) -> None:
        self._items = items
        self._end = time.monotonic() + seconds if seconds is not None else None
        self._taken = memoryview(mmap.mmap(-1, 8)).cast("q")
        self._begun = memoryview(mmap.mmap(-1, 8 * processes)).cast("q")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (until close)
        self._threads = threading.Lock()
        #: Which of the processes this one is; a forked one says so before it counts.
        self.place = 0

    def close(self) -> None:
        """Give the file back; nothing can be taken any more."""
        self._file.close()

    def take(self) -> bool:
        """Whether one more item may be executed; to be followed by :meth:`begin` if so."""
        if self._is_late():
            return False
        if self._items is None:
            return True
        with self._locked():
            if self._taken[0] >= self._items:
                return False
            self._taken[0] += 1
            return True

    def begin(self, number: int) -> None:
        """So many items are begun for the one that was taken; 0: there was none."""
        with self._threads if self._items is None else self._locked():
            self._begun[self.place] += number
            self._taken[0] += number - 1

    def forget_taken(self) -> None:
        """A process has died, perhaps with an item taken that it will never begin.

        Those that others have just taken are forgotten with it, so that as many more may be begun than were allowed.
        """
        with self._locked():
            self._taken[0] = self.executed

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be begun any more."""
        return self._is_late() or (self._items is not None and self.executed >= self._items)

    @property
    def executed(self) -> int:
        """How many items were begun so far."""
        return sum(self._begun)

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
