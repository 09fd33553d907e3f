"""How much a worker may do before it ends."""

from __future__ import annotations

import multiprocessing
import time

_forked = multiprocessing.get_context("fork")


class Budget:
    """Counts items over all threads and forked processes of a worker.

    Arguments:
        items: at most so many are executed; None: no limit.
        seconds: none is begun after so long; None: no limit.
    """

    def __init__(self, items: int | None, seconds: float | None) -> None:
        self._items = items
        self._end = time.monotonic() + seconds if seconds is not None else None
        self._taken = _forked.Value("q", 0)

    def take(self) -> bool:
        """Whether one more item may be executed."""
        if self._end is not None and time.monotonic() >= self._end:
            return False
        with self._taken.get_lock():
            if self._items is not None and self._taken.value >= self._items:
                return False
            self._taken.value += 1
            return True

    def take_more(self, number: int) -> None:
        """So many more items go with the one that was taken, as one call."""
        if number:
            with self._taken.get_lock():
                self._taken.value += number

    def give_back(self) -> None:
        """The item was not executed after all."""
        with self._taken.get_lock():
            self._taken.value -= 1

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be begun any more."""
        if self._end is not None and time.monotonic() >= self._end:
            return True
        return self._items is not None and self._taken.value >= self._items

    @property
    def executed(self) -> int:
        """How many items were taken so far."""
        return int(self._taken.value)
