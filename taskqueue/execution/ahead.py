"""Leasing a few items ahead of the one in hand, as many as the measured task time allows."""

from __future__ import annotations

import time
from collections import deque

from ..item import QueueItem
from ..queues.base import BatchQueue
from .holding import Holding

#: So much work (seconds) is leased ahead at most; what is leased ahead waits for nobody else.
_WORK_AHEAD = 0.5
#: On a sequential queue, others' items of lower weight go next within this time (seconds).
_LOOK_EVERY = 0.1


class LeaseAhead:
    """The next items of a queue, one at a time, in its order.

    Claiming many with one commit and finishing each with its own is several times as fast as one by one.
    The batch grows and shrinks with the measured time of a task; an item whose holder was lost before is
    claimed alone, so that a poisonous one cannot drag its neighbours down.
    """

    def __init__(self, holding: Holding) -> None:
        self._queue: BatchQueue = holding.queue
        self._holding = holding
        self._ready: deque[QueueItem] = deque()
        self._seconds_per_task: float | None = None
        self._alone = 0
        self._additions = self._queue.additions
        self._looked = time.monotonic()

    def next(self) -> QueueItem | None:
        """The next item, leased, or None when none can be claimed now."""
        if self._ready and self._is_overtaken():
            self.give_back()
        if not self._ready:
            self._fill()
        return self._ready.popleft() if self._ready else None

    @property
    def is_empty(self) -> bool:
        """Whether the next call of :meth:`next` claims anew."""
        return not self._ready

    def measured(self, seconds: float) -> None:
        """A task has taken so long, its acknowledgement included."""
        before = self._seconds_per_task
        self._seconds_per_task = seconds if before is None else 0.8 * before + 0.2 * seconds

    def give_back(self) -> None:
        """Relinquish what was leased ahead."""
        self._holding.give_back(list(self._ready))
        self._ready.clear()

    def _fill(self) -> None:
        self._additions = self._queue.additions
        self._looked = time.monotonic()
        items = self._holding.lease(self._batch_size())
        keep = next((index for index, item in enumerate(items) if item.interruptions), len(items))
        if items and items[0].interruptions:
            keep = 1
        surplus = items[keep:]
        self._alone = max(self._alone - 1, 0) + sum(bool(item.interruptions) for item in surplus)
        self._holding.give_back(surplus)
        self._ready.extend(items[:keep])

    def _batch_size(self) -> int:
        if self._alone or self._seconds_per_task is None:
            return 1
        return max(1, min(self._queue.settings.prefetch, int(_WORK_AHEAD / max(self._seconds_per_task, 1e-6))))

    def _is_overtaken(self) -> bool:
        """Whether something came in that goes before what was leased ahead."""
        moment = time.monotonic()
        added = self._queue.additions
        is_due = self._queue.is_sequential and moment - self._looked >= _LOOK_EVERY
        if added == self._additions and not is_due:
            return False
        self._additions, self._looked = added, moment
        return self._queue.goes_before(self._ready[0])
