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

_COUNT = struct.Struct("q")


class Budget:
    """Counts items over all threads and forked processes of a worker.

    The count lies in shared memory, behind a lock that the system frees when its holder dies: one that a killed process
    keeps would stop all others.

    Arguments:
        items: at most so many are executed; None: no limit.
        seconds: none is begun after so long; None: no limit.
    """

    def __init__(self, items: int | None, seconds: float | None) -> None:
        self._items = items
        self._end = time.monotonic() + seconds if seconds is not None else None
        self._memory = mmap.mmap(-1, _COUNT.size)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (until close)
        self._threads = threading.Lock()

    def close(self) -> None:
        """Give the file back; nothing can be taken any more."""
        self._file.close()

    def take(self) -> bool:
        """Whether one more item may be executed; it is counted if so."""
        if self._is_late():
            return False
        with self._locked():
            if self._items is not None and self.executed >= self._items:
                return False
            self._add(1)
            return True

    def add(self, number: int) -> None:
        """So many items more were begun with the one that was taken; or less, if it was not begun after all."""
        if number:
            with self._locked():
                self._add(number)

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be begun any more."""
        return self._is_late() or (self._items is not None and self.executed >= self._items)

    @property
    def executed(self) -> int:
        """How many items were taken so far."""
        return int(_COUNT.unpack_from(self._memory)[0])

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _add(self, number: int) -> None:
        _COUNT.pack_into(self._memory, 0, self.executed + number)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
